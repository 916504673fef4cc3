"""Full steps whose numbers are on a GPU still: they are finished in a later step, when the numbers have arrived."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from gradiometer.measuring.copying_behind import CopyBehind
from gradiometer.measuring.losses import LossEntries, fill, summarise
from gradiometer.measuring.observing import StepObserver
from gradiometer.measuring.snapshot import Numbers, Shares, StepMaterial, build_snapshot
from gradiometer.schema import Snapshot


@dataclass(frozen=True, slots=True)
class Ending:
    """A full step that has ended, before its numbers are read.

    Attributes:
        material: What it left behind; its loss is not known yet.
        entries: Its losses by call site, some of them on a device still.
        observer: What its hooks told; None where layers are closed.
        optimizers: The run's optimizers.
        hand_on: Called at last with its snapshot and its losses.
    """

    material: StepMaterial
    entries: Sequence[tuple[str, Sequence[float | Tensor]]]
    observer: StepObserver | None
    optimizers: Sequence[Optimizer]
    hand_on: Callable[[Snapshot | None, LossEntries], None]

    def loss_tensors(self) -> list[Tensor]:
        """The losses that are on a device still."""
        return [value for _, values in self.entries for value in values if isinstance(value, Tensor)]

    def build(
        self, shares: Shares, numbers: Numbers, loss_numbers: Sequence[float] | None = None
    ) -> tuple[Snapshot, LossEntries]:
        """Make the snapshot and put the losses together.

        Args:
            shares: The step's units as they were judged when it ended.
            numbers: The numbers of its tensors (`tensors_of`).
            loss_numbers: The numbers of `loss_tensors`; None to wait for them.
        """
        losses = summarise(self.entries) if loss_numbers is None else fill(self.entries, loss_numbers)
        material = replace(self.material, loss=losses[0][1] if losses else None)
        return build_snapshot(material, shares, numbers), losses


class Copies(Protocol):
    """Numbers on their way to the host; a `CopyBehind` is one."""

    @property
    def is_there(self) -> bool:
        """Whether all have arrived; asks, and does not wait."""

    def elements(self) -> NDArray[np.float64]:
        """The elements of all tensors, one after the other; waits for those that are still on their way."""


def any_on_gpu(tensors: Sequence[Tensor]) -> bool:
    """Whether reading these would make the host wait for a GPU."""
    return any(tensor.device.type == "cuda" for tensor in tensors)


class Settling:
    """Full steps that wait for their numbers, oldest first.

    Args:
        copy: Starts the copy of tensors to the host.
        is_behind: Whether numbers are to be copied behind the training; where not, they are there already.
    """

    def __init__(
        self,
        copy: Callable[[Sequence[Tensor]], Copies] = CopyBehind,
        is_behind: Callable[[Sequence[Tensor]], bool] = any_on_gpu,
    ) -> None:
        self.copy = copy
        self.is_behind = is_behind
        self._waiting: deque[tuple[Copies, Callable[[NDArray[np.float64]], None]]] = deque()

    def send(self, tensors: Sequence[Tensor], finish: Callable[[NDArray[np.float64]], None]) -> None:
        """Copy numbers to the host behind the training.

        Args:
            tensors: Tensors of any shapes and real formats.
            finish: Called with their elements, one tensor's after the other's, in a later step.
        """
        self._waiting.append((self.copy(tensors), finish))

    def settle(self) -> None:
        """Finish the steps whose numbers have arrived, in their order; nothing is waited for."""
        while self._waiting and self._waiting[0][0].is_there:
            copies, finish = self._waiting.popleft()
            finish(copies.elements())

    def flush(self) -> None:
        """Finish all steps; waits for the device."""
        while self._waiting:
            copies, finish = self._waiting.popleft()
            finish(copies.elements())
