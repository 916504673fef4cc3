"""The loss of a step: the tensors that `backward` was called on, by call site."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(slots=True)
class LossBook:
    """Collects one step's losses.

    Attributes:
        is_open: This step's losses are recorded.
        backward_count: Backward passes in this step, counted while it is open.
        entries: Per call site the losses as they came, detached.
    """

    is_open: bool = False
    backward_count: int = 0
    entries: dict[str, list[Tensor]] = field(default_factory=dict)

    def start(self, is_open: bool) -> None:  # noqa: FBT001 - the only thing to say
        """Begin a step."""
        self.is_open = is_open
        self.backward_count = 0
        if self.entries:
            self.entries = {}

    def add(self, site: str, tensors: Sequence[Tensor]) -> None:
        """Note what a backward pass starts from; what is no scalar has no value and only counts."""
        self.backward_count += 1
        scalars = [tensor.detach() for tensor in tensors if tensor.numel() == 1]
        self.entries.setdefault(site, []).extend(scalars)

    def close(self) -> tuple[tuple[str, float | None, int, int], ...]:
        """The step's losses as `StepStats.losses`."""
        return tuple((site, *summarise(tensors)) for site, tensors in self.entries.items())


def summarise(tensors: Sequence[Tensor]) -> tuple[float | None, int, int]:
    """Mean of the finite values, how many there are in all, and how many are not finite.

    Example:
        >>> import torch
        >>> summarise([torch.tensor(1.0), torch.tensor(3.0), torch.tensor(float("nan"))])
        (2.0, 3, 1)
        >>> summarise([])
        (None, 0, 0)
    """
    values = [tensor.item() for tensor in tensors]
    finite = [value for value in values if math.isfinite(value)]
    mean = sum(finite) / len(finite) if finite else None
    return mean, len(values), len(values) - len(finite)
