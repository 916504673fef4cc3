"""`gradiometer run` and `check` on scripts as people write them, good and bad, in real processes."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradiometer.cli import main
from gradiometer.curing.case import target_from
from gradiometer.recording.reader import read_run
from gradiometer.showing.wording import command_of

TRAIN = """
import sys, time, torch
torch.manual_seed(0)
layers = [m for _ in range(4) for m in (torch.nn.Linear(8, 8), torch.nn.Tanh())]
model = torch.nn.Sequential(*layers, torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
print("arguments", sys.argv[1:], flush=True)
for step in range(40):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    {inside}
print("end", flush=True)
"""


def write_script(folder: Path, inside: str = "pass", name: str = "train.py") -> Path:
    script = folder / name
    script.write_text(TRAIN.replace("{inside}", inside))
    return script


def gradiometer(folder: Path, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    command = [sys.executable, "-m", "gradiometer", *words]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )


def refused(folder: Path, *words: str) -> tuple[object, str, str]:
    """Exit code, output and errors of a command that ends before a script starts; called in this process."""
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        pytest.raises(SystemExit) as ended,
    ):
        main(list(words))
    return ended.value.code, output.getvalue(), errors.getvalue()


def only_run_file(folder: Path) -> Path:
    (file,) = (folder / ".gradiometer" / "runs").glob("*.db")
    return file


def test_runs_a_script_as_python_would_and_ends_with_the_verdict(tmp_path: Path) -> None:
    write_script(tmp_path)
    answer = gradiometer(tmp_path, "run", "train.py", "--epochs", "3")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "arguments ['--epochs', '3']\nend\n"
    run = read_run(only_run_file(tmp_path))
    assert run.step_count == 40
    assert run.facts["status"] == "finished"
    assert run.facts["arguments"] == ["--epochs", "3"]
    assert "layers seen" in answer.stderr
    assert "measuring cost" in answer.stderr


def test_hands_on_a_failing_scripts_traceback_and_code_and_keeps_the_run(tmp_path: Path) -> None:
    write_script(tmp_path, "assert step < 20, 'half-way'")
    bare = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    answer = gradiometer(tmp_path, "run", "--quiet", "train.py")
    assert answer.returncode == bare.returncode == 1
    assert bare.stderr.strip() in answer.stderr
    run = read_run(only_run_file(tmp_path))
    assert run.step_count == 21
    assert run.facts["status"] == "failed"
    assert "half-way" in run.facts["traceback"]


@pytest.mark.slow
def test_names_a_module_so_that_it_can_be_run_and_cured_again(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    write_script(tmp_path / "package")
    answer = gradiometer(tmp_path, "run", "--quiet", "--file", "run.db", "-m", "package.train", "--epochs", "3")
    assert answer.returncode == 0, answer.stderr
    run = read_run(tmp_path / "run.db")
    assert (run.facts["script"], run.facts["is_module"]) == ("package.train", True)
    assert run.facts["command"] == "python -m package.train --epochs 3"
    assert command_of(run) == "-m package.train --epochs 3"
    assert target_from(str(tmp_path / "run.db"), ()).module == "package.train"


@pytest.mark.slow
def test_stops_after_the_steps_asked_for(tmp_path: Path) -> None:
    write_script(tmp_path)
    answer = gradiometer(tmp_path, "run", "--quiet", "--steps", "7", "--file", "here.db", "train.py")
    assert answer.returncode == 0, answer.stderr
    assert "end" not in answer.stdout
    run = read_run(tmp_path / "here.db")
    assert (run.step_count, run.facts["status"]) == (7, "stopped")


def test_check_takes_sixteen_steps_and_tells_its_diagnosis_as_json(tmp_path: Path) -> None:
    write_script(tmp_path)
    answer = gradiometer(tmp_path, "check", "--json", "train.py")
    assert answer.returncode == 0, answer.stderr
    first, _, rest = answer.stdout.partition("\n")
    assert first.startswith("arguments")
    assert {"verdict", "findings", "coverage", "measured"} <= json.loads(rest).keys()
    assert read_run(only_run_file(tmp_path)).snapshot_count == 16


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("print('no torch here')", "never imported torch"),
        ("import torch\nprint(torch.ones(2).sum().item())", "0 optimizer(s) were made"),
        pytest.param(
            "import torch\nm = torch.nn.Linear(2, 2)\ntorch.optim.SGD(m.parameters(), lr=1.0)\nm(torch.ones(1, 2))",
            "1 optimizer(s) were made", marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_says_what_was_looked_for_where_no_training_is_seen(tmp_path: Path, source: str, words: str) -> None:
    (tmp_path / "train.py").write_text(source)
    answer = gradiometer(tmp_path, "run", "--quiet", "train.py")
    assert answer.returncode == 2
    assert "no training was seen" in answer.stderr
    assert "gradiometer.watch(model, optimizer)" in answer.stderr
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "missing.py"], "missing.py"),
        (["run"], "name a script to run (gradiometer run train.py)"),
        (["check"], "name a script to check (gradiometer check train.py)"),
        (["run", "--overhead", "2", "train.py"], "overhead is 2"),
        (["run", "--fail-on", "awful", "train.py"], "awful"),
        (["run", "--stop-on", "awful", "train.py"], "awful"),
    ],
)
def test_says_in_a_sentence_what_it_can_not_do(tmp_path: Path, words: list[str], told: str) -> None:
    write_script(tmp_path)
    code, _, errors = refused(tmp_path, *words)
    assert code == 2
    assert told in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_an_unwritable_folder_costs_the_recording_and_not_the_training(tmp_path: Path) -> None:
    write_script(tmp_path)
    answer = gradiometer(tmp_path, "run", "--quiet", "--file", "/proc/nowhere/run.db", "train.py")
    assert "end" in answer.stdout
    assert "/proc/nowhere" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_recorded(tmp_path: Path) -> None:
    write_script(tmp_path, "print('step', flush=True); time.sleep(0.1)")
    process = subprocess.Popen(
        [sys.executable, "-m", "gradiometer", "run", "--quiet", "train.py"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A shell that runs these tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    seen = 0
    for line in process.stdout:
        seen += line.startswith("step")
        if seen == 5:
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "KeyboardInterrupt" in errors
    run = read_run(only_run_file(tmp_path))
    assert run.step_count >= 5
    assert run.facts["status"] == "interrupted"


@pytest.mark.slow
def test_a_killed_run_stays_readable_to_its_last_commit(tmp_path: Path) -> None:
    write_script(tmp_path, "print('step', flush=True); time.sleep(0.05)")
    process = subprocess.Popen(
        [sys.executable, "-m", "gradiometer", "run", "--quiet", "--file", "killed.db", "train.py"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for _ in range(12):
        process.stdout.readline()
    time.sleep(0.5)
    process.kill()
    process.wait(timeout=30)
    process.stdout.close()
    run = read_run(tmp_path / "killed.db")
    assert run.step_count >= 8
    assert run.facts["status"] == "running"


@pytest.mark.slow
def test_ends_with_three_where_a_finding_reaches_the_level_asked_for(tmp_path: Path) -> None:
    write_script(tmp_path, "optimizer.param_groups[0]['lr'] = float('nan')")
    answer = gradiometer(tmp_path, "run", "--quiet", "--fail-on", "critical", "train.py")
    assert answer.returncode == 3, answer.stderr


@pytest.mark.slow
def test_stops_where_a_condition_asked_for_is_found(tmp_path: Path) -> None:
    write_script(tmp_path, "optimizer.param_groups[0]['lr'] = float('nan'); time.sleep(0.2)")
    answer = gradiometer(tmp_path, "run", "--quiet", "--stop-on", "non_finite", "train.py")
    assert answer.returncode == 3, answer.stderr
    assert "end" not in answer.stdout
    assert read_run(only_run_file(tmp_path)).step_count < 40


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--overhead", "5"], "at most 1"), (["--file", "train.py"], "already"), (["-m"], "requires an argument")],
)
def test_refuses_what_can_not_be_recorded_before_the_script_runs(
    tmp_path: Path, options: list[str], words: str
) -> None:
    write_script(tmp_path, "")
    code, output, errors = refused(tmp_path, "run", *options, *([] if options == ["-m"] else ["train.py"]))
    assert code == 2
    assert words in errors
    assert output == ""


@pytest.mark.slow
def test_runs_that_start_together_have_files_of_their_own(tmp_path: Path) -> None:
    write_script(tmp_path, "")
    command = [sys.executable, "-m", "gradiometer", "run", "--quiet", "train.py"]
    both = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert len(list((tmp_path / ".gradiometer" / "runs").glob("*.db"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inside", "code", "told"),
    [
        ("if step == 30: import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 143, "Run file:"),
        ("if step == 30: import os; os._exit(7)", 7, "gradiometer diagnose"),
    ],
)
def test_gives_a_verdict_or_the_way_to_one_however_the_script_is_ended(
    inside: str, code: int, told: str, tmp_path: Path
) -> None:
    write_script(tmp_path, inside)
    answer = gradiometer(tmp_path, "run", "train.py")
    assert answer.returncode == code, answer.stderr
    assert "end" not in answer.stdout
    assert told in answer.stderr
    assert read_run(only_run_file(tmp_path)).snapshot_count >= 4


@pytest.mark.slow
def test_leaves_sigterm_to_a_script_that_handles_it_and_to_its_children(tmp_path: Path) -> None:
    handled = (
        "if step == 5:\n"
        "        import os, signal, multiprocessing\n"
        "        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "        child.start(); child.terminate(); child.join(); print('child', child.exitcode)\n"
        "        signal.signal(signal.SIGTERM, lambda *_: print('handled'))\n"
        "        os.kill(os.getpid(), signal.SIGTERM)"
    )
    write_script(tmp_path, handled)
    answer = gradiometer(tmp_path, "run", "train.py")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[1:] == ["child -15", "handled", "end"]
