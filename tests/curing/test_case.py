"""Whole cases with real scripts and processes."""

import json
from pathlib import Path

import pytest

from curing.trials.trial_material import GAN, SIGMOIDS, Silent, write_script
from gradiometer.curing.case import CaseRequest, CaseResult, cure_script, target_from
from gradiometer.curing.trials.local import TrialEnd, run_trials
from gradiometer.curing.trials.plan import Wishes
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.errors import NoTrainingError, ScriptError, SettingsError
from gradiometer.launching.script import Target
from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter

WISHES = Wishes(steps=200, seeds=3, workers=2)


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are kept below the working directory."""
    monkeypatch.chdir(tmp_path)


def cure_text(folder: Path, text: str, *arguments: str, steps: int = 200, **settings: object) -> CaseResult:
    script = write_script(folder, text, steps=steps)
    request = CaseRequest(Target(script.name, None, arguments), WISHES, **settings)  # type: ignore[arg-type]
    return cure_script(request, Silent())


class Counting:
    """The local engine, counting the trials that were not done before."""

    def __init__(self) -> None:
        self.fresh: list[str] = []

    def __call__(self, specs: list[TrialSpec], **settings: object) -> list[TrialEnd]:
        self.fresh += [spec.folder for spec in specs if not (Path(spec.folder) / "result.json").exists()]
        return run_trials(specs, **settings)  # type: ignore[arg-type]


@pytest.mark.slow  # the default suite proves one through the command, in tests/cli/test_cure.py
def test_proves_a_cure_and_goes_on_from_what_is_done(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"precious")
    text = SIGMOIDS + "torch.save(model, 'best.pt')\n"
    result = cure_text(tmp_path, text)

    assert result.is_proved
    assert result.outcome is not None
    assert result.outcome.interval is not None
    assert result.outcome.interval[1] < 0.0
    assert result.outcome.is_paired
    assert len(result.outcome.control) == len(result.outcome.treated) == 3
    assert result.outcome.snippet.startswith("# ")
    assert result.run.outcome == result.outcome
    # Whether a rate is looked for, too, is decided by what the race shows.
    assert {trial.sieve for trial in result.trials} - {"range"} == {"diagnose", "remeasure", "race", "trial"}
    assert (tmp_path / "best.pt").read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"best.pt", "train.py", ".gradiometer"}

    engine = Counting()
    again = cure_text(tmp_path, text, engine=engine)
    assert engine.fresh == []
    assert again.outcome == result.outcome


@pytest.mark.slow
def test_goes_on_when_a_script_crashes_under_some_cures(tmp_path: Path) -> None:
    text = SIGMOIDS.replace("optimizer =", "import os\noptimizer =").replace(
        "    optimizer.step()\n",
        "    optimizer.step()\n    if any(isinstance(m, nn.BatchNorm1d) for m in model.modules()): os._exit(3)\n",
    )
    result = cure_text(tmp_path, text)

    assert result.outcome is not None
    crashed = [trial for trial in result.trials if "insert_normalisation" in trial.cures]
    assert {trial.status for trial in crashed} == {"failed"}
    assert "exit code 3" in crashed[0].detail
    assert result.is_proved


@pytest.mark.slow
def test_forgets_what_was_tried_when_the_script_or_a_file_that_it_imports_has_changed(tmp_path: Path) -> None:
    (tmp_path / "width.py").write_text("WIDTH = 16\n")
    text = "from width import WIDTH\n" + SIGMOIDS.replace("Sigmoid", "ReLU").replace("range(5)", "range(0)")
    first = Counting()
    healthy = cure_text(tmp_path, text, engine=first)
    second = Counting()
    cure_text(tmp_path, text, engine=second)
    (tmp_path / "width.py").write_text("WIDTH = 17\n")
    third = Counting()
    cure_text(tmp_path, text, engine=third)
    changed = Counting()
    cure_text(tmp_path, text + "# another script\n", engine=changed)

    assert (healthy.diagnosis.verdict, healthy.outcome, healthy.is_proved) == ("healthy", None, False)
    assert len(first.fresh) >= 1
    assert second.fresh == []
    assert third.fresh == first.fresh
    assert len(changed.fresh) == len(first.fresh)


def test_judges_a_pair_of_networks_without_complaint(tmp_path: Path) -> None:
    result = cure_text(tmp_path, GAN)
    assert result.run.facts["step_count"] == 12


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("raise ValueError('no data here')\n", ScriptError, "no data here"),
        ("print(\n", ScriptError, "SyntaxError"),
        ("print('hello')\n", NoTrainingError, "no training step"),
        ("import torch\nprint('hello')\n", NoTrainingError, "no training step"),
        ("import os\nos._exit(4)\n", ScriptError, "exit code 4"),
        ("import sys\nsys.exit('give --data')\n", ScriptError, "give --data"),
    ],
)
def test_says_why_a_script_took_no_step(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    for _ in range(2):  # a script that failed is tried again, not remembered
        with pytest.raises(error, match=words):
            cure_text(tmp_path, text)


def test_says_that_there_is_no_script(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="can't be read"):
        cure_script(CaseRequest(Target("nothing.py", None, ())), Silent())


def test_takes_script_and_arguments_from_a_run_file(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    with RunWriter(file) as writer:
        writer.add_facts({"script": "train.py", "arguments": ["--width", "3"]})

    assert target_from("run.db", ()) == Target("train.py", None, ("--width", "3"))
    assert target_from("train.py", ("-x",)) == Target("train.py", None, ("-x",))


def test_says_that_a_run_file_names_no_script(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run.db") as writer:
        writer.add_facts({"status": "finished"})
    with pytest.raises(SettingsError, match="name the script"):
        target_from("run.db", ())


@pytest.mark.slow
def test_cures_a_script_with_arguments_and_a_seed_of_its_own(tmp_path: Path) -> None:
    text = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--rate', type=float)\n"
    text += SIGMOIDS.replace("lr=0.1", "lr=parser.parse_args().rate").replace(
        "inputs =", "torch.manual_seed(7)\ninputs ="
    )
    result = cure_text(tmp_path, text, "--rate", "0.1")

    assert result.is_proved
    assert result.outcome is not None
    assert len(set(result.outcome.control)) == 3
    assert json.loads(json.dumps(result.run.facts["arguments"])) == ["--rate", "0.1"]


@pytest.mark.slow
def test_cures_a_module_of_a_package(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    write_script(tmp_path / "package", SIGMOIDS, steps=200)
    result = cure_script(CaseRequest(Target(None, "package.train", ()), WISHES), Silent())

    assert result.is_proved
    assert read_run(result.file).outcome == result.outcome
    assert [path.name.partition("-")[0] for path in (tmp_path / ".gradiometer" / "cures").iterdir()] == [
        "package.train"
    ]
