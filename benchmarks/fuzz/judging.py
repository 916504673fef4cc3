"""One input, judged: answered or refused by a sentence, in time, in little memory, and nothing done beside."""

import contextlib
import io
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.fuzz.witness import Witness

ANSWERS = frozenset({0, 2, 3})
"""Exit codes of an answer: all is well, a sentence why not, a finding."""

MOST_SECONDS = 60.0
"""For one input, on a machine that has other work; a sound file of that size takes a tenth of one."""

MOST_MEMORY_BYTES = 512 * 2**20
"""By which one input may raise the greatest memory of the process."""


class TooSlowError(Exception):
    """An input took longer than it may."""


@dataclass(frozen=True, slots=True)
class Defect:
    """What one input brought about that it may not.

    Attributes:
        kind: Kind of the input.
        number: Its number in the campaign: with the seed it makes the same input again.
        what: What was done to it.
        fault: The error's last lines, or what was seen.
    """

    kind: str
    number: int
    what: str
    fault: str


@dataclass(slots=True)
class Answer:
    """What the command line said to one input.

    Attributes:
        code: Exit code.
        output: What went to stdout.
        messages: What went to stderr.
    """

    code: int
    output: str
    messages: str


def told(arguments: list[str]) -> Answer:
    """Call the command line in this process.

    Raises:
        Exception: Whatever it lets through: a defect.
    """
    from gradiometer.cli import main

    output, messages = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(messages):
        try:
            code = main(arguments)
        except SystemExit as ending:
            code = ending.code
    return Answer(code if isinstance(code, int) else 0 if code is None else 1, output.getvalue(), messages.getvalue())


def fault_of(answer: Answer) -> str:
    """What is wrong with an answer; empty where nothing is."""
    if answer.code not in ANSWERS:
        return f"exit code {answer.code}: {answer.messages[-300:]}"
    if answer.code == 2 and not answer.messages.strip():
        return "refused without a sentence"
    if "Traceback (most recent call last)" in answer.messages:
        return f"a traceback on stderr: {answer.messages[-300:]}"
    controls = {letter for letter in answer.output + answer.messages if is_control(letter)}
    return f"control characters on the terminal: {sorted(controls)}" if controls else ""


def is_control(letter: str) -> bool:
    """Whether a terminal would obey a letter instead of showing it.

    Example:
        >>> is_control(chr(27)), is_control(chr(155)), is_control("a"), is_control(chr(10))
        (True, True, False, False)
    """
    return (ord(letter) < 32 and letter not in "\n\t") or 127 <= ord(letter) < 160


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Interrupt what takes too long; only in the main thread of a system that has such timers."""

    def interrupt(*_: object) -> None:
        raise TooSlowError(f"more than {MOST_SECONDS:g} s")

    handler = signal.signal(signal.SIGALRM, interrupt)
    timer = signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        # Who runs this may have a timer of his own, as a test runner has.
        signal.setitimer(signal.ITIMER_REAL, *timer)


def judge(attempt: Callable[[], str], witness: Witness) -> str:
    """Try one input.

    Args:
        attempt: Feeds it, and says what is wrong with the answer; empty where nothing is.
        witness: Sees what else happens.

    Returns:
        What it brought about that it may not; empty where nothing.
    """
    memory = greatest_memory()
    witness.seen.clear()
    witness.is_looking = True
    try:
        with bounded(), warnings.catch_warnings():
            # What numpy says of overflow and the like goes to stderr, and nothing else comes of it.
            warnings.simplefilter("ignore")
            fault = attempt()
    except TooSlowError as error:
        fault = f"{error}: {place_of(error)}"
    except Exception as error:
        fault = f"{type(error).__name__}: {str(error)[:200]} {place_of(error)}"
    except SystemExit as error:
        fault = f"the process would end: {error.code}"
    finally:
        witness.is_looking = False
    grown = greatest_memory() - memory
    if not fault and grown > MOST_MEMORY_BYTES:
        fault = f"memory grew by {grown / 2**20:.0f} MiB"
    return fault or "; ".join(witness.seen)


def place_of(error: BaseException) -> str:
    """Where an error was raised: gradiometer's innermost line, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/src/gradiometer/" in frame.filename.replace("\\", "/")]
    named = [*own[-1:], *frames[-1:]]
    return " < ".join(f"{frame.filename.rpartition('/src/')[2][-60:]}:{frame.lineno} {frame.name}" for frame in named)


def greatest_memory() -> int:
    """The greatest memory that the process has had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
