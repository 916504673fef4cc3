"""The experiment `learning-speeds`."""

from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch
from torch import nn

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.learning_speeds.experiment import conduct
from gradiometer.lab.experiments.learning_speeds.gradient_lengths import first_lengths, percentile_of, record_descent
from gradiometer.lab.networks.as_module import as_module
from gradiometer.lab.networks.feed_forward import draw_network
from gradiometer.lab.networks.watched_descent import WatchedDescent, descend_watched
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport


def drawn_examples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((12, 6)).astype(np.float32), np.eye(3, dtype=np.float32)[generator.integers(3, size=12)]


def test_measures_the_length_of_the_mean_gradient_as_autograd_does() -> None:
    inputs, targets = drawn_examples()
    network = draw_network((6, 5, 4, 3), (0, 1))
    lengths = first_lengths(network, inputs, targets)
    model = as_module(network, 1)
    cost = nn.BCEWithLogitsLoss(reduction="sum")(model(torch.from_numpy(inputs)), torch.from_numpy(targets))
    (cost / len(inputs)).backward()
    expected = [float(model[index].bias.grad.norm()) for index in (0, 2)]
    assert lengths[1] == pytest.approx(expected, rel=1e-4)


def test_goes_down_as_torch_does_with_weight_decay() -> None:
    inputs, targets = drawn_examples()
    network = draw_network((6, 5, 4, 3), (0,))
    model = as_module(network)
    # torch adds decay times the weight to the gradient: lambda / n.
    weights = [layer.weight for layer in model if isinstance(layer, nn.Linear)]
    biases = [layer.bias for layer in model if isinstance(layer, nn.Linear)]
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 5.0 / len(inputs)}, {"params": biases}], lr=0.1)
    recorded = record_descent(network, inputs, targets, steps=20)
    for step in range(20):
        optimizer.zero_grad()
        cost = nn.BCEWithLogitsLoss(reduction="sum")(model(torch.from_numpy(inputs)), torch.from_numpy(targets))
        (cost / len(inputs)).backward()
        assert recorded.costs[step, 0] == pytest.approx(cost.item() / len(inputs), rel=1e-4)
        assert recorded.lengths[step, 0, 0] == pytest.approx(float(biases[0].grad.norm()), rel=1e-3)
        optimizer.step()


def test_places_a_figure_among_the_seeds() -> None:
    values = np.arange(40.0)
    assert percentile_of(-1.0, values) == 0.0
    assert percentile_of(19.5, values) == 50.0
    assert percentile_of(40.0, values) == 100.0


def test_a_watched_training_is_the_network_that_was_drawn(tmp_path: Path) -> None:
    inputs, targets = drawn_examples()
    network = draw_network((6, 5, 3), (0,))
    before = network.weights[0].copy()
    bench = Bench(tmp_path, size="toy")
    watched = descend_watched(bench, "run", network, inputs, targets, rate=0.5, steps=80)
    assert np.array_equal(network.weights[0], before)
    assert watched.last_cost < watched.first_cost
    assert "run:" in watched.sentence()
    assert read_run(bench.run_files[0]).step_count == 80


def test_says_that_a_cost_has_overflowed() -> None:
    watched = WatchedDescent("run", "broken", ("exploding",), 890.0, float("nan"))
    assert watched.sentence() == "run: broken (exploding); its cost goes from 890 to not a number."


def run_toy(folder: Path) -> ExperimentReport:
    return conduct(Bench(folder, size="toy"))


def test_goes_through_every_part_and_twice_alike(tmp_path: Path) -> None:
    first, second = run_toy(tmp_path / "first"), run_toy(tmp_path / "second")
    assert first.rows == second.rows
    assert len([row for row in first.rows if row.verdict != "not run"]) == 18
    assert all(section.parts for section in first.sections)
    assert first.sections[:4] == second.sections[:4]
    assert [read_run(Path(path)).step_count for path in first.run_files] == [6, 6, 6]


@pytest.mark.slow
def test_holds_every_row_on_digits_within_half_a_minute(tmp_path: Path) -> None:
    # Of the CPU: what else the machine does is not counted.
    begun = process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert report.missed == ()
    assert process_time() - begun < 30.0
    assert "broken" in report.summary


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("mnist")
def test_holds_every_row_on_mnist(tmp_path: Path) -> None:
    report = conduct(Bench(tmp_path, size="full"))
    assert report.missed == ()
    assert all(row.verdict == "within" for row in report.rows)
