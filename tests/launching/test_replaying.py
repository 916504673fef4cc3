"""gradiometer, where a recorded run is replayed ..."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gradiometer.recording.keeping import batches_folder, kept_files
from gradiometer.recording.reader import read_run

HERE = Path(__file__).parent
SCRIPT = HERE / "replayed_script.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replays")


@pytest.fixture(scope="module")
def replays(folder: Path) -> dict[str, Any]:
    """All recordings and replays, made in one fresh process."""
    answer = subprocess.run(
        [sys.executable, str(HERE / "run_replays.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "100"},
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def told(replays: dict[str, Any], kind: str) -> dict[str, Any]:
    """What a replay printed as JSON."""
    found: dict[str, Any] = json.loads(replays[kind][1])
    return found


def line_of(text: str) -> int:
    """The line of the script that holds some text."""
    lines = SCRIPT.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.mark.parametrize(
    ("kind", "step", "name", "phase", "text"),
    [
        ("root", 7, "div", "backward", "torch.sqrt"),
        ("overflow", 9, "_to_copy", "forward", ".half()"),
        ("division", 0, "div", "forward", "errors.square().sum() /"),
    ],
)
def test_names_step_operation_and_line(
    replays: dict[str, Any], kind: str, step: int, name: str, phase: str, text: str
) -> None:
    assert replays[kind][0] == 0, replays[kind][2]
    found = told(replays, kind)
    operation = found["operation"]
    assert (found["step"], operation["name"], operation["phase"]) == (step, name, phase)
    assert operation["call_site"].endswith(f"replayed_script.py:{line_of(text)}")
    assert any(output["nan_count"] + output["infinity_count"] for output in operation["outputs"])
    assert all(entry["nan_count"] + entry["infinity_count"] == 0 for entry in operation["inputs"])


def test_names_the_operation_that_a_backward_one_belongs_to(replays: dict[str, Any]) -> None:
    operation = told(replays, "root")["operation"]
    assert operation["differentiates"] == "SqrtBackward0"
    assert 0.0 in [entry["low"] for entry in operation["inputs"]]


def test_tells_the_way_to_the_operation_by_layers(replays: dict[str, Any]) -> None:
    layers = [operation["layer"] for operation in told(replays, "overflow")["chain"]]
    of_the_model = [layer for layer in layers if layer]
    assert of_the_model[-1] == "3"
    assert len(of_the_model) > 2
    assert of_the_model == sorted(of_the_model)


def test_names_a_batch_that_was_no_number(replays: dict[str, Any], folder: Path) -> None:
    found = told(replays, "batch")
    assert (found["step"], found["operation"], found["source"]) == (11, None, "batch 0")
    assert list(kept_files(batches_folder(folder / "batch.db"))) == [11]


def test_checks_on_the_way_that_it_is_the_same_run(replays: dict[str, Any]) -> None:
    found = told(replays, "overflow")
    assert found["parted_step"] is None
    assert found["checked_count"] >= 5
    assert any("batch of step 9 is the one that was kept" in note for note in found["notes"])


def test_says_where_a_script_without_a_seed_parts(replays: dict[str, Any]) -> None:
    found = told(replays, "unseeded")
    assert found["parted_step"] == 0
    assert any("from step 0 on the replay is not the recorded run" in note for note in found["notes"])
    assert replays["unseeded"][0] == 3


def test_tells_the_largest_number_where_a_loss_only_jumped(replays: dict[str, Any]) -> None:
    code, _, _ = replays["jump"]
    found = told(replays, "jump")
    assert (code, found["step"], found["operation"]) == (3, 30, None)
    assert any("the largest number in step 30" in note for note in found["notes"])


def test_refuses_where_nothing_was_wrong(replays: dict[str, Any]) -> None:
    code, output, errors = replays["sound"]
    assert (code, output) == (2, "")
    assert "name a step with --step" in errors


def test_refuses_a_step_that_the_run_did_not_take(replays: dict[str, Any]) -> None:
    code, _, errors = replays["too late"]
    assert code == 2
    assert "it took 40 steps" in errors


def test_prints_the_result_and_leaves_the_rest_to_stderr(replays: dict[str, Any]) -> None:
    code, output, errors = replays["root text"]
    assert code == 0
    assert "Step 7: div" in " ".join(output.split())
    assert "the replay is the recorded run" in output.lower()
    assert "step 6 loss" in errors
    assert "step 6 loss" not in output


def test_writes_what_it_found_into_the_run_file(replays: dict[str, Any], folder: Path) -> None:
    assert replays["root"][0] == 0
    replay = read_run(folder / "root.db").facts["replay"]
    assert (replay["step"], replay["operation"]["name"]) == (7, "div")


def test_leaves_the_files_of_the_script_alone(replays: dict[str, Any], folder: Path) -> None:
    lines = (folder / "written.txt").read_text().splitlines()
    assert len(lines) == 7, "one for each recorded run, none for a replay"
    assert len(replays) == 9


@pytest.mark.slow  # two processes that each train for some seconds
def test_names_the_logarithm_in_the_example_whose_loss_turns_to_nan(tmp_path: Path) -> None:
    example = HERE.parent.parent / "examples" / "nan_half_way.py"
    command = [sys.executable, "-m", "gradiometer"]
    recording = ["run", "--quiet", "--file", "run.db", "--seed", "3", "--keep-weights", "2", str(example)]
    subprocess.run([*command, *recording], cwd=tmp_path, capture_output=True, check=True, timeout=200)
    answer = subprocess.run(
        [*command, "replay", "run.db", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=200
    )
    found = json.loads(answer.stdout)
    assert found["operation"]["name"] == "log"
    lines = example.read_text().splitlines()
    assert "torch.log" in lines[int(found["operation"]["call_site"].rsplit(":", 1)[1]) - 1]
    assert "5" in [operation["layer"] for operation in found["chain"]]
    assert any("random numbers are those that were kept" in note for note in found["notes"])
    diagnosed = subprocess.run(
        [*command, "diagnose", "run.db", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    evidence = [entry["text"] for finding in json.loads(diagnosed.stdout)["findings"] for entry in finding["evidence"]]
    assert any("log at" in text and "first operation to give NaN or infinity" in text for text in evidence)
