"""How unequal the features of an input are, against NumPy, and what of layers drops values."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradiometer
from gradiometer.measuring.inputs import describe_input, sorted_spread, spread_of
from gradiometer.schema import Run
from measuring.networks import seeded


def run_of(model: nn.Module, inputs: Tensor) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        model(inputs).square().mean().backward()
        optimizer.step()
    assert not [event for event in watching.run.events if event.kind == "fault"]
    return watching.run


def expected_db(inputs: Tensor, axis: int) -> float:
    array = np.moveaxis(inputs.double().numpy(), axis, -1).reshape(-1, inputs.shape[axis])
    sizes = np.sqrt((array**2).mean(0))
    sizes = sizes[sizes > 0]
    return float(20.0 * np.log10(sizes.max() / np.median(sizes)))


def features(*shape: int, scales: list[float]) -> Tensor:
    with seeded(1):
        return torch.randn(*shape, len(scales)) * torch.tensor(scales)


def test_compares_the_greatest_feature_with_the_median_one() -> None:
    for inputs in (features(30, scales=[1.0, 2.0, 300.0, 0.0, 0.5]), features(6, 7, scales=[1.0, 2.0, 300.0, 0.0])):
        run = run_of(nn.Linear(inputs.shape[-1], 2), inputs)
        assert run.snapshot_columns["input_spread_db"][0] == pytest.approx(expected_db(inputs, -1), abs=1e-4)


def test_takes_the_channels_of_images_for_features() -> None:
    images = features(4, 6, 6, scales=[0.1, 1.0, 40.0]).movedim(-1, 1)
    run = run_of(nn.Conv2d(3, 2, 3), images)
    assert run.snapshot_columns["input_spread_db"][0] == pytest.approx(expected_db(images, 1), abs=1e-4)


def test_says_nothing_of_inputs_without_features_or_sizes() -> None:
    embedding = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 2))
    assert np.isnan(run_of(embedding, torch.arange(6)).snapshot_columns["input_spread_db"][0])
    assert np.isnan(run_of(nn.Linear(3, 2), torch.zeros(5, 3)).snapshot_columns["input_spread_db"][0])
    assert spread_of(torch.ones(5)) is None
    assert describe_input((torch.ones(3, 4).to_sparse(),)) is None


@pytest.mark.parametrize("zero_count", [0, 1, 2, 3])
def test_finds_the_same_spread_on_a_device_as_on_the_host(zero_count: int) -> None:
    scales = torch.tensor([1.0, 2.0, 300.0, 0.5, 4.0, 0.1])
    scales[:zero_count] = 0.0
    inputs = features(16, scales=scales.tolist())
    assert float(sorted_spread(inputs.norm(dim=0))) == pytest.approx(spread_of(inputs), rel=1e-5)


class Dropping(nn.Module):
    """Drops values by a module and by calls, some of which do not train."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.by_module = nn.Dropout(0.25)
        self.idle = nn.Dropout(0.4).eval()
        self.last = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.idle(self.by_module(self.first(x)))
        x = F.dropout(x, 0.125)
        x = F.dropout(x, 0.5, training=False)
        return self.last(F.alpha_dropout(x, p=0.75, training=True))


def test_tells_what_share_of_values_a_layer_drops() -> None:
    run = run_of(Dropping(), torch.ones(3, 4))
    assert {layer.name: layer.dropped_share for layer in run.layers} == {
        "first": None,
        "by_module": 0.25,
        "idle": None,
        "dropout": 0.125,
        "dropout#2": None,
        "alpha_dropout": 0.75,
        "last": None,
    }
