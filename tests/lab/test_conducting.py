from pathlib import Path

import pytest
import torch

from gradiometer.errors import SettingsError
from gradiometer.lab import EXPERIMENTS
from gradiometer.lab.bench import Bench
from gradiometer.lab.conducting import conduct_experiment, report_of
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport


def train_a_little(bench: Bench) -> ExperimentReport:
    """Two steps of one layer, watched."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with bench.watched("one-layer", model, optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.ones(4, 2)).square().mean().backward()
            optimizer.step()
    return ExperimentReport("product", "A product", "", (), facts=(("Data", "ones"),))


def test_writes_down_how_an_experiment_was_conducted(tmp_path: Path) -> None:
    report = report_of(train_a_little, Bench(tmp_path, size="quick", seed_count=3, data=tmp_path))
    facts = dict(report.facts)
    assert next(iter(facts)) == "Data"
    assert facts["Size"].startswith("quick")
    assert facts["Seeds asked for"] == "3"
    assert facts["Data asked for"] == tmp_path.as_posix()
    assert torch.__version__ in facts["Versions"]
    assert facts["Threads"].startswith("1, on ")
    assert facts["Time"]


def test_names_run_files_that_can_be_read(tmp_path: Path) -> None:
    report = report_of(train_a_little, Bench(tmp_path / "product", size="toy"))
    assert report.run_files == ((tmp_path / "product" / "one-layer.db").as_posix(),)
    assert read_run(Path(report.run_files[0])).facts["script"] == "lab one-layer"
    assert read_run(Path(report.run_files[0])).step_count == 2
    assert "Seeds asked for" not in dict(report.facts)


def test_conducts_only_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'faces'"):
        conduct_experiment("face", Bench(tmp_path))


def test_asks_something_with_every_experiment() -> None:
    assert all(question.endswith("?") for question in EXPERIMENTS.values())
