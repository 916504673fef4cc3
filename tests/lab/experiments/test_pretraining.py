"""The experiment `pretraining`."""

from pathlib import Path
from time import process_time

import pytest
import torch

from gradiometer.curing.learners.rbm import RbmSettings
from gradiometer.diagnosing import diagnose
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.experiments.pretraining.claims import ACCURACIES, SEED_LUCK, shares_closed
from gradiometer.lab.experiments.pretraining.codes import components_error
from gradiometer.lab.experiments.pretraining.experiment import conduct
from gradiometer.lab.experiments.pretraining.machines import likelihoods_of
from gradiometer.lab.experiments.pretraining.starts import (
    GLOROT_TIMES_4,
    MACHINES,
    STARTS,
    UNIFORM,
    pictures_of,
    trained_together,
)
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport, PictureGrid, Row


def lasting(rows: tuple[Row, ...]) -> list[str]:
    return [repr(row) for row in rows if row.unit != "s"]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExperimentReport, ExperimentReport]:
    folders = (tmp_path_factory.mktemp(name) for name in ("first", "second"))
    first, second = (conduct(Bench(folder, size="toy")) for folder in folders)
    return first, second


def test_goes_through_every_part(toys: tuple[ExperimentReport, ExperimentReport]) -> None:
    report = toys[0]
    assert len(report.sections) == 5
    assert all(section.parts and isinstance(section.parts[0], str) for section in report.sections)
    assert sum(isinstance(part, PictureGrid) for section in report.sections for part in section.parts) == 5
    assert {row.needs for row in report.rows if row.verdict != "not run"} == {"digits"}
    assert [row.reason for row in report.rows if row.verdict == "not run"].count("") == 0


def test_two_toys_are_alike(toys: tuple[ExperimentReport, ExperimentReport]) -> None:
    first, second = toys
    assert lasting(first.rows) == lasting(second.rows)
    assert first.summary == second.summary
    assert repr(first.sections) == repr(second.sections)


def test_its_run_files_can_be_read(toys: tuple[ExperimentReport, ExperimentReport]) -> None:
    runs = [read_run(Path(path)) for path in toys[0].run_files]
    assert [len(run.layers) for run in runs] == [11, 11]  # six linear layers, five sigmoids


def test_trains_together_what_shares_units_and_optimizer() -> None:
    groups = list(trained_together(list(STARTS)))
    assert sorted(name for group in groups for name in group) == sorted(STARTS)
    for group in groups:
        assert len({(STARTS[name].activation, STARTS[name].is_adam) for name in group}) == 1


def test_says_what_share_of_the_gap_a_good_start_closes() -> None:
    curves = {(5, UNIFORM): [[0.0, 0.1]], (5, GLOROT_TIMES_4): [[0.0, 0.7]], (5, MACHINES): [[0.0, 0.9]]}
    assert shares_closed(curves) == pytest.approx([0.75])


def test_pixels_alone_are_as_probable_as_their_own_frequencies_make_them() -> None:
    pictures = pictures_of(load_digits(), 1200)
    seen = (pictures.inputs > 0.5).double()
    often = seen.mean(0).clamp(0.01, 0.99)
    expected = float((seen * often.log() + (1 - seen) * (1 - often).log()).sum(1).mean())
    # Weights of 0.01 are not quite none.
    assert likelihoods_of(RbmSettings(updates=0), pictures)[0] == pytest.approx(expected, abs=0.05)


def test_all_components_give_pictures_back() -> None:
    samples = torch.rand(30, 5, generator=torch.Generator().manual_seed(0))
    assert components_error(samples, samples[:4], 5) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_holds_every_row_on_digits_within_half_a_minute(tmp_path: Path) -> None:
    # Of the CPU: what else the machine does is not counted.
    begun = process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert report.missed == ()
    assert process_time() - begun < 30.0
    assert [diagnose(read_run(Path(path))).verdict for path in report.run_files] == ["broken", "healthy"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_holds_every_row_on_mnist(tmp_path: Path, mnist: LabelledImages) -> None:
    assert mnist.name == "mnist"
    report = conduct(Bench(tmp_path, size="full"))
    assert {row.name for row in report.missed} <= {ACCURACIES[key].name for key in SEED_LUCK}
    assert all(row.reason for row in report.missed)
