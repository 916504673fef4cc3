"""Similarity and effective rank, alone and through `watch`, against eigenvalues and pairwise cosines in float64."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradiometer import watch
from gradiometer.measuring.similarity import (
    MOST_EXAMPLES,
    MOST_FEATURES,
    MOST_TOGETHER,
    Comparison,
    likeness_of,
    take_vectors,
)
from gradiometer.schema import Run


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(11)


def pairwise(vectors: NDArray[np.float64]) -> tuple[float, float]:
    """Mean cosine over all pairs of different vectors that are not zero, and the participation ratio of eigenvalues."""
    there = [vector for vector in vectors if np.any(vector)]
    cosines = [
        float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
        for rank, one in enumerate(there)
        for other in there[:rank]
    ]
    eigenvalues = np.linalg.eigvalsh(vectors @ vectors.T)
    return float(np.mean(cosines)), float(eigenvalues.sum() ** 2 / np.square(eigenvalues).sum())


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e25])
def test_equals_pairwise_cosines_and_eigenvalues_at_any_size(scale: float) -> None:
    vectors = torch.randn(9, 40) + 0.7
    vectors[4] = 0.0
    expected = pairwise(vectors.double().numpy())
    assert likeness_of(vectors * scale).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("vectors", "similarity", "rank"),
    [
        (torch.ones(5, 3), 1.0, 1.0),
        (torch.eye(6), 0.0, 6.0),
        (torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), -1.0, 1.0),
        (torch.ones(1, 3), math.nan, 1.0),
        (torch.zeros(4, 3), math.nan, math.nan),
        (torch.zeros(0, 3), math.nan, math.nan),
        (torch.tensor([[1.0, math.nan], [1.0, 0.0]]), math.nan, math.nan),
    ],
)
def test_knows_the_extremes(vectors: Tensor, similarity: float, rank: float) -> None:
    found = likeness_of(vectors).tolist()
    assert found[0] == pytest.approx(similarity, abs=1e-6, nan_ok=True)
    assert found[1] == pytest.approx(rank, rel=1e-6, nan_ok=True)


def test_reads_a_bounded_part_of_a_large_batch_without_a_random_number_of_the_training() -> None:
    state = torch.get_rng_state()
    values = (torch.arange(300.0).view(-1, 1, 1) + torch.zeros(1, 100, 100)).transpose(0, 1)
    vectors = take_vectors(values, axis=1)
    assert vectors.shape == (30, MOST_FEATURES)
    assert len(take_vectors(torch.zeros(MOST_EXAMPLES, 2), axis=0)) == MOST_EXAMPLES
    assert vectors[:, 0].tolist() == list(range(0, 300, 10))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_sample_of_features_knows_cosine_and_rank_to_what_it_states() -> None:
    errors, shortfalls = [], []
    for shared in np.linspace(0.0, 3.0, 24):
        vectors = torch.randn(MOST_EXAMPLES, 20_000) + shared * torch.randn(20_000)
        whole = likeness_of(vectors).tolist()
        sampled = likeness_of(take_vectors(vectors, 0)).tolist()
        errors.append(sampled[0] - whole[0])
        shortfalls.append(1.0 / sampled[1] - 1.0 / whole[1])
    assert math.sqrt(np.square(errors).mean()) < 0.03
    # Without anything in common the rank is the number of examples, and what its inverse is too great by is exact.
    assert shortfalls[0] == pytest.approx(1.0 / MOST_FEATURES, rel=0.2)


def test_a_sample_of_examples_tells_the_rank_of_their_batch() -> None:
    ratios, raw = [], []
    for rank in (1, 2, 4, 8, 16, 32, 64, 128):
        for _ in range(8):
            batch = torch.randn(128, rank) @ torch.randn(rank, 300) + 0.05 * torch.randn(128, 300)
            whole = float(likeness_of(batch)[1])
            ratios.append(float(likeness_of(batch[::4], len(batch))[1]) / whole)
            raw.append(float(likeness_of(batch[::4])[1]) / whole)
    assert np.median(np.abs(np.log(ratios))) < 0.05
    assert np.mean(np.log(ratios)) == pytest.approx(0.0, abs=0.02)
    assert np.mean(np.log(raw)) < -0.3
    assert float(likeness_of(torch.eye(8), 100)[1]) == pytest.approx(100.0)
    assert float(likeness_of(torch.ones(8, 3), 100)[1]) == pytest.approx(1.0)


def test_tensors_that_are_compared_together_are_compared_each_by_itself() -> None:
    shapes = [(5, 7)] * (MOST_TOGETHER + 3) + [(6, 7), (5, 4), (2, 1), (4, 0)]
    batches = [torch.randn(shape) * 10.0**place for place, shape in enumerate(shapes)]
    batches += [torch.randn(32, 900)] * 3 + [torch.randn(5, 7).bfloat16(), torch.full((3, 2), math.inf)]
    comparison = Comparison()
    numbers = [comparison.add(batch.clone(), 100) for batch in batches]
    assert numbers == list(range(len(batches)))
    comparison.finish()
    found = {number: row for taken, rows in comparison.found for number, row in zip(taken, rows, strict=True)}
    assert sorted(found) == numbers
    for number, batch in enumerate(batches):
        expected = likeness_of(batch.float(), 100).tolist()
        assert found[number].tolist() == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True)


def measure(model: nn.Module, inputs: Tensor) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with watch(model, optimizer, overhead=1.0, dear=("similarity",)) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()
    assert watching.run.events == ()
    return watching.run


@pytest.mark.parametrize("is_convolutional", [False, True])
def test_tells_for_every_layer_how_alike_a_batch_with_known_duplicates_is(is_convolutional: bool) -> None:
    if is_convolutional:
        model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 3))
        inputs = torch.randn(3, 2, 5, 5).repeat(2, 1, 1, 1)
    else:
        model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
        inputs = torch.randn(3, 6).repeat(2, 1)
    run = measure(model, inputs)
    values, kept = inputs.double(), []
    for layer in model.double():
        values = layer(values)
        values.retain_grad()
        kept.append(values)
    values.square().sum().backward()
    for column, output in enumerate(kept):
        expected = (
            *pairwise(output.detach().flatten(1).numpy()),
            *pairwise(output.grad.flatten(1).numpy()),
        )
        names = ("output_similarity", "output_rank", "gradient_similarity", "gradient_rank")
        found = [float(run.layer_columns[name][1, column]) for name in names]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert found[1] <= 3.0 + 1e-4  # three different examples span three directions at most
    assert run.layer_columns["similarity_example_count"][1].tolist() == [6.0] * len(kept)
    assert run.snapshots_with("output_similarity").tolist() == [1]


def test_sees_examples_become_alike_where_norms_look_healthy() -> None:
    # Glorot's initialisation with tanh: gradients keep their norm, yet all inputs end up on one line.
    layers: list[nn.Module] = []
    for _ in range(60):
        layers += [nn.Linear(64, 64), nn.Tanh()]
        nn.init.xavier_normal_(layers[-2].weight, gain=1.0)
        nn.init.normal_(layers[-2].bias, std=0.3)
    run = measure(nn.Sequential(*layers), torch.randn(16, 64))
    similarity = run.newest_of("output_similarity")
    assert similarity[1] < 0.3
    assert similarity[-1] > 0.9
    assert run.newest_of("output_rank")[-1] < 1.2


def test_says_which_layers_have_no_axis_of_examples() -> None:
    class Flattened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).reshape(-1, 4))

    run = measure(Flattened(), torch.randn(6, 5, 4))
    assert run.turns[1].not_measured == (("second", "its output has no axis of examples"),)
    assert np.isnan(run.layer_columns["output_similarity"][1, 1])
    assert not np.isnan(run.layer_columns["output_similarity"][1, 0])
