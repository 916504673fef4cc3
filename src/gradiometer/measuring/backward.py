"""Tells listeners of every `backward` call: which tensor, from where, when it starts and ends.

torch has no hook for this. `Tensor.backward` calls `torch.autograd.backward`, so that one function is exchanged while
somebody listens and put back when nobody does.
"""

import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor


class BackwardListener(Protocol):
    """What is told of a backward pass."""

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """A backward pass from these tensors is about to start."""

    def after_backward(self) -> None:
        """It has ended, or failed."""


listeners: list[BackwardListener] = []
"""Who is told; almost always one."""


class UnderWay(threading.local):
    """Whether this thread is amid a backward pass."""

    is_inside = False


under_way = UnderWay()
"""Backward passes that have been told of and not ended, one for each thread."""

original: Callable[..., Any] = torch.autograd.backward


def announce_backward(*args: Any, **kwargs: Any) -> Any:
    """Stand in for `torch.autograd.backward`: tell the listeners before and after.

    Each listener keeps its own faults to itself; what the pass itself raises goes on to the script. A pass amid a
    pass, by which reentrant checkpointing computes its part, is no pass of its own.
    """
    if under_way.is_inside:
        return original(*args, **kwargs)
    tensors = args[0] if args else kwargs.get("tensors", ())
    if isinstance(tensors, Tensor):
        tensors = (tensors,)
    present = tuple(listeners)
    for listener in present:
        listener.before_backward(tuple(tensors))
    under_way.is_inside = True
    try:
        return original(*args, **kwargs)
    finally:
        under_way.is_inside = False
        for listener in present:
            listener.after_backward()


def start_listening(listener: BackwardListener) -> None:
    """Tell a listener of every backward pass from now on."""
    global original
    if not listeners and torch.autograd.backward is not announce_backward:
        original = torch.autograd.backward
        torch.autograd.backward = announce_backward
    listeners.append(listener)


def stop_listening(listener: BackwardListener) -> None:
    """Tell a listener no more; one that does not listen is passed over."""
    if listener in listeners:
        listeners.remove(listener)
    # Somebody else may have exchanged the function after us; then theirs stays and calls ours, which tells nobody.
    if not listeners and torch.autograd.backward is announce_backward:
        torch.autograd.backward = original
