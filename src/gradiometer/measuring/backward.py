"""Tells listeners of every backward pass: from which tensor, when it starts and ends.

torch has no hook for this. `Tensor.backward` calls `torch.autograd.backward`, so that function and
`torch.autograd.grad` are exchanged while somebody listens and put back when nobody does.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from gradiometer.measuring.compiled import untraced

Pairs = Sequence[tuple[Tensor, Tensor]]
"""Tensors, each with its gradient."""


class BackwardListener(Protocol):
    """What is told of a backward pass."""

    def before_backward(self, tensors: tuple[Tensor, ...]) -> None:
        """A backward pass from these tensors is about to start."""

    def after_backward(self) -> None:
        """It has ended, or failed."""


@runtime_checkable
class GradientListener(Protocol):
    """What is told, beside that, of passes whose gradients are handed to the script (`torch.autograd.grad`)."""

    def wants_gradients_of(self, inputs: Sequence[Tensor]) -> bool:
        """Whether a pass that is asked for the gradients of these is one of the training."""

    def before_gradients(self, tensors: tuple[Tensor, ...]) -> None:
        """Such a pass from these tensors is about to start."""

    def after_gradients(self, gradients: Pairs) -> None:
        """It has ended with these gradients, or failed without any."""


listeners: list[BackwardListener] = []
"""Who listens; almost always one."""

told: list[BackwardListener] = []
"""Those of them that are to be told now."""

asked: list[GradientListener] = []
"""Those of these that are asked about `torch.autograd.grad`."""

askable: list[GradientListener] = []
"""Listeners that may be asked; looked at once, for to find out costs as much as to watch a step."""


class UnderWay(threading.local):
    """Whether this thread is amid a backward pass."""

    is_inside = False


under_way = UnderWay()
"""Backward passes that have been told of and not ended, one for each thread."""


def announcing_backward(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make what stands in for `torch.autograd.backward`: it tells the listeners before and after.

    Each listener keeps its own faults to itself; what the pass itself raises goes on to the script. A pass amid a
    pass, by which reentrant checkpointing computes its part, is no pass of its own.
    """

    @wraps(original)
    def backward(*args: Any, **kwargs: Any) -> Any:
        if not told or under_way.is_inside:
            return original(*args, **kwargs)
        tensors = args[0] if args else kwargs.get("tensors", ())
        tensors = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
        present = tuple(told)
        for listener in present:
            listener.before_backward(tensors)
        under_way.is_inside = True
        try:
            return original(*args, **kwargs)
        finally:
            under_way.is_inside = False
            for listener in present:
                listener.after_backward()

    return backward


def announcing_grad(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make what stands in for `torch.autograd.grad`: a pass is announced where a listener wants its gradients.

    One with `create_graph` is not: its gradients are differentiated again (a gradient penalty, an inner loop of
    meta-learning), and the pass that trains comes later. Nor is one for a batch of vectors: it is a Jacobian.
    """

    @wraps(original)
    def grad(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if not asked or under_way.is_inside:
            return original(outputs, inputs, *args, **kwargs)
        # `model.parameters()` can be gone through only once.
        inputs = inputs if isinstance(inputs, (Tensor, list, tuple, dict)) else as_tuple(inputs)
        present, starts = who_wants(outputs, inputs, args, kwargs)
        if not present:
            return original(outputs, inputs, *args, **kwargs)
        for listener in present:
            listener.before_gradients(starts)
        under_way.is_inside = True
        gradients: Any = ()
        try:
            gradients = original(outputs, inputs, *args, **kwargs)
            return gradients
        finally:
            under_way.is_inside = False
            try:
                pairs = pairs_of(inputs, gradients)
            except Exception as error:
                blame(error)
                pairs = ()
            for listener in present:
                listener.after_gradients(pairs)

    return grad


def who_wants(
    outputs: Any, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[GradientListener], tuple[Tensor, ...]]:
    """Who is to be told of a pass whose gradients are handed back, and from which tensors it starts."""
    try:
        if is_differentiated_again(args, kwargs):
            return [], ()
        wanted = tensors_of(inputs)
        return [listener for listener in asked if listener.wants_gradients_of(wanted)], tensors_of(outputs)
    except Exception as error:
        blame(error)
        return [], ()


def blame(error: Exception) -> None:
    """End the measuring of those who are asked, for a fault of ours before any of them was told."""
    for listener in tuple(asked):
        guard = getattr(listener, "guard", None)
        if guard is not None:
            guard.fail(error)


def is_differentiated_again(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether `torch.autograd.grad` is asked for more than gradients, from its arguments behind the inputs."""
    creates_graph = kwargs.get("create_graph", len(args) > 2 and args[2])
    is_batched = kwargs.get("is_grads_batched", len(args) > 5 and args[5])
    return bool(creates_graph or is_batched)


def as_tuple(value: Any) -> Any:
    """An iterable as a tuple; anything else as it is."""
    return tuple(value) if isinstance(value, Iterable) else value


def tensors_of(value: Any) -> tuple[Tensor, ...]:
    """The tensors of an argument that is one tensor or several; anything else among them is passed over."""
    if isinstance(value, Tensor):
        return (value,)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (tuple, list)) else ()
    return tuple(part for part in parts if isinstance(part, Tensor))


def pairs_of(inputs: Any, gradients: Any) -> Pairs:
    """Inputs, each with the gradient that was handed back for it; those without one are left out."""
    if isinstance(inputs, dict):
        inputs, gradients = inputs.values(), gradients.values() if isinstance(gradients, dict) else ()
    asked = (inputs,) if isinstance(inputs, Tensor) else inputs
    return [
        (one, found)
        for one, found in zip(asked, gradients, strict=False)
        if isinstance(one, Tensor) and isinstance(found, Tensor)
    ]


def pass_idly(*, passing: Callable[..., Any] = announcing_backward(lambda tensor, gradient: None)) -> None:  # noqa: B008 - made once
    """Go through what stands in for `backward` as a pass does that nobody is told of; for timing it."""
    was_inside, under_way.is_inside = under_way.is_inside, True
    try:
        passing(None, None)
    finally:
        under_way.is_inside = was_inside


class Installation:
    """What stands in for torch's two functions while somebody listens.

    Every installation has functions of its own: where somebody else has put a function around an earlier one, that
    one stays below theirs, and no function ever calls itself.
    """

    def __init__(self) -> None:
        self.is_untraced = False
        self._homes: dict[str, tuple[Any, Any]] = {}

    def leave_graphs(self) -> None:
        """Something is compiled: exchange the functions for ones that no graph takes in."""
        if not self.is_untraced:
            self.is_untraced = True
            if self._homes:
                self.stop()
                self.start()

    def start(self) -> None:
        """Exchange the functions; an installation that is started stays so."""
        if not self._homes:
            for name, announcing in (("backward", announcing_backward), ("grad", announcing_grad)):
                original = getattr(torch.autograd, name)
                ours = announcing(original)
                self._homes[name] = (original, untraced(ours) if self.is_untraced else ours)
                setattr(torch.autograd, name, self._homes[name][1])

    def stop(self) -> None:
        """Put the functions back. One that somebody else has exchanged since stays, and calls ours, which is mute."""
        for name, (original, ours) in self._homes.items():
            if getattr(torch.autograd, name) is ours:
                setattr(torch.autograd, name, original)
        self._homes = {}


installation = Installation()
"""The one of this process."""


def leave_graphs() -> None:
    """Keep what stands in for torch's functions out of compiled graphs from now on."""
    installation.leave_graphs()


def start_listening(listener: BackwardListener) -> None:
    """Tell a listener of every backward pass from now on."""
    installation.start()
    listeners.append(listener)
    if isinstance(listener, GradientListener):
        askable.append(listener)
    unmute(listener)


def stop_listening(listener: BackwardListener) -> None:
    """Tell a listener no more; one that does not listen is passed over."""
    mute(listener)
    for known in (listeners, askable):
        if listener in known:
            known.remove(listener)  # type: ignore[arg-type]
    if not listeners:
        installation.stop()


def mute(listener: BackwardListener) -> None:
    """Tell a listener of nothing until it is unmuted: no pass is of interest to it now."""
    for present in (told, asked):
        if listener in present:
            present.remove(listener)  # type: ignore[arg-type]


def unmute(listener: BackwardListener) -> None:
    """Tell a listener again; one that does not listen stays untold."""
    if listener in listeners and listener not in told:
        told.append(listener)
        asked.extend(known for known in askable if id(known) == id(listener))
