"""Which examples of the data set a batch is made of, told by watching torch's `DataLoader` draw them.

Torch has no hook for this: while somebody listens, three methods of the class behind every loader's iterator are
wrapped, those that begin an epoch, ask the sampler for the next batch's indices, and hand out a batch. Nothing else is
done with what they give. With worker processes indices are drawn ahead; batches still come in that order, unless the
loader was told otherwise (`in_order=False`) or reads from an iterable without indices: then nothing is known. Of an
epoch that began with worker processes before anybody listened nothing is known either.
"""

import functools
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import dataloader

from gradiometer.measuring.collecting import tensors_in

Indices = tuple[int | None, ...]

COMPARED_ELEMENTS = 256
"""Elements by which a copied tensor is told to be the one that a loader gave."""

KEPT_BATCHES = 4
"""Batches of a step that are remembered: loaders for several roots, or one that looks ahead."""

ITERATOR = dataloader._BaseDataLoaderIter


class LoaderWatch:
    """Remembers which indices the batches of a step were drawn with.

    Args:
        on_fault: Called with an error met amid a script's use of its loader.

    Attributes:
        is_noting: Batches that are handed out now are remembered until `forget`.
    """

    def __init__(self, on_fault: Callable[[Exception], None]) -> None:
        self.on_fault = on_fault
        self.is_noting = False
        self._drawn: weakref.WeakKeyDictionary[Any, deque[Any]] = weakref.WeakKeyDictionary()
        self._batches: deque[tuple[Indices, list[Tensor]]] = deque(maxlen=KEPT_BATCHES)
        self._latest: tuple[Any, Any] | None = None

    def start(self) -> None:
        """Listen to every loader; a watch that is started stays so."""
        if self not in listening:
            listening.append(self)
            installation.start()

    def stop(self) -> None:
        """Listen no more."""
        if self in listening:
            listening.remove(self)
        if not listening:
            installation.stop()
        # What is drawn while nobody listens is not known: an epoch under way must not be told by what came before.
        self._drawn.clear()
        self._latest = None
        self.forget()

    def note_epoch(self, iterator: Any) -> None:
        """An epoch begins."""
        self._drawn[iterator] = deque()

    def note_indices(self, iterator: Any, indices: Any) -> None:
        """A loader has drawn the indices of a batch."""
        if iterator in self._drawn or iterator._num_workers == 0:
            self._drawn.setdefault(iterator, deque()).append(indices)

    def note(self, iterator: Any, batch: Any) -> None:
        """A loader has handed out a batch: the one whose indices it drew first of those not handed out yet."""
        drawn = self._drawn.get(iterator)
        indices = drawn.popleft() if drawn else None
        self._latest = (indices, batch) if getattr(iterator, "_in_order", True) else None
        if self.is_noting and isinstance(indices, (list, tuple)) and getattr(iterator, "_in_order", True):
            known = tuple(index if isinstance(index, int) else None for index in indices)
            if any(index is not None for index in known):
                self._batches.append((known, tensors_in(batch)))

    def forget(self) -> None:
        """Let go of the step's batches."""
        self.is_noting = False
        self._batches.clear()

    def find_latest(self, tensors: Sequence[Tensor]) -> Indices | None:
        """Indices of the batch that was handed out last, in whatever step; None where it is none of these tensors."""
        indices, batch = self._latest or (None, None)
        if not isinstance(indices, (list, tuple)):
            return None
        known = tuple(index if isinstance(index, int) else None for index in indices)
        given = [one for one in tensors_in(batch) if len(one) == len(known)]
        return known if any(is_same(tensor, one) for tensor in tensors if tensor.dim() for one in given) else None

    def find(self, tensors: Sequence[Tensor]) -> Indices | None:
        """Indices of the batch that a root is called with.

        Args:
            tensors: The root's tensor arguments.

        Returns:
            One index per example, in order; None where none of the tensors is one that a loader gave in this step,
            as it was or copied to another device.
        """
        for indices, given in reversed(self._batches):
            if any(is_same(tensor, one) for tensor in tensors for one in given if len(one) == len(indices)):
                return indices
        return None


listening: list[LoaderWatch] = []
"""Who listens; almost always one."""


def tell(what: Callable[[LoaderWatch], None]) -> None:
    """Tell everybody who listens; what goes wrong with one of them is theirs, and the script's loader goes on."""
    for watch in tuple(listening):
        try:
            what(watch)
        except Exception as error:
            watch.on_fault(error)


def announcing_epoch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make what stands in for the method that begins an epoch."""

    @functools.wraps(original)
    def begin(iterator: Any, *args: Any, **kwargs: Any) -> Any:
        tell(lambda watch: watch.note_epoch(iterator))
        return original(iterator, *args, **kwargs)

    return begin


def announcing_indices(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make what stands in for the method that asks the sampler for the next batch's indices."""

    @functools.wraps(original)
    def draw(iterator: Any) -> Any:
        indices = original(iterator)
        tell(lambda watch: watch.note_indices(iterator, indices))
        return indices

    return draw


def announcing_batch(original: Callable[..., Any]) -> Callable[..., Any]:
    """Make what stands in for the method that hands out a batch."""

    @functools.wraps(original)
    def give(iterator: Any) -> Any:
        batch = original(iterator)
        tell(lambda watch: watch.note(iterator, batch))
        return batch

    return give


ANNOUNCING: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "_reset": announcing_epoch,
    "_next_index": announcing_indices,
    "__next__": announcing_batch,
}
"""By name of the method."""


class Installation:
    """What stands in for the three methods while anybody listens."""

    def __init__(self) -> None:
        self._functions: dict[str, tuple[Any, Any]] = {}

    def start(self) -> None:
        """Wrap the methods; an installation that is started stays so."""
        if not self._functions:
            for name, announcing in ANNOUNCING.items():
                original = getattr(ITERATOR, name)
                self._functions[name] = (original, announcing(original))
                type.__setattr__(ITERATOR, name, self._functions[name][1])

    def stop(self) -> None:
        """Put the methods back. One that somebody else has wrapped since stays, and calls ours, which tells nobody."""
        for name, (original, ours) in self._functions.items():
            if getattr(ITERATOR, name) is ours:
                type.__setattr__(ITERATOR, name, original)
        self._functions = {}


installation = Installation()
"""The one of this process."""


def is_same(tensor: Tensor, given: Tensor) -> bool:
    """Whether a tensor is the one that a loader gave, a view of it, or a copy of it in any format."""
    if tensor.device == given.device and tensor.untyped_storage().data_ptr() == given.untyped_storage().data_ptr():
        return tensor.shape[0] == given.shape[0]
    if tensor.shape[0] != given.shape[0] or tensor.numel() != given.numel() or tensor.numel() == 0:
        return False
    count = min(COMPARED_ELEMENTS, tensor.numel())
    rows = torch.arange(count, device="cpu") * tensor.numel() // count
    there = torch.take(tensor.detach(), rows.to(tensor.device)).cpu()
    return bool(torch.equal(there, torch.take(given, rows.to(given.device)).cpu().to(there.dtype)))
