import math
from time import process_time

import pytest
import torch

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.activations.depth import failing_depth
from gradiometer.lab.experiments.activations.experiment import conduct
from gradiometer.lab.experiments.activations.linear import distance_from_matrix
from gradiometer.lab.experiments.activations.shapes import traced, traits_of
from gradiometer.lab.experiments.activations.training import unit_shares
from gradiometer.lab.networks.plain import draw_layers, torch_start
from gradiometer.lab.networks.shapes import SHAPES, leaky
from gradiometer.lab.networks.stacked import Stack, stack_of
from gradiometer.recording.reader import read_run
from gradiometer.schema import Chart, Table
from gradiometer.theory.moments import mean_output, mean_square, mean_square_slope


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return conduct(Bench(tmp_path_factory.mktemp("toy"), size="toy"))


def figures_of(report):
    """Everything on the page that a second run has to give again: all but the times."""
    found = []
    for section in report.sections:
        if section.title == "Cost per element":
            continue
        for part in section.parts:
            if isinstance(part, Chart):
                found += [repr((line.x, line.y)) for line in part.lines]
            elif isinstance(part, Table):
                found.append(repr(part.rows))
    return found, [repr(row.measured) for row in report.rows]


def test_goes_through_every_chapter(toy, tmp_path):
    assert toy.name == "activations"
    assert all(len(section.parts) > 1 and isinstance(section.parts[0], str) for section in toy.sections)
    assert len(toy.rows) > 15
    assert all(row.verdict != "not run" for row in toy.rows)
    assert len(toy.run_files) == 2
    assert all(read_run(path).step_count == 4 for path in toy.run_files)
    assert figures_of(toy) == figures_of(conduct(Bench(tmp_path, size="toy")))


def test_finds_what_needs_no_training_within_its_tolerance_at_any_size(toy):
    exact = [row for row in toy.rows if row.standing in ("exact", "seen") and "dead" not in row.name.lower()]
    assert [row.name for row in exact if row.verdict != "within" and "accuracy" not in row.name] == []


@pytest.mark.parametrize("name", [name for name in SHAPES if name != "maxout"])
def test_reads_the_same_traits_off_torch_as_theory_computes(name):
    traits, known = traits_of(name), ACTIVATIONS[name]
    assert traits.greatest_slope == pytest.approx(known.greatest_slope, abs=1e-6)
    # a grid of step 0.005 across a kink
    assert traits.mean == pytest.approx(mean_output(known, 1.0), abs=1e-5)
    assert traits.rms == pytest.approx(math.sqrt(mean_square(known, 1.0)), rel=1e-4)
    assert traits.rms_slope == pytest.approx(math.sqrt(mean_square_slope(known, 1.0)), rel=2e-3)
    points = torch.tensor([-3.7, -0.4, 0.9, 6.0], dtype=torch.float64)
    values, slopes = traced(name, points)
    assert values.numpy() == pytest.approx(known.function(points.numpy()), abs=1e-12)
    assert slopes.numpy() == pytest.approx(known.slope(points.numpy()), abs=1e-12)


def test_counts_dead_and_saturated_units():
    weight, out = torch.eye(3)[None], torch.ones(1, 3, 2)
    # the first unit is never active, the second always, the third for half of the examples
    biases = [torch.tensor([[[-9.0, 9.0, 0.0]]]), torch.zeros(1, 1, 2)]
    inputs = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    for name, dead in (("relu", 1.0 / 3.0), ("leaky_relu", 0.0)):
        stack = Stack(
            [weight.clone(), out], [bias.clone() for bias in biases], ((SHAPES[name], 1),), [torch.zeros(1, 1, 1)]
        )
        shares = unit_shares(stack, inputs, [1.0])
        assert shares.dead[0] == pytest.approx(dead)
        assert shares.saturated[0] == pytest.approx(1.0 / 3.0)
    stack.weights[0][0, 0, 0] = math.nan
    assert math.isnan(unit_shares(stack, inputs, [1.0]).dead[0])


def test_sees_that_only_slope_one_is_one_matrix():
    inputs = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    layers = draw_layers([6, 8, 8, 2], torch_start, 0)
    assert distance_from_matrix(stack_of([layers], [leaky(1.0)]), 0, inputs) < 1e-14
    assert distance_from_matrix(stack_of([layers], [leaky(0.5)]), 0, inputs) > 1e-3


def test_finds_the_depth_at_which_training_fails():
    assert failing_depth([2, 4], [0.9, 0.8]) == math.inf
    assert failing_depth([2, 4], [0.1, 0.1]) == 2.0
    assert failing_depth([2, 4, 8], [0.9, 0.2, 0.9]) == pytest.approx(2.0 + 2.0 * 0.35 / 0.7)


@pytest.mark.slow
def test_has_every_row_within_its_tolerance_when_quick(tmp_path):
    began = process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert [(row.name, row.measured) for row in report.missed] == []
    assert process_time() - began < 30.0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_has_every_row_within_its_tolerance_in_full(tmp_path, mnist):
    report = conduct(Bench(tmp_path, size="full"))
    assert mnist.name == "mnist"
    assert [(row.name, row.measured) for row in report.missed] == []
