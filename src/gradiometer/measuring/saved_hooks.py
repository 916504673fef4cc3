"""Whether to read what an autograd node saved would run a hook of the script's.

A checkpoint, `save_on_cpu` and `torch.autograd.graph.saved_tensors_hooks` exchange what nodes save for something else;
to read it runs their function, and that may compute a part of the network once more. Torch tells of each saved value
whether it has such a hook from version 2.10 on. Before, a full step notes from its beginning on when hooks begin and
cease to be set, by the number that autograd will give to the next node: a node of that step has hooks if they were set
when it was made. What can't be known that way (nodes of an earlier step or of another thread, hooks that were set in
another thread or on single values) counts as hooked. The functions that set hooks are exchanged for the step alone,
and put back at its end; a hook that a compiled extension sets without them would not be known of.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from threading import get_ident
from typing import Any, NamedTuple

import torch

AUTOGRAD: Any = torch._C._autograd

TELLS_OF_HOOKS = hasattr(AUTOGRAD.SavedTensor, "unpack_hook")
"""Whether torch tells if what a node saved has a hook: 2.10 does, 2.9 does not."""

SETTING_HOOKS = (
    (AUTOGRAD, "_push_saved_tensors_default_hooks"),
    (AUTOGRAD, "_pop_saved_tensors_default_hooks"),
    (torch.autograd, "_push_saved_tensors_default_hooks"),
    (torch.autograd, "_pop_saved_tensors_default_hooks"),
    (AUTOGRAD.SavedTensor, "register_hooks"),
)
"""The functions by which Python sets hooks on saved values, and where they are looked up."""


class Change(NamedTuple):
    """Somebody has set hooks, or ceased to.

    Attributes:
        thread: In which thread.
        number: What autograd gives to the next node of that thread.
        is_active: Hooks are set from now on.
        is_single: They were set on one value of a node that was there before.
    """

    thread: int
    number: int
    is_active: bool
    is_single: bool


class Start(NamedTuple):
    """The moment from which on a thread knows of every change.

    Attributes:
        changes: Where they are noted; others are in force as soon as the functions have been put back.
        place: How many of them were there already.
        number: What autograd would have given to the next node.
        is_active: Hooks were set.
    """

    changes: list[Change]
    place: int
    number: int
    is_active: bool


class Starts(threading.local):
    """The newest start of this thread."""

    newest: Start | None = None


def are_hooks_active() -> bool:
    """Whether this thread has hooks set, so that whatever is saved now is packed by them.

    Torch lets hooks be forbidden, and refuses where some are set: that is asked for and taken back, and runs none.
    """
    forbidden: str | None = AUTOGRAD._saved_tensors_hooks_get_disabled_error_message()
    try:
        AUTOGRAD._saved_tensors_hooks_disable("asked by gradiometer")
    except RuntimeError:
        return True
    finally:
        if forbidden is None:
            AUTOGRAD._saved_tensors_hooks_enable()
        else:
            with suppress(RuntimeError):
                AUTOGRAD._saved_tensors_hooks_disable(forbidden)
    return False


class HookNotes:
    """Notes when hooks on saved values are set, for as long as somebody needs to know."""

    def __init__(self) -> None:
        self._holders: list[object] = []
        self._changes: list[Change] = []
        self._exchanged: list[tuple[Any, str, Any, Any]] = []
        self._starts = Starts()

    def start(self, holder: object) -> None:
        """Note from now on; for this thread what was before is not known any more."""
        if not any(known is holder for known in self._holders):
            self._holders.append(holder)
        if not self._exchanged:
            self._changes = []
            for home, name in SETTING_HOOKS:
                original = vars(home)[name]
                ours = self._noting(original, is_single=name == "register_hooks")
                self._exchanged.append((home, name, original, ours))
                setattr(home, name, ours)
        self._starts.newest = Start(self._changes, len(self._changes), AUTOGRAD._get_sequence_nr(), are_hooks_active())

    def stop(self, holder: object) -> None:
        """One holder needs to know no more; the last one has the functions put back.

        One that somebody else has exchanged since stays, and calls ours, which then notes nothing.
        """
        self._holders = [known for known in self._holders if known is not holder]
        if not self._holders:
            for home, name, original, ours in self._exchanged:
                if vars(home)[name] is ours:
                    setattr(home, name, original)
            self._exchanged = []
            self._changes = []

    def _noting(self, original: Callable[..., Any], *, is_single: bool) -> Callable[..., Any]:
        @wraps(original)
        def change(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            finally:
                if self._holders:
                    number = AUTOGRAD._get_sequence_nr()
                    self._changes.append(Change(get_ident(), number, are_hooks_active(), is_single))

        return change

    def may_have_hook(self, node: Any) -> bool:
        """Whether a hook may be on what a node has saved; false only where none can be.

        Args:
            node: A node of autograd's own.
        """
        start = self._starts.newest
        if start is None or start.changes is not self._changes:
            return True
        number = node._sequence_nr()
        if not start.number <= number < AUTOGRAD._get_sequence_nr():
            return True
        here, is_active = get_ident(), start.is_active
        for change in start.changes[start.place :]:
            if change.is_single or change.thread != here:
                return True
            if change.number <= number:
                is_active = change.is_active
        return is_active


hook_notes = HookNotes()
"""Those of this process."""


def may_run_hook(node: Any, raw: Any) -> bool:
    """Whether to read what a node has saved may run a hook of the script's.

    Args:
        node: The node.
        raw: Torch's `SavedTensor` of it.
    """
    return raw.unpack_hook is not None if TELLS_OF_HOOKS else hook_notes.may_have_hook(node)


def is_hidden(node: Any) -> bool:
    """Whether anything that a node has saved may not be read, for a hook might run."""
    names = [name for name in dir(node) if name.startswith("_raw_saved_")]
    return any(may_run_hook(node, getattr(node, name)) for name in names)
