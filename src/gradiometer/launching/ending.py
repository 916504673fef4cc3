"""How a script ended: its exit code and its traceback, told as `python` itself would tell them."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from gradiometer.errors import ScriptError
from gradiometer.launching.limits import TrainingStopped

INTERRUPTED = 130
TERMINATED = 143
_OUR_FOLDER = str(Path(__file__).parent.parent) + os.sep
_LAB_FOLDER = f"{_OUR_FOLDER}lab{os.sep}"  # its programs are scripts like any other


@dataclass(frozen=True)
class Ending:
    """How a script ended.

    Attributes:
        exit_code: What `python` would hand to the shell: 0 to 255; 130 after Ctrl-C, 143 after SIGTERM.
        exception: What the script did not catch; None after a quiet end, `sys.exit` included.
        traceback_text: The traceback as `python` prints it, without frames of gradiometer; empty without exception.
        was_stopped: Ended by `TrainingStopped`, the step limit, or by what the script did on meeting it.
    """

    exit_code: int
    exception: BaseException | None = None
    traceback_text: str = ""
    was_stopped: bool = False


def ending_of(execute: Callable[[], None]) -> Ending:
    """Execute a script and tell its ending; what `python` prints about it goes to stderr.

    Args:
        execute: Executes the script; what it raises is the script's, except a `ScriptError`, which is ours.

    Raises:
        ScriptError: The script could not be started; nothing has been printed.
    """
    try:
        execute()
    except ScriptError:
        raise
    except BaseException as exception:
        # Outside the handler the script's exception would not be the context of what an excepthook raises.
        raised = exception
    else:
        return _flushed(Ending(0))
    if _came_from_stopping(raised):
        return _flushed(Ending(0, was_stopped=True))
    if isinstance(raised, SystemExit):
        return _flushed(Ending(_exit_code_of(raised)))
    strip_our_frames(raised)
    text = "".join(traceback.format_exception(raised))
    code = INTERRUPTED if isinstance(raised, KeyboardInterrupt) else 1
    return _flushed(Ending(_show(raised, code), raised, text))


def strip_our_frames(exception: BaseException) -> None:
    """Take gradiometer's frames out of an exception's traceback, and out of those chained to it, in place.

    A frame of ours that something else was called from is only passed through and goes. Frames of ours at the very
    end stay, so that a defect of gradiometer keeps its place, except under an OSError: there a guarded `open` stands
    for the built-in one.
    """
    for member in _chain(exception):
        frames = list(_frames(member.__traceback__))
        ours = [_is_ours(frame) for frame in frames]
        last_foreign = max((index for index, is_ours in enumerate(ours) if not is_ours), default=None)
        keeps_end = last_foreign is not None and not isinstance(member, OSError)
        link: TracebackType | None = None
        for index in reversed(range(len(frames))):
            at_end = last_foreign is not None and index > last_foreign
            if not ours[index] or (at_end and keeps_end):
                frame = frames[index]
                link = TracebackType(link, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
        member.__traceback__ = link


def _is_ours(trace: TracebackType) -> bool:
    path = trace.tb_frame.f_code.co_filename
    return path.startswith(_OUR_FOLDER) and not path.startswith(_LAB_FOLDER)


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _chain(exception: BaseException) -> list[BaseException]:
    """List an exception with all causes, contexts and members of groups, each once."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [exception]
    while waiting:
        member = waiting.pop()
        if member is None or any(member is known for known in found):
            continue
        found.append(member)
        waiting += [member.__cause__, member.__context__]
        if isinstance(member, BaseExceptionGroup):
            waiting += member.exceptions
    return found


def _came_from_stopping(exception: BaseException) -> bool:
    """Whether the step limit ended the script, also where the script's own clean-up failed or exited upon it."""
    return any(isinstance(member, TrainingStopped) for member in _chain(exception))


def _exit_code_of(exception: SystemExit) -> int:
    code = exception.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    if sys.stderr is not None:
        sys.stderr.write(f"{code}\n")
    return 1


def _show(exception: BaseException, code: int) -> int:
    """Hand an exception to the script's `sys.excepthook`; returns the exit code, which the hook may change."""
    kind, trace = type(exception), exception.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, exception, trace
    hook = getattr(sys, "excepthook", sys.__excepthook__)
    try:
        hook(kind, exception, trace)
    except SystemExit as leaving:
        return _exit_code_of(leaving)
    except BaseException as fault:
        strip_our_frames(fault)
        sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(fault), fault, fault.__traceback__)
        sys.stderr.write("\nOriginal exception was:\n")
        sys.__excepthook__(kind, exception, trace)
    return code


def _flushed(ending: Ending) -> Ending:
    """Write out what the script printed before anything of ours is printed after it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # closed, replaced, or a reader that left: python complains at its own end, if at all
    return ending
