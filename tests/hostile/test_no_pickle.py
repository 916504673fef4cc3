"""Nothing that gradiometer reads can run: no pickle is loaded, and nothing else that turns data into code."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.recording.writer import RunWriter
from showing.dashboard.made_files import write_run

SOURCES = Path(__file__).parents[2] / "src" / "gradiometer"

JUMPING = """
import torch
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(80):
    inputs = torch.randn(16, 4)
    optimizer.zero_grad()
    ((model(inputs) - 1.0).square().mean() * (500.0 if step == 70 else 1.0)).backward()
    optimizer.step()
"""
"""A loss that jumps after weights were kept: its batch is kept, too, and a replay goes through all of it."""

LOADING = re.compile(
    r"\bc?pickle\.|import c?pickle|cloudpickle\.|import cloudpickle|import dill|dill\.load|joblib\.load|shelve\.|"
    r"marshal\.load|torch\.load\(|np\.load\(|numpy\.load\(|allow_pickle=True|weights_only=False|yaml\.(unsafe_)?load\(|"
    r"(?<![\w.])eval\(|(?<![\w.])exec\(|os\.system\(|os\.popen\(|shell=True|runpy\."
)
"""Calls that turn bytes into objects or code, or words into a command."""

ALLOWED: Mapping[tuple[str, str], str] = {
    ("launching/script.py", "marshal.load"): "a compiled script (.pyc) that the user names is run, as python runs it",
    ("integrations/jupyter.py", "exec("): "the cell that the user has just typed behind %%gradiometer is run",
    ("launching/script.py", "exec("): "the user's own script is run, as python runs it",
    ("curing/trials/gathering.py", "np.load("): "its own samples, with allow_pickle=False",
    ("lab/datasets/mnist.py", "np.load("): "MNIST's archive, with allow_pickle=False",
}
"""Where such a call may stand, and why. What is sent to processes of one's own (multiprocessing, Ray) is no file."""


def calls_found() -> set[tuple[str, str]]:
    """Every such call in the sources, docstrings and comments left out, by file."""
    found = set()
    for path in sorted(SOURCES.rglob("*.py")):
        text = re.sub(r'"""(.|\n)*?"""|#.*', "", path.read_text(encoding="utf-8"))
        found |= {(str(path.relative_to(SOURCES)), match[0]) for match in LOADING.finditer(text)}
    return found


def test_turns_data_into_code_nowhere_but_where_a_reason_stands() -> None:
    assert calls_found() == set(ALLOWED)


@pytest.mark.parametrize("place", [place for place in ALLOWED if place[1] == "np.load("])
def test_loads_arrays_without_the_pickles_that_may_be_in_them(place: tuple[str, str]) -> None:
    text = (SOURCES / place[0]).read_text(encoding="utf-8")
    calls = re.findall(r"np\.load\([^)]*\)", text)
    assert calls
    assert all("allow_pickle=False" in call for call in calls)


class Malice:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.marker), "w"))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "was_loaded"


def test_means_a_pickle_that_does_harm(marker: Path) -> None:
    pickle.loads(pickle.dumps(Malice(marker))).close()
    assert marker.exists()


def malicious_run(folder: Path, marker: Path) -> Path:
    """A run file with pickles wherever one could lie: in its values, and in every file beside it."""
    harm = pickle.dumps(Malice(marker))
    path = write_run(folder / "run.db", hidden_count=2, step_count=12)
    with RunWriter(path, is_resumed=True) as writer:
        writer.add_facts({"model": harm.hex(), "pickle": harm.decode("latin-1"), "script": "train.pkl"})
    kept = {"batch.0.0": torch.ones(2, 2)}
    for name in ("run.batches", "run.weights"):
        beside = path.with_name(name)
        beside.mkdir()
        (beside / "step-00000003.safetensors").write_bytes(harm)
        torch.save({"harm": Malice(marker)}, beside / "step-00000004.safetensors")
        save_file(kept, beside / "step-00000005.safetensors", metadata={"gradiometer": harm.decode("latin-1")})
        shutil.copy(beside / "step-00000003.safetensors", beside / "weights.pt")
    for name in ("run.pkl", "run.pt", "train.pkl", "sitecustomize.pkl"):
        path.with_name(name).write_bytes(harm)
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["diagnose"],
        ["report"],
        ["explain"],
        ["export", "--to", "csv"],
        ["export", "--to", "parquet"],
        ["compare"],
    ],
    ids=" ".join,
)
def test_loads_no_pickle_whatever_is_asked_of_a_run(tmp_path: Path, marker: Path, words: list[str]) -> None:
    path = malicious_run(tmp_path, marker)
    files = [str(path)] * (2 if words[0] == "compare" else 1)
    ended = CliRunner().invoke(app, [*words, *files])
    assert ended.exit_code in {0, 3}
    assert not marker.exists()


def test_replays_nothing_that_a_file_does_not_say_how_to_run(tmp_path: Path, marker: Path) -> None:
    ended = CliRunner().invoke(app, ["replay", "--step", "3", str(malicious_run(tmp_path, marker))])
    assert "record it with `gradiometer run SCRIPT`" in str(ended.exception)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["run.pkl", "run.pt", "run.batches/step-00000003.safetensors"])
def test_refuses_a_pickle_that_is_given_as_a_run_file(tmp_path: Path, marker: Path, name: str) -> None:
    path = malicious_run(tmp_path, marker).parent / name
    ended = CliRunner().invoke(app, ["diagnose", str(path)])
    assert "is not a run file" in str(ended.exception)
    assert not marker.exists()


@pytest.mark.parametrize("step", [3, 4])
def test_compares_a_replay_with_no_pickle(tmp_path: Path, marker: Path, step: int) -> None:
    from gradiometer.measuring.kept_batches import read_batch
    from gradiometer.measuring.kept_weights import differing

    folder = malicious_run(tmp_path, marker).parent
    with pytest.raises(ValueError, match="is no file of kept tensors"):
        read_batch(folder / "run.batches" / f"step-{step:08d}.safetensors")
    with pytest.raises(ValueError, match="is no file of kept tensors"):
        differing(folder / "run.weights" / f"step-{step:08d}.safetensors", {})
    assert not marker.exists()


@pytest.mark.slow  # three processes that load torch; the default suite reads such files above
def test_replays_a_run_whose_kept_tensors_were_exchanged_for_pickles_and_opens_none(
    tmp_path: Path, marker: Path
) -> None:
    def called(*words: str) -> str:
        command = [sys.executable, "-m", "gradiometer", *words]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
        assert ended.returncode == (3 if words[0] == "replay" else 0), ended.stderr
        return ended.stdout

    (tmp_path / "train.py").write_text(JUMPING)
    keeping = ("--keep-batches", "4", "--keep-weights", "2", "--seed", "3")
    called("run", "--quiet", "--file", "run.db", *keeping, "train.py")
    kept = [*tmp_path.glob("run.batches/*.safetensors"), *tmp_path.glob("run.weights/*.safetensors")]
    as_kept = json.loads(called("replay", "run.db", "--json"))["notes"]
    for place in kept:
        place.write_bytes(pickle.dumps(Malice(marker)))
    as_pickles = json.loads(called("replay", "run.db", "--json"))["notes"]

    assert {place.parent.name for place in kept} == {"run.batches", "run.weights"}
    assert any("the batch of step 70 is the one that was kept, bit for bit" in note for note in as_kept)
    assert any("random numbers are those that were kept" in note for note in as_kept)
    refused = [note for note in as_pickles if "is no file of kept tensors" in note]
    assert {note.split()[1] for note in refused} == {"batch", "weights"}
    assert not any("bit for bit" in note for note in as_pickles)
    assert not marker.exists()


def test_shows_a_malicious_run_on_the_dashboard_and_loads_nothing(tmp_path: Path, marker: Path) -> None:
    from gradiometer.cli.living import run_files
    from gradiometer.diagnosing import diagnose
    from gradiometer.showing.dashboard.shelf import Shelf, key_of

    path = malicious_run(tmp_path, marker)
    shelf = Shelf(lambda: list(run_files(tmp_path, is_folder=True)), diagnose)
    seen = shelf.look(key_of(path))
    assert seen is not None
    assert seen.diagnosis is not None
    assert not marker.exists()
