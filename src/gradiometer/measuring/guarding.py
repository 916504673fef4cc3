"""Times what gradiometer does inside a training, and keeps its faults out of it."""

import contextlib
import functools
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import CodeType, FrameType, TracebackType
from typing import Any

import torch

PACKAGE_FOLDER = str(Path(__file__).resolve().parent.parent)
TORCH_FOLDER = str(Path(torch.__file__).resolve().parent)
INSTALLED_FOLDERS = ("site-packages", "dist-packages")
TRAINERS = frozenset(
    {
        "accelerate",
        "deepspeed",
        "fastai",
        "ignite",
        "lightning",
        "lightning_fabric",
        "pytorch_lightning",
        "transformers",
    }
)
"""Packages that call backward for a script, all its losses at one line of theirs."""


class Guard:
    """Wraps every piece of measuring that runs inside somebody's training.

    Used as a context manager around such a piece: its time is added to `spent_seconds`; an exception in it goes to
    `on_fault`, once, and from then on `is_broken` says that no more is to be measured. Exceptions that are not
    errors (`KeyboardInterrupt`, a stop asked for by a hook) pass through.

    Args:
        on_fault: Called with the text of the first fault.
    """

    def __init__(self, on_fault: Callable[[str], None]) -> None:
        self.on_fault = on_fault
        self.is_broken = False
        self.spent_seconds = 0.0
        self._depth = 0
        self._start = 0.0

    @property
    def seconds_so_far(self) -> float:
        """Time spent, the piece under way included."""
        return self.spent_seconds + (perf_counter() - self._start if self._depth else 0.0)

    def __enter__(self) -> None:
        """Start the clock."""
        self._depth += 1
        if self._depth == 1:
            self._start = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Stop the clock; keep an error of ours to ourselves."""
        self._depth -= 1
        if self._depth == 0:
            self.spent_seconds += perf_counter() - self._start
        if error is None or not isinstance(error, Exception):
            return False
        self.fail(error)
        return True

    def fail(self, error: Exception) -> None:
        """End measuring for a fault of ours; only the first is told."""
        if not self.is_broken:
            self.is_broken = True
            self.on_fault(described(error))


def described(error: Exception) -> str:
    """A fault with its traceback; its kind alone where that can't be had, for want of memory or by its own fault."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as another:
        return f"{type(error).__name__}, of which no more can be told ({type(another).__name__})"


def contained(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the errors of a method inside: they end the measuring, and its caller is given None.

    For what torch or a script calls, where not everything that is done is timed by the guard.

    Args:
        method: A method of something with a `guard`.
    """

    @functools.wraps(method)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.guard.fail(error)
            return None

    return run


def is_traced() -> bool:
    """Whether `torch.jit.trace` is recording: what is done to a tensor now would become part of somebody's graph."""
    return bool(torch._C._get_tracing_state())


def is_captured() -> bool:
    """Whether a CUDA graph is being captured: random states can't be asked for then, and nothing may be waited for."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]


MOST_CODES = 4096
"""Code objects remembered; a notebook or a script that makes new ones for ever starts anew."""

foreign_codes: dict[int, tuple[CodeType, bool]] = {}
"""By id of a code object, which is kept alive: whether it is neither gradiometer's nor torch's."""

trainer_codes: dict[int, tuple[CodeType, bool]] = {}
"""By id of a code object, which is kept alive: whether it is one of the `TRAINERS`'."""

known_sites: dict[tuple[int, int], tuple[CodeType, str]] = {}
"""`file:line` by id of a code object and place in its bytecode: putting it together costs as much as a step."""


def is_foreign(code: CodeType) -> bool:
    """Whether code is neither gradiometer's nor torch's, nor what enters a context manager for the user."""
    known = foreign_codes.get(id(code))
    if known is None:
        if len(foreign_codes) >= MOST_CODES:
            foreign_codes.clear()
        is_users = not code.co_filename.startswith((PACKAGE_FOLDER, TORCH_FOLDER, contextlib.__file__, "<frozen"))
        known = foreign_codes[id(code)] = (code, is_users)
    return known[1]


def is_trainers(code: CodeType) -> bool:
    """Whether code belongs to an installed package that trains for the script."""
    known = trainer_codes.get(id(code))
    if known is None:
        if len(trainer_codes) >= MOST_CODES:
            trainer_codes.clear()
        parts = Path(code.co_filename).parts
        owners = [owner for folder, owner in zip(parts, parts[1:], strict=False) if folder in INSTALLED_FOLDERS]
        known = trainer_codes[id(code)] = (code, not TRAINERS.isdisjoint(owners))
    return known[1]


def is_transformed() -> bool:
    """Whether a transform of `torch.func` (`grad`, `vmap`) is under way: its tensors are wrapped and end with it."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def user_frame(depth: int = 1) -> FrameType | None:
    """The innermost frame that is neither gradiometer's nor torch's.

    Args:
        depth: Frames to skip, the caller's own being 1.

    Returns:
        The frame, None where there is none.
    """
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None and not is_foreign(frame.f_code):
        frame = frame.f_back
    return frame


def script_frame(depth: int = 1) -> FrameType | None:
    """As `user_frame`, the `TRAINERS` left out: their lines are the same for all that a script asks them to do.

    Args:
        depth: Frames to skip, the caller's own being 1.

    Returns:
        The frame; where there is none but a trainer's, that.
    """
    innermost = frame = user_frame(depth + 1)
    while frame is not None and (is_trainers(frame.f_code) or not is_foreign(frame.f_code)):
        frame = frame.f_back
    return innermost if frame is None else frame


def call_site(depth: int = 2, *, is_scripts: bool = False) -> str | None:
    """`file:line` of the user's code that is being executed, None where there is none.

    The file is given relative to the working directory where it lies below it, else by its name.

    Args:
        depth: Frames to skip, `call_site`'s own being 1.
        is_scripts: Name the script's line, and not that of a trainer that it calls.
    """
    frame = script_frame(depth) if is_scripts else user_frame(depth)
    if frame is None:
        return None
    code = frame.f_code
    place = (id(code), frame.f_lasti)
    known = known_sites.get(place)
    if known is None:
        if len(known_sites) >= MOST_CODES:
            known_sites.clear()
        known = known_sites[place] = (code, f"{short_path(code.co_filename)}:{frame.f_lineno}")
    return known[1]


def short_path(path: str) -> str:
    """A path as people write it: relative to the working directory where it lies below it.

    Example:
        >>> short_path("/nowhere/else/train.py")
        'train.py'
    """
    file = Path(path)
    try:
        return str(file.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file.name
