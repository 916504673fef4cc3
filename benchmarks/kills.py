"""`kill -9` at random moments of `run`, `cure`, `live` and `run --live`; what is left, and what is lost.

The verbs run in processes forked from this one, which has torch loaded: so every moment of their own work is as likely
as another, and none is spent on importing torch. After each kill:

- every run file below the folder passes SQLite's integrity check, can be read and diagnosed, or says in a sentence
  that nothing was recorded when its run ended;
- no process of the killed one's is left (trials, their server, data-loader workers, dashboards);
- what was committed is there: the script notes each step beside, with its time, so that steps and seconds that the
  run file does not have are counted;
- trials of `cure` that were done are not done again.

At last each verb is started once more in the same folder and has to come to its end.

    python benchmarks/kills.py [--count 200] [--seed 0]
"""

import argparse
import contextlib
import io
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import torch
import torch._dynamo

from gradiometer.cli import main as gradiometer_main
from gradiometer.diagnosing import diagnose
from gradiometer.errors import NotARunFileError
from gradiometer.recording.reader import read_run

TRAIN = """
import os, time, torch
torch.set_num_threads(1)
torch.manual_seed(0)
layers = [part for _ in range(4) for part in (torch.nn.Linear(8, 8), torch.nn.Tanh())]
model = torch.nn.Sequential(*layers, torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs, targets = torch.randn(32, 8), torch.randint(0, 3, (32,))
notes = os.open("steps.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
for step in range(int(os.environ.get("STEPS", 10**9))):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    os.write(notes, f"{step} {time.monotonic()}\\n".encode())
    time.sleep(0.002)
"""
"""Trains until it is killed, and notes each step that has ended."""

ILL = """
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
layers = [part for _ in range(5) for part in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())]
model = torch.nn.Sequential(*layers, torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(64, 8)
targets = inputs[:, :3].argmax(1)
for step in range(80):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
"""
"""A script that `cure` has something to do with."""

GONE_SECONDS = 60.0
"""Patience with processes that end by themselves after their parent was killed."""

MARK = "GRADIOMETER_KILLS"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb that is killed.

    Attributes:
        words: The words behind `gradiometer`.
        script: What `train.py` holds.
        longest_seconds: It is killed after a time between 0 and this.
        share: Part of all kills.
        end_words: The same, so that it comes to its end by itself; none where SIGTERM ends it.
    """

    words: tuple[str, ...]
    script: str
    longest_seconds: float
    share: float
    end_words: tuple[str, ...] = ()


VERBS: Mapping[str, Verb] = {
    "run": Verb(
        ("run", "--quiet", "train.py"), TRAIN, 2.5, 0.6, ("run", "--quiet", "--steps", "50", "train.py")
    ),
    "cure": Verb(
        ("cure", "--seeds", "3", "--workers", "2", "train.py"), ILL, 20.0, 0.2,
        ("cure", "--seeds", "3", "--workers", "2", "train.py"),
    ),
    "live": Verb(("live", "--no-browser"), TRAIN, 2.0, 0.12),
    "run --live": Verb(
        ("run", "--quiet", "--live", "train.py"), TRAIN, 8.0, 0.08,
        ("run", "--quiet", "--live", "--steps", "50", "train.py"),
    ),
}  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What kills of one verb left.

    Attributes:
        kill_count: Kills.
        ended_count: How often it had come to its end before.
        file_count: Run files that were looked at, over all kills.
        empty_count: Of these, files in which nothing was recorded, and which say so.
        gone_seconds: The longest that a process of a killed one was there after it.
        lost_steps: Of each kill that met a training: steps that the script had taken and the run file has not.
        lost_seconds: The time from the last step recorded to the last one taken.
        faults: What should not be, in sentences.
    """

    kill_count: int = 0
    ended_count: int = 0
    file_count: int = 0
    empty_count: int = 0
    gone_seconds: float = 0.0
    lost_steps: list[int] = field(default_factory=list)
    lost_seconds: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def start(words: tuple[str, ...], folder: Path, mark: str) -> int:
    """Start gradiometer in a forked process, a session of its own; its number."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.environ[MARK] = mark
        told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for stream in (1, 2):
            os.dup2(told, stream)
        sys.stdin.close()
        gradiometer_main(list(words))
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def load_all(folder: Path) -> None:
    """Watch a short training in this process, so that what is loaded on the way need not be in each forked one."""
    (folder / "train.py").write_text(TRAIN)
    place = Path.cwd()
    os.chdir(folder)
    os.environ["STEPS"] = "5"
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        gradiometer_main(["run", "--quiet", "--file", ".gradiometer/first.db", "train.py"])
    del os.environ["STEPS"]
    (folder / "steps.log").unlink()
    os.chdir(place)


def processes_of(session: int, mark: str) -> list[int]:
    """Processes of a session, and those that were started with its mark, other than ended ones."""
    found = []
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            words = (place / "stat").read_text().rpartition(")")[2].split()
            is_ours = int(words[3]) == session or f"{MARK}={mark}".encode() in (place / "environ").read_bytes()
        except OSError:
            continue
        if is_ours and words[0] != "Z":
            found.append(int(place.name))
    return found


def orphans_of(session: int, mark: str) -> list[str]:
    """Processes that are left when there was time enough to end, each with its command."""
    deadline = time.monotonic() + GONE_SECONDS
    while (left := processes_of(session, mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"{pid}: {command_of(pid)}" for pid in left]


def command_of(pid: int) -> str:
    """The command of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:120]
    except OSError:
        return ""


def look_at_files(folder: Path, tally: Tally) -> None:
    """Check every run file below a folder."""
    for path in sorted((folder / ".gradiometer").rglob("*.db")):
        tally.file_count += 1
        try:
            diagnose(read_run(path))
        except NotARunFileError as error:
            # A sentence, and only where SQLite had not written anything yet.
            if "nothing had been recorded" not in str(error):
                tally.faults.append(f"{path.name}: {error}")
            tally.empty_count += 1
            continue
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            answer = connection.execute("PRAGMA integrity_check").fetchall()
        if answer != [("ok",)]:
            tally.faults.append(f"{path.name}: {answer}")


def count_losses(folder: Path, child: int, tally: Tally) -> None:
    """Compare what a killed training had done with what its run file has."""
    log = folder / "steps.log"
    if not log.exists():
        return
    lines = log.read_text().splitlines(keepends=True)
    moments = [float(line.split()[1]) for line in lines if line.endswith("\n")]
    log.unlink()
    files = list((folder / ".gradiometer" / "runs").glob(f"*-{child}.db"))
    recorded = 0
    if files and files[0].stat().st_size:
        run = read_run(files[0])
        recorded = int(run.steps[-1]) + 1 if len(run.steps) else 0
    if moments:
        tally.lost_steps.append(len(moments) - recorded)
        # From before the first step on, where none is recorded.
        since = moments[min(recorded, len(moments)) - 1] if recorded else moments[0]
        tally.lost_seconds.append(moments[-1] - since)


def results_below(folder: Path) -> dict[Path, int]:
    """Results of trials that are done, with the time of their last change."""
    return {path: path.stat().st_mtime_ns for path in folder.glob(".gradiometer/cures/*/*/trials/*/result.json")}


def kill_once(verb: Verb, folder: Path, delay_seconds: float, tally: Tally) -> None:
    """Start a verb, kill it, and look at what is left."""
    mark, done_before = uuid4().hex, results_below(folder)
    child = start(verb.words, folder, mark)
    time.sleep(delay_seconds)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    tally.kill_count += 1
    tally.ended_count += not os.WIFSIGNALED(status)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) not in (0, 3):
        tally.faults.append(f"it ended by itself: {(folder / 'told').read_text()[-300:]}")
    killed = time.monotonic()
    if left := orphans_of(child, mark):
        tally.faults.append(f"processes are left: {left}")
    tally.gone_seconds = max(tally.gone_seconds, time.monotonic() - killed)
    look_at_files(folder, tally)
    count_losses(folder, child, tally)
    if not done_before.items() <= results_below(folder).items():
        tally.faults.append("a trial that was done was done again")


def end_once(verb: Verb, folder: Path, tally: Tally) -> None:
    """Let the verb come to its end in the folder of all kills."""
    mark = uuid4().hex
    child = start(verb.end_words or verb.words, folder, mark)
    if not verb.end_words:
        wait_until_served(folder / "told")
        os.kill(child, signal.SIGTERM)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, 3):
        tally.faults.append(f"after all kills it ended with {code}: {(folder / 'told').read_text()[-300:]}")
    if left := orphans_of(child, mark):
        tally.faults.append(f"processes are left after its end: {left}")


def wait_until_served(told: Path) -> None:
    """Wait until an address is said, a minute at most."""
    deadline = time.monotonic() + 60.0
    while "http://" not in told.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)


def kill_often(name: str, folder: Path, count: int, seed: int, say: Callable[[str], None] = print) -> Tally:
    """Kill one verb again and again in one folder.

    Args:
        name: Key of `VERBS`.
        folder: Where; empty.
        count: Kills.
        seed: Seed of the moments.
        say: Called with each new fault.
    """
    verb, tally, moments = VERBS[name], Tally(), random.Random(seed)
    load_all(folder)
    (folder / "train.py").write_text(verb.script)
    for _ in range(count):
        known = len(tally.faults)
        kill_once(verb, folder, moments.uniform(0.0, verb.longest_seconds), tally)
        for fault in tally.faults[known:]:
            say(f"  {name}: {fault}")
        if name == "run" and tally.kill_count % 10 == 0:
            # The list of files grows with every kill, and each is looked at again after the next.
            for path in (folder / ".gradiometer").glob("runs/*"):
                path.unlink()
    end_once(verb, folder, tally)
    return tally


def report(name: str, tally: Tally) -> None:
    """Print what kills of one verb left."""
    print(
        f"{name}: {tally.kill_count} kills, {tally.ended_count} after its end; {tally.file_count} looks at run files, "
        f"{tally.empty_count} of them at files without anything recorded; "
        f"its processes were gone after {tally.gone_seconds:.1f} s at most; "
        f"faults: {'; '.join(tally.faults) or 'none'}",
        flush=True,
    )
    if tally.lost_steps:
        order = sorted(zip(tally.lost_seconds, tally.lost_steps, strict=True))
        middle, last = order[len(order) // 2], order[-1]
        print(
            f"  {len(order)} trainings were met: not recorded were {middle[1]} steps in the median "
            f"({middle[0]:.2f} s), {max(tally.lost_steps)} steps at most ({last[0]:.2f} s)",
            flush=True,
        )


def main() -> None:
    """Kill as often as asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="kills, of all verbs together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(VERBS), help="one verb, with all the kills")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started, tallies = time.monotonic(), []
    for name in [arguments.only] if arguments.only else VERBS:
        count = arguments.count if arguments.only else round(arguments.count * VERBS[name].share)
        with tempfile.TemporaryDirectory() as folder:
            tallies.append(kill_often(name, Path(folder), count, arguments.seed))
        report(name, tallies[-1])
    fault_count = sum(len(tally.faults) for tally in tallies)
    total = sum(tally.kill_count for tally in tallies)
    print(f"{total} kills, {fault_count} faults, {time.monotonic() - started:.0f} s", flush=True)
    raise SystemExit(bool(fault_count))


if __name__ == "__main__":
    main()
