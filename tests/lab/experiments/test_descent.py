"""The experiment `descent`."""

from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.descent.directions import (
    class_agreement,
    directions_of_batches,
    example_gradients,
)
from gradiometer.lab.experiments.descent.experiment import conduct
from gradiometer.lab.experiments.descent.paths import (
    Examples,
    aimless_walk,
    go_down,
    main_plane,
    networks_at,
    point_of,
    surface_on,
)
from gradiometer.lab.experiments.descent.rates import bowl_costs, breaking_multiple, greatest_curvature
from gradiometer.lab.networks.as_module import as_module
from gradiometer.lab.networks.feed_forward import draw_network, mean_cost
from gradiometer.recording.reader import read_run

SIZES = (6, 5, 3)


def drawn_examples(count: int = 40) -> tuple[Examples, np.ndarray]:
    generator = np.random.default_rng(0)
    inputs = generator.random((count, 6)).astype(np.float32)
    labels = generator.integers(3, size=count)
    return Examples(inputs, np.eye(3, dtype=np.float32)[labels], inputs, labels), labels


def cost_in_torch(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.binary_cross_entropy_with_logits(model(inputs), targets, reduction="sum") / len(inputs)


def test_takes_each_example_s_gradient_as_torch_does() -> None:
    examples, _ = drawn_examples()
    network = draw_network(SIZES, (0,))
    model = as_module(network).double()
    parameters = dict(model.named_parameters())

    def cost(values: dict, one: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        answer = functional_call(model, values, (one[None],))
        return nn.functional.binary_cross_entropy_with_logits(answer, target[None], reduction="sum")

    inputs, targets = torch.from_numpy(examples.inputs).double(), torch.from_numpy(examples.targets).double()
    each = vmap(grad(cost), in_dims=(None, 0, 0))(parameters, inputs, targets)
    ours = example_gradients(network, examples.inputs, examples.targets)
    assert ours.each.shape == (40, network.parameter_count)
    assert np.allclose(ours.each[:, :30].reshape(40, 6, 5), each["0.weight"].detach().numpy().swapaxes(1, 2))
    assert np.allclose(ours.each[:, -3:], each["2.bias"].detach().numpy())


def test_the_formula_of_a_batch_s_direction_holds() -> None:
    examples, _ = drawn_examples(200)
    gradients = example_gradients(draw_network(SIZES, (0,)), examples.inputs, examples.targets)
    for size in (2, 10, 50):
        run = directions_of_batches(gradients, size, 400, np.random.default_rng(1))
        assert run.cosines.mean() == pytest.approx(run.expected, rel=0.05)
    whole = directions_of_batches(gradients, 200, 2, np.random.default_rng(1))
    assert whole.expected == 1.0
    assert whole.cosines == pytest.approx(1.0)


def test_agreement_is_the_mean_cosine_over_pairs() -> None:
    examples, labels = drawn_examples(15)
    gradients = example_gradients(draw_network(SIZES, (0,)), examples.inputs, examples.targets)
    ours = class_agreement(gradients, labels, 3)
    unit = gradients.each / np.linalg.norm(gradients.each, axis=1, keepdims=True)
    for first in range(3):
        for second in range(3):
            pairs = [
                unit[a] @ unit[b]
                for a in np.flatnonzero(labels == first)
                for b in np.flatnonzero(labels == second)
                if a != b
            ]
            assert ours[first, second] == pytest.approx(np.mean(pairs))


def test_a_way_down_is_torch_s_way_down() -> None:
    examples, _ = drawn_examples()
    way = go_down(SIZES, examples, batch_size=40, rate=0.5, epochs=25, seed=3)
    model = as_module(draw_network(SIZES, (3,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    inputs, targets = torch.from_numpy(examples.inputs), torch.from_numpy(examples.targets)
    for step in range(25):
        cost = cost_in_torch(model, inputs, targets)
        assert way.step_costs[step] == pytest.approx(cost.item(), rel=1e-4)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    assert way.costs[-1] == pytest.approx(cost_in_torch(model, inputs, targets).item(), rel=1e-4)
    assert way.epochs[-1] == 25.0


def test_points_and_networks_are_each_other_s_inverse() -> None:
    network = draw_network(SIZES, (0, 1, 2))
    points = np.stack([point_of(network, index) for index in range(3)])
    again = networks_at(points, network)
    assert all(np.array_equal(one, two) for one, two in zip(network.weights, again.weights, strict=True))
    assert all(np.array_equal(one, two) for one, two in zip(network.biases, again.biases, strict=True))


def test_the_surface_is_the_cost_at_its_places() -> None:
    examples, _ = drawn_examples()
    way = go_down(SIZES, examples, batch_size=10, rate=0.5, epochs=5)
    plane, like = main_plane(way.points), draw_network(SIZES, (0,))
    x, y = np.array([-0.3, 0.2]), np.array([0.0, 0.1, 0.4])
    costs = surface_on(plane, x, y, like, examples)
    here = networks_at((plane.origin + 0.2 * plane.axes[0] + 0.4 * plane.axes[1])[None], like)
    assert costs.shape == (3, 2)
    assert costs[2, 1] == pytest.approx(mean_cost(here, examples.inputs, examples.targets)[0], rel=1e-6)


def test_an_aimless_walk_has_the_shares_that_are_known() -> None:
    first, second = main_plane(aimless_walk(300, 3000, 1)).shares
    assert first == pytest.approx(6.0 / np.pi**2, abs=0.02)
    assert second == pytest.approx(1.5 / np.pi**2, abs=0.02)


def test_finds_the_greatest_curvature_of_the_hessian() -> None:
    examples, _ = drawn_examples()
    way = go_down(SIZES, examples, batch_size=40, rate=0.5, epochs=40)
    like = draw_network(SIZES, (0,))
    model = as_module(networks_at(way.points[-1][None], like)).double()
    parameters = dict(model.named_parameters())
    inputs, targets = torch.from_numpy(examples.inputs).double(), torch.from_numpy(examples.targets).double()
    shapes = [value.shape for value in parameters.values()]

    def cost(flat: torch.Tensor) -> torch.Tensor:
        parts = torch.split(flat, [shape.numel() for shape in shapes])
        values = {name: part.view(shape) for name, part, shape in zip(parameters, parts, shapes, strict=True)}
        answer = functional_call(model, values, (inputs,))
        return nn.functional.binary_cross_entropy_with_logits(answer, targets, reduction="sum") / len(inputs)

    flat = torch.cat([value.detach().ravel() for value in parameters.values()])
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(cost, flat))
    assert greatest_curvature(way.points[-1], like, examples, 200) == pytest.approx(float(values.max()), rel=1e-3)


def test_a_bowl_breaks_at_two_over_the_curvature() -> None:
    assert breaking_multiple() == pytest.approx(2.0, abs=1e-6)
    assert bowl_costs(1.9, 50)[-1] < 0.5
    assert bowl_costs(2.1, 50)[-1] > 0.5


def test_goes_through_every_part_and_twice_alike(tmp_path: Path) -> None:
    first = conduct(Bench(tmp_path / "first", size="toy"))
    second = conduct(Bench(tmp_path / "second", size="toy"))
    assert first.rows == second.rows
    assert all(row.measured is not None for row in first.rows)
    assert all(section.parts for section in first.sections)
    assert [read_run(Path(path)).step_count for path in first.run_files] == [6, 6]


@pytest.mark.slow
def test_holds_every_row_on_digits_within_half_a_minute(tmp_path: Path) -> None:
    # Of the CPU: what else the machine does is not counted.
    begun = process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert report.missed == ()
    assert process_time() - begun < 30.0
