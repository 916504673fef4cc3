"""Runs trials in processes on this machine, forked from a server that has torch and gradiometer loaded.

Every trial is a process group of its own: Ctrl-C at the terminal reaches the parent alone, which ends them all, and
whatever a trial started (data-loader workers) ends with it. A trial whose parent dies ends itself.
"""

import ast
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from gradiometer.curing.trials.scratch import temporary_folder
from gradiometer.curing.trials.spec import LOG_FILE, RESULT_FILE, WRITTEN_FOLDER, TrialSpec
from gradiometer.curing.trials.worker import perform_in_child

SPEC_FILE = "spec.json"
POLL_SECONDS = 0.02
GRACE_SECONDS = 2.0
"""Time that a trial gets to end by itself before it is killed."""

LONGEST_SOCKET_PATH_BYTES = 103
"""Longest path of a socket that all systems take: 104 bytes on macOS, 108 on Linux, with the zero at its end."""

PRELOADED = (
    "torch",
    "torch._dynamo",  # the first optimizer of a process imports it: two seconds per trial
    "gradiometer.curing",
    "gradiometer.curing.trials.treatment",
    "gradiometer.curing.trials.worker",
    "gradiometer.diagnosing",
    "gradiometer.recording.reader",
)
"""What the server has loaded, so that a trial starts in milliseconds."""

PRELOADABLE = frozenset({"numpy", "pandas", "scipy", "skimage", "sklearn", "torchvision", "tqdm"})
"""Packages that are loaded there too where the script imports them: slow to import, and safe to fork after."""


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """How the process of a trial ended.

    Attributes:
        spec: The trial.
        exit_code: The script's exit code; minus the signal's number where one ended the process.
        elapsed_seconds: Wall time of the process.
        was_late: It was ended for taking too long.
    """

    spec: TrialSpec
    exit_code: int
    elapsed_seconds: float
    was_late: bool = False


class Child(Protocol):
    """A process under way."""

    @property
    def pid(self) -> int | None:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""


@dataclass(slots=True)
class Forked:
    """A process forked from the server."""

    process: Any

    @property
    def pid(self) -> int | None:
        """Its number."""
        return int(self.process.pid)

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return None if self.process.exitcode is None else int(self.process.exitcode)


@dataclass(slots=True)
class Interpreter:
    """A process of its own, tied to this one by a pipe: its other end tells the process when this one is gone."""

    process: "subprocess.Popen[bytes]"
    lifeline: int | None

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self.process.pid

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        code = self.process.poll()
        if code is not None and self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None
        return code


@dataclass(slots=True)
class Going:
    """A trial under way.

    Attributes:
        spec: The trial.
        child: Its process.
        started: When it was started, as `time.monotonic` tells it.
        is_late: It was told to end for taking too long.
    """

    spec: TrialSpec
    child: Child
    started: float = field(default_factory=time.monotonic)
    is_late: bool = False


Ends = Generator[TrialEnd, None, None]
"""How trials end, one after the other as they do."""

Starter = Callable[[TrialSpec, Mapping[str, str]], Going]
"""Starts the process of a trial, given its environment variables."""


def run_trials(
    specs: Sequence[TrialSpec],
    *,
    workers: int,
    when_done: Callable[[TrialEnd], None] | None = None,
    start: Starter | None = None,
) -> list[TrialEnd]:
    """Run trials, some at a time; those that have a result already are not run again.

    Args:
        specs: The trials, each with a folder.
        workers: Processes at a time.
        when_done: Called in this process after each one.
        start: What starts a trial's process; `start_process` where None.

    Returns:
        How each ended, in the order of `specs`. What a script does, a crash included, is a result and no error.

    Raises:
        KeyboardInterrupt: Ctrl-C; every process is gone and finished trials are kept.
    """
    with temporary_folder() as scratch:
        return with_known(
            specs, when_done, lambda waiting: carried_out(waiting, workers, scratch, start or start_process)
        )


def with_known(
    specs: Sequence[TrialSpec],
    when_done: Callable[[TrialEnd], None] | None,
    carry_out: Callable[[list[TrialSpec]], Ends],
) -> list[TrialEnd]:
    """Carry out the trials that have no result yet, and tell how all of them ended, in order.

    Args:
        specs: The trials.
        when_done: Called after each one.
        carry_out: Runs some, and yields each as it ends.
    """
    ends: dict[str, TrialEnd] = {}
    waiting: list[TrialSpec] = []
    for spec in specs:
        known = read_end(spec)
        if known is None:
            waiting.append(spec)
        else:
            ends[spec.folder] = known
            if when_done is not None:
                when_done(known)
    with closing(carry_out(waiting)) as coming:
        for end in coming:
            ends[end.spec.folder] = end
            if when_done is not None:
                when_done(end)
    return [ends[spec.folder] for spec in specs]


def carried_out(specs: Sequence[TrialSpec], workers: int, scratch: str, start: Starter) -> Ends:
    """Run trials and yield each as it ends; leave no process behind however this is left."""
    waiting = list(reversed(specs))
    going: list[Going] = []
    environment = {**os.environ, "TMPDIR": scratch}
    try:
        while waiting or going:
            while waiting and len(going) < max(workers, 1):
                going.append(start(waiting.pop(), environment))
            for trial in list(going):
                end = end_of(trial)
                if end is not None:
                    going.remove(trial)
                    yield end
            time.sleep(POLL_SECONDS)
    finally:
        end_all(going)


def empty_folder(spec: TrialSpec) -> None:
    """Make a trial's folder, with nothing but what it is to do in it."""
    folder = Path(spec.folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")


def start_process(spec: TrialSpec, environment: Mapping[str, str]) -> Going:
    """Start a trial's process in an empty folder."""
    empty_folder(spec)
    if needs_fresh_interpreter(spec) or not has_room_for_socket(tempfile.gettempdir()):
        return Going(spec, start_interpreter(spec, environment))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOADED, *preloadable_imports(spec)])
    process = context.Process(target=perform_in_child, args=(spec, dict(environment)), daemon=False)
    with without_main_module():
        process.start()
    return Going(spec, Forked(process))


def has_room_for_socket(folder: str) -> bool:
    """Whether the server of processes can have its socket in a temporary folder: its path must be a short one."""
    return len(os.fsencode(folder)) + len("/pymp-12345678/listener-12345678") <= LONGEST_SOCKET_PATH_BYTES


def start_interpreter(spec: TrialSpec, environment: Mapping[str, str]) -> "Interpreter":
    """Start a trial in an interpreter that has not loaded torch."""
    folder = Path(spec.folder)
    reading, writing = os.pipe()
    try:
        with (folder / LOG_FILE).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "gradiometer.curing.trials.worker", str(folder / SPEC_FILE), str(reading)],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(reading,),
            )
    finally:
        os.close(reading)
    return Interpreter(process, writing)


def end_of(trial: Going) -> TrialEnd | None:
    """How a trial has ended, None while it goes on; one that takes too long is ended."""
    code = trial.child.poll()
    elapsed_seconds = time.monotonic() - trial.started
    if code is None:
        if elapsed_seconds > trial.spec.patience_seconds and not trial.is_late:
            trial.is_late = True
            signal_group(trial.child, signal.SIGKILL)
        return None
    signal_group(trial.child, signal.SIGKILL)
    end = TrialEnd(trial.spec, code, elapsed_seconds, trial.is_late)
    shutil.rmtree(Path(trial.spec.folder) / WRITTEN_FOLDER, ignore_errors=True)
    write_end(end)
    return end


def end_all(going: Sequence[Going]) -> None:
    """End every process: ask, and kill after two seconds; their folders go, for nothing in them is complete."""
    for trial in going:
        signal_group(trial.child, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(trial.child.poll() is None for trial in going) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for trial in going:
        signal_group(trial.child, signal.SIGKILL)
    while any(trial.child.poll() is None for trial in going) and time.monotonic() < deadline + GRACE_SECONDS:
        time.sleep(POLL_SECONDS)
    for trial in going:
        shutil.rmtree(trial.spec.folder, ignore_errors=True)


def signal_group(child: Child, number: int) -> None:
    """Send a signal to a trial's process group; to the process alone where it has not made its group yet."""
    if child.pid is None:
        return
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        if child.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(child.pid, number)
    except PermissionError:
        return  # macOS, where the group consists of ended processes


def write_end(end: TrialEnd) -> None:
    """Note how a trial ended, in its folder."""
    text = json.dumps(
        {"exit_code": end.exit_code, "elapsed_seconds": end.elapsed_seconds, "was_late": end.was_late}, indent=2
    )
    (Path(end.spec.folder) / RESULT_FILE).write_text(text, encoding="utf-8")


def read_end(spec: TrialSpec) -> TrialEnd | None:
    """What was noted of a trial before; None where it did not end, or was late, for the machine may be idle now."""
    try:
        noted = json.loads((Path(spec.folder) / RESULT_FILE).read_text(encoding="utf-8"))
        end = TrialEnd(spec, int(noted["exit_code"]), float(noted["elapsed_seconds"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return None if noted.get("was_late") else end


@contextmanager
def without_main_module() -> Iterator[None]:
    """Hide the main module: multiprocessing would run it again in every child, which needs nothing of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def needs_fresh_interpreter(spec: TrialSpec) -> bool:
    """Whether the script sets environment variables before it imports torch, which then have to be there first.

    A module, and a script that can't be read as Python, get none: the server's torch was loaded with this process's
    environment.
    """
    for statement in statements_of(spec):
        if imports_torch(statement):
            return False
        if any(sets_environment(node) for node in ast.walk(statement)):
            return True
    return False


def preloadable_imports(spec: TrialSpec) -> list[str]:
    """Modules that the script imports at its top and that the server may load beforehand."""
    found: list[str] = []
    for statement in statements_of(spec):
        if isinstance(statement, ast.Import):
            found += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            found.append(statement.module)
    return [name for name in found if name.partition(".")[0] in PRELOADABLE]


def statements_of(spec: TrialSpec) -> list[ast.stmt]:
    """The script's statements; none of a module, or of what is no Python."""
    if spec.script is None:
        return []
    try:
        return ast.parse((Path(spec.working_directory) / spec.script).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return []


def imports_torch(statement: ast.stmt) -> bool:
    """Whether a statement imports torch or a part of it."""
    if isinstance(statement, ast.Import):
        return any(alias.name.partition(".")[0] == "torch" for alias in statement.names)
    return isinstance(statement, ast.ImportFrom) and (statement.module or "").partition(".")[0] == "torch"


def sets_environment(node: ast.AST) -> bool:
    """Whether a node changes environment variables.

    Example:
        >>> [sets_environment(ast.parse(line).body[0]) for line in ("os.environ['A'] = '1'", "a = os.environ['A']")]
        [True, False]
        >>> sets_environment(ast.parse("os.environ.setdefault('A', '1')", mode="eval").body)
        True
    """
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(isinstance(target, ast.Subscript) and names_environment(target.value) for target in targets)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        is_method = node.func.attr in {"setdefault", "update", "pop"} and names_environment(node.func.value)
        return is_method or node.func.attr in {"putenv", "unsetenv"}
    return False


def names_environment(node: ast.expr) -> bool:
    """Whether an expression is `os.environ` or a bare `environ`."""
    return (isinstance(node, ast.Attribute) and node.attr == "environ") or (
        isinstance(node, ast.Name) and node.id == "environ"
    )
