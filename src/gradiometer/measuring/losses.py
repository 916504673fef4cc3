"""The loss of a step: what backward passes started from, by call site."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

LossEntries = tuple[tuple[str, float | None, int, int], ...]
"""As `StepStats.losses`: call site, mean of the finite values, how many there are, how many are not finite."""


@dataclass(slots=True)
class LossBook:
    """Collects one step's losses.

    Attributes:
        backward_count: Backward passes in this step.
        entries: Call site of every pass, with the losses that it started from: numbers, or copies on their device.
        handed_back: The same of passes whose gradients were handed to the script. Where the step has others, they
            are not the training's.
    """

    backward_count: int = 0
    entries: list[tuple[str, list[float | Tensor]]] = field(default_factory=list)
    handed_back: list[tuple[str, list[float | Tensor]]] = field(default_factory=list)

    def start(self) -> None:
        """Begin a step."""
        self.backward_count = 0
        if self.entries:
            self.entries = []
        if self.handed_back:
            self.handed_back = []

    def add(self, site: str, tensors: Iterable[Tensor], *, is_handed_back: bool = False) -> None:
        """Note what a backward pass starts from.

        A loss on the CPU is read at once, which is cheaper than a copy and not changed by what the script does to the
        tensor afterwards; on another device it is copied there and nothing is waited for. What is no real scalar has
        no value and only counts.
        """
        self.backward_count += 1
        values: list[float | Tensor] = []
        for tensor in tensors:
            if tensor.numel() == 1 and not tensor.is_complex():
                values.append(tensor.item() if tensor.device.type == "cpu" else tensor.detach().clone())
        (self.handed_back if is_handed_back else self.entries).append((site, values))

    @property
    def seen(self) -> list[tuple[str, list[float | Tensor]]]:
        """The entries of the training's own passes."""
        return self.entries or self.handed_back

    def pending(self) -> list[Tensor]:
        """The losses that are on a device still."""
        return [value for _, values in self.seen for value in values if isinstance(value, Tensor)]

    def close(self) -> LossEntries:
        """The step's losses by call site; one that is on a device still is waited for."""
        return summarise(self.seen)


def fill(entries: Sequence[tuple[str, Sequence[float | Tensor]]], numbers: Iterable[float]) -> LossEntries:
    """Put losses together of which some were on a device and have arrived: their numbers, in their order."""
    arrived = iter(numbers)
    return summarise(
        [
            (site, [next(arrived) if isinstance(value, Tensor) else value for value in values])
            for site, values in entries
        ]
    )


def summarise(entries: Sequence[tuple[str, Sequence[float | Tensor]]]) -> LossEntries:
    """Put losses of the same call site together.

    Example:
        >>> summarise([("train.py:3", [1.0]), ("train.py:3", [3.0, float("nan")]), ("train.py:9", [])])
        (('train.py:3', 2.0, 3, 1), ('train.py:9', None, 0, 0))
    """
    if len(entries) == 1 and len(entries[0][1]) == 1:
        site, value = entries[0][0], float(entries[0][1][0])
        return ((site, value, 1, 0),) if math.isfinite(value) else ((site, None, 1, 1),)
    found: dict[str, list[float]] = {}
    for site, values in entries:
        found.setdefault(site, []).extend(float(value) for value in values)
    return tuple((site, *average(values)) for site, values in found.items())


def average(values: Sequence[float]) -> tuple[float | None, int, int]:
    """Mean of the finite values, how many there are in all, and how many are not finite.

    Example:
        >>> average([1.0, 3.0, float("nan")])
        (2.0, 3, 1)
        >>> average([])
        (None, 0, 0)
    """
    finite = [value for value in values if math.isfinite(value)]
    mean = sum(finite) / len(finite) if finite else None
    return mean, len(values), len(values) - len(finite)
