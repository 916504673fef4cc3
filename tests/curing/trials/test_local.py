import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from curing.trials.trial_material import SIGMOIDS, spec_for
from gradiometer.curing.trials.local import (
    TrialEnd,
    has_room_for_socket,
    needs_fresh_interpreter,
    preloadable_imports,
    read_end,
    run_trials,
    sets_environment,
)
from gradiometer.curing.trials.pairing import read_trial
from gradiometer.curing.trials.scratch import remove_stale
from gradiometer.recording.reader import read_run

CRASHES = {
    "exit": ("import os\n", "    os._exit(9)\n", "exit code 9"),
    "signal": ("import os, signal\n", "    os.kill(os.getpid(), signal.SIGSEGV)\n", "signal 11"),
    "error": ("", "    raise ValueError('no such thing')\n", "ValueError: no such thing"),
}


@pytest.mark.parametrize("kind", CRASHES)
def test_takes_a_crash_for_a_failed_trial(tmp_path: Path, kind: str) -> None:
    start, end, words = CRASHES[kind]
    (end_of_trial,) = run_trials([spec_for(tmp_path, start + SIGMOIDS + end)], workers=1)
    reading = read_trial(end_of_trial)

    assert reading.trial.status == "failed"
    assert words in reading.trial.detail


def test_says_why_a_script_that_is_no_python_failed(tmp_path: Path) -> None:
    reading = read_trial(run_trials([spec_for(tmp_path, "this is no Python")], workers=1)[0])

    assert reading.trial.status == "failed"
    assert "SyntaxError" in reading.trial.detail


def test_ends_a_trial_that_takes_too_long(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "import time\ntime.sleep(100)\n", patience_seconds=0.5)
    begun = time.monotonic()
    reading = read_trial(run_trials([spec], workers=1)[0])

    assert reading.trial.status == "failed"
    assert reading.trial.detail == "its time ran out: 0 steps in 500 ms"
    assert time.monotonic() - begun < 50.0


def test_tries_a_trial_again_whose_time_ran_out(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, SIGMOIDS, steps=3)
    late, done = ({"exit_code": code, "elapsed_seconds": 1.0, "was_late": code < 0} for code in (-9, 0))
    Path(spec.folder).mkdir(parents=True)
    noted = Path(spec.folder) / "result.json"
    noted.write_text(json.dumps(late))
    assert read_end(spec) is None
    noted.write_text(json.dumps(done))
    assert read_end(spec) == TrialEnd(spec, 0, 1.0)


def test_does_not_run_a_trial_again_that_is_done(tmp_path: Path) -> None:
    text = f"open({str(tmp_path / 'count')!r}, 'a').write('x')\n" + SIGMOIDS
    spec = spec_for(tmp_path, text, steps=3)
    first = run_trials([spec], workers=1)
    written = read_run(spec.run_file).facts["started_at"]
    seen: list[int] = []
    second = run_trials([spec], workers=1, when_done=lambda end: seen.append(end.exit_code))

    assert first == second
    assert seen == [0]
    assert read_run(spec.run_file).facts["started_at"] == written
    assert not (tmp_path / "count").exists()


def test_runs_a_trial_anew_when_anything_that_decides_differs(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, SIGMOIDS)
    others = [{"seed": 1}, {"step_limit": 5}, {"cures": ("clip_gradients",)}, {"threads": 2}, {"overhead": 1.0}]
    folders = {replace(spec, **other).placed_in(tmp_path / "trials").folder for other in others}  # type: ignore[arg-type]

    assert len(folders | {spec.folder}) == 6


@pytest.mark.slow
def test_ends_data_loader_workers_with_their_trial(tmp_path: Path) -> None:
    text = """\
import multiprocessing
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Data(Dataset):
    def __len__(self): return 64
    def __getitem__(self, index): return torch.randn(4)

def main():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for inputs in DataLoader(Data(), batch_size=8, num_workers=2, persistent_workers=True):
        loss = model(inputs).square().mean()
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        pids = [child.pid for child in multiprocessing.active_children()]
    print("workers", *pids, flush=True)

if __name__ == "__main__":
    main()
"""
    spec = spec_for(tmp_path, text)
    reading = read_trial(run_trials([spec], workers=1)[0])
    log = (Path(spec.folder) / "output.log").read_text()

    assert reading.trial.status == "done", log
    pids = [int(word) for word in log.split()[1:]]
    assert len(pids) == 2
    wait_until_gone(pids)


DRIVER = """\
import sys
from pathlib import Path
from curing.trials.trial_material import spec_for
from gradiometer.curing.trials.local import run_trials
text = {start!r} + "import os, time, torch\\nprint('pid', os.getpid(), flush=True)\\ntime.sleep(600)\\n"
print("ready", flush=True)
run_trials([spec_for(Path({folder!r}), text, seed=seed) for seed in range(2)], workers=2)
"""


@pytest.fixture
def make_scratch() -> Iterator[Callable[[], Path]]:
    """Makes temporary folders with a path so short that a server of processes can have its socket there."""
    with ExitStack() as folders:
        yield lambda: Path(folders.enter_context(tempfile.TemporaryDirectory()))


@pytest.mark.slow
def test_runs_trials_where_the_temporary_folder_has_a_long_path(tmp_path: Path) -> None:
    scratch = tmp_path / ("long" * 20)
    scratch.mkdir()
    assert not has_room_for_socket(str(scratch))
    assert has_room_for_socket("/tmp")
    driver = (
        "from pathlib import Path\n"
        "from curing.trials.trial_material import SIGMOIDS, spec_for\n"
        "from gradiometer.curing.trials.local import run_trials\n"
        f"print([end.exit_code for end in run_trials([spec_for(Path({str(tmp_path)!r}), SIGMOIDS)], workers=1)])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(scratch)}
    done = subprocess.run([sys.executable, "-c", driver], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[0]\n", done.stderr
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    "start", ["", pytest.param("import os\nos.environ['SOME_VARIABLE'] = '1'\n", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_leaves_no_process_when_it_is_interrupted_or_killed(
    tmp_path: Path, make_scratch: Callable[[], Path], start: str, number: int
) -> None:
    driver = DRIVER.format(folder=str(tmp_path), start=start)
    tests, scratch = Path(__file__).parents[2], make_scratch()
    process = subprocess.Popen(
        [sys.executable, "-c", driver],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tests), "TMPDIR": str(scratch)},
        # A shell that runs these tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        pids = wait_for_pids(tmp_path / "trials", 2)
        assert remove_stale(scratch) == []
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    wait_until_gone(pids)
    left = list(scratch.glob("gradiometer-cure-*"))
    assert len(left) == (number == signal.SIGKILL)
    assert remove_stale(scratch) == left
    assert not list(scratch.glob("gradiometer-cure-*"))
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in errors
        assert not list((tmp_path / "trials").glob("*"))


def wait_for_pids(folder: Path, count: int) -> list[int]:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        logs = [path.read_text() for path in folder.glob("*/output.log")]
        pids = [int(text.split()[1]) for text in logs if text.endswith("\n") and text.startswith("pid")]
        if len(pids) == count:
            return pids
        time.sleep(0.05)
    raise AssertionError(f"the trials did not start: {logs}")


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10.0
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a trial is still there"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_gives_a_fresh_interpreter_only_to_scripts_that_need_one(tmp_path: Path) -> None:
    early = spec_for(tmp_path, "import os\nos.environ['A'] = '1'\nimport torch\n")
    assert needs_fresh_interpreter(early)
    assert not needs_fresh_interpreter(spec_for(tmp_path, "import os\nimport torch\nos.environ['A'] = '1'\n"))
    assert not needs_fresh_interpreter(spec_for(tmp_path, "no python"))
    assert not needs_fresh_interpreter(replace(early, script=None, module="train"))


@pytest.mark.parametrize("line", ["os.environ.update(A='1')", "os.putenv('A', '1')", "environ['A'] = '1'"])
def test_knows_how_environment_variables_are_set(line: str) -> None:
    assert any(sets_environment(node) for node in ast.walk(ast.parse(line)))


def test_loads_only_packages_beforehand_that_are_known_to_be_safe(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, "import numpy as np, wandb\nfrom sklearn.datasets import load_digits\nfrom . import x\n")
    assert preloadable_imports(spec) == ["numpy", "sklearn.datasets"]
