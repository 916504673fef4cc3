"""Runs scripts that meet a fault, unwatched and watched, each in a process of its own, and tells what came of them.

    python -m faults.run_faults FOLDER NAME [NAME ...]

Processes are forked from this one, which has torch loaded; a fault that needs an interpreter of its own gets one.
"""

import json
import os
import runpy
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

import torch
import torch._dynamo

# Loaded once, for all processes that are forked.
import gradiometer.cli.run
import gradiometer.cli.watched
import gradiometer.diagnosing
import gradiometer.launching.discovery
import gradiometer.showing.measured_object
import gradiometer.showing.terminal  # noqa: F401
from faults.table import FAULTS, SCRIPT, Fault

STREAMS = {"<": 0, ">": 1, "2": 2, "|": 1, "2|": 2}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a script ended.

    Attributes:
        code: Its exit code; minus the signal's number where one ended it.
        output: What it printed.
        errors: What stderr got.
        weights: The weights it saved, as hexadecimal digits.
    """

    code: int
    output: str
    errors: str
    weights: str


def write_script(folder: Path, fault: Fault) -> Path:
    """Write the script of a fault into a folder."""
    text = SCRIPT.replace("{start}", fault.start.strip()).replace("{amid}", fault.amid.strip())
    script = folder / "train.py"
    script.write_text(text.replace("{pause}", str(fault.pause_seconds)))
    return script


def words_of(script: Path, run_file: Path | None) -> list[str]:
    """The words behind `python`: the script alone, or watched."""
    if run_file is None:
        return [str(script)]
    return ["-m", "gradiometer", "run", "--quiet", "--overhead", "1", "--file", str(run_file), str(script)]


def be(words: list[str]) -> None:
    """Run in this process what `python` would with these words."""
    if words[0] == "-m":
        from gradiometer.cli import main

        main(words[2:])
    else:
        sys.argv[:] = words
        runpy.run_path(words[0], run_name="__main__")


def prepare(folder: Path, fault: Fault) -> None:
    """Set this process's streams; what it prints goes to files."""
    for name, number in (("output", 1), ("errors", 2)):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    if fault.streams:
        number = STREAMS[fault.streams]
        if "|" in fault.streams:
            reading, writing = os.pipe()
            os.dup2(writing, number)
            os.close(writing)
            os.close(reading)
        else:
            os.close(number)


def start_forked(folder: Path, fault: Fault, words: list[str], environment: dict[str, str]) -> int:
    """Run in a forked process; its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.chdir(folder)
    os.environ.update(environment)
    prepare(folder, fault)
    sys.stdin, sys.stdout, sys.stderr = (
        None if fault.streams == name else open_stream(n) for name, n in zip("<>2", range(3), strict=True)
    )
    code = 0
    try:
        be(words)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        end(code)
    return code


def open_stream(number: int) -> TextIO:
    """A standard stream, as an interpreter opens it at its start."""
    return open(number, "w" if number else "r", buffering=1, closefd=False)


def end(code: int) -> None:
    """End as an interpreter does: flush, and say 120 where that fails."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(20)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            code = code or (120 if stream is not None else 0)
    os._exit(code)


def start_fresh(folder: Path, fault: Fault, words: list[str], environment: dict[str, str]) -> int:
    """Run in a new interpreter; its exit code."""
    with (folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
        return subprocess.run(
            [sys.executable, *words], cwd=folder, stdout=output, stderr=errors,
            env={**os.environ, **environment}, check=False,
        ).returncode  # fmt: skip


def run_one(folder: Path, fault: Fault, *, is_watched: bool) -> Ended:
    """Run the script of a fault."""
    folder.mkdir(parents=True)
    script, run_file = write_script(folder, fault), folder / "runs" / "run.db"
    environment = {**fault.environment, **({"RUN_FILE": str(run_file)} if is_watched else {})}
    words = words_of(script, run_file if is_watched else None)
    start = start_fresh if fault.is_fresh else start_forked
    code = start(folder, fault, words, environment)
    weights = folder / "weights"
    return Ended(
        code,
        (folder / "output").read_text(),
        (folder / "errors").read_text(encoding="utf-8", errors="replace"),
        weights.read_bytes().hex() if weights.exists() else "",
    )


def main() -> None:
    """Run the faults that are named; one JSON object to stdout."""
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    found = {}
    for number, name in enumerate(sys.argv[2:]):
        both = {is_watched: place / f"{number}-{'watched' if is_watched else 'bare'}" for is_watched in (False, True)}
        found[name] = {
            "folder": str(both[True]),
            **{
                "watched" if is_watched else "bare": asdict(run_one(folder, FAULTS[name], is_watched=is_watched))
                for is_watched, folder in both.items()
            },
        }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
