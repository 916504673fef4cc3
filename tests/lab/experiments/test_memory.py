"""The experiment `memory`."""

import math
from pathlib import Path
from time import process_time

import numpy as np
import pytest
import torch

from gradiometer.diagnosing import diagnose
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.copying import memoryless_loss
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.experiments.memory.claims import constant_answer_error, memoryless_error, order_rows
from gradiometer.lab.experiments.memory.experiment import conduct
from gradiometer.lab.experiments.memory.fading import measure_jacobians
from gradiometer.lab.experiments.memory.races import Race, Ran, copying_batch, copying_loss, formula_error, take_step
from gradiometer.lab.networks.recurrent import CELLS, GRU, LSTM_1, TANH, draw_sequence_network
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExperimentReport, ExperimentReport]:
    folders = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    first, second = (conduct(Bench(folder, size="toy")) for folder in folders)
    return first, second


def test_goes_through_every_part(toys: tuple[ExperimentReport, ExperimentReport]) -> None:
    report = toys[0]
    assert len(report.sections) == 6
    assert all(len(section.parts) > 1 and isinstance(section.parts[0], str) for section in report.sections)
    exact = [row for row in report.rows if row.standing == "exact"]
    assert len(exact) == 9
    assert {row.verdict for row in exact} == {"within"}
    assert [row.reason for row in report.rows if row.verdict == "not run"].count("") == 0


def test_two_toys_are_alike(toys: tuple[ExperimentReport, ExperimentReport]) -> None:
    first, second = toys
    assert repr(first.rows) == repr(second.rows)
    assert first.summary == second.summary
    assert repr(first.sections) == repr(second.sections)


def test_its_run_files_show_gradients_through_time(toys: tuple[ExperimentReport, ExperimentReport]) -> None:
    runs = [read_run(Path(path)) for path in toys[0].run_files]
    states = [{fade.state for fades in run.fades.values() for fade in fades} for run in runs]
    assert states == [{"hidden", "cell"}, {"hidden"}]


def test_baselines_are_what_arithmetic_says() -> None:
    assert constant_answer_error() == pytest.approx(1.0 / 6.0, abs=0.002)  # four standard errors
    for delay in (1, 50, 1000):
        assert memoryless_error(delay) == pytest.approx(memoryless_loss(delay), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_no_product_of_jacobians_passes_its_bound(seed: int) -> None:
    assert 0.0 < measure_jacobians(12, 30, range(seed, seed + 1)).greatest_share <= 1.0


def test_counts_steps_to_the_look_that_found_it_solved() -> None:
    ran = Ran(Race(GRU, 10, 0.1, 40, 2, check_steps=20), [[0.1, 0.009], [0.1, 0.05]])
    assert ran.steps == [40.0, math.inf]
    assert ran.best == [0.009, 0.05]


def test_a_plain_network_that_is_as_quick_speaks_against_the_claim() -> None:
    def ran(cell: str, curve: list[float]) -> Ran:
        return Ran(Race(cell, 10, 0.1, 60, 1, check_steps=20), [curve])

    slower = order_rows([ran(LSTM_1, [0.1, 0.001]), ran(TANH, [0.1, 0.1, 0.001])])
    assert [row.verdict for row in slower] == ["within", "within"]
    as_quick = order_rows([ran(LSTM_1, [0.1, 0.001]), ran(TANH, [0.1, 0.001])])
    assert [row.verdict for row in as_quick] == ["within", "outside"]


def test_clips_by_the_formula_and_tells_the_norm_before() -> None:
    assert formula_error(6, 5) < 1e-5
    network = draw_sequence_network(CELLS[GRU], (2, 3, 1), 0)
    optimizer = torch.optim.SGD(network.parameters(), 1.0)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    norm = take_step(network, optimizer, 100.0 * network(torch.ones(4, 5, 2)).square().sum(), bound=0.5)
    moved = [
        (parameter.detach() - old).square().sum() for parameter, old in zip(network.parameters(), before, strict=True)
    ]
    assert norm > 0.5
    assert float(torch.stack(moved).sum().sqrt()) == pytest.approx(0.5, rel=1e-4)


def test_copying_loss_of_a_network_that_says_blanks() -> None:
    network = draw_sequence_network(CELLS[TANH], (10, 4, 9), 0, reads_every_step=True)
    with torch.no_grad():
        network.readout.weight.zero_()
        network.readout.bias.fill_(-50.0)
        network.readout.bias[8] = 0.0
    inputs, targets = copying_batch(6, 5, np.random.default_rng(0))
    assert inputs.shape == (6, 25, 10)
    assert copying_loss(network, inputs, targets).item() == pytest.approx(50.0 * 10 / 25, rel=1e-6)


@pytest.mark.slow
def test_holds_every_row_on_digits_within_half_a_minute(tmp_path: Path) -> None:
    # Of the CPU: what else the machine does is not counted.
    begun = process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert report.missed == ()
    assert process_time() - begun < 30.0
    assert [diagnose(read_run(Path(path))).verdict for path in report.run_files] == ["healthy", "broken"]


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_holds_every_row_on_mnist(tmp_path: Path, mnist: LabelledImages) -> None:
    assert mnist.name == "mnist"
    report = conduct(Bench(tmp_path, size="full"))
    assert report.missed == ()
