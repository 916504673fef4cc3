"""Single numbers of a device, brought to the host behind the training: nothing waits for them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class CopyBehind:
    """Numbers on their way to the host.

    The copy is queued on the device behind what it has to do already; on CUDA it goes to pinned memory, and an event
    tells when it is there. Other devices have no such event: there the numbers are fetched at once.

    Args:
        tensors: 0-dimensional or one-element tensors of any devices and real formats; not changed, and no longer
            needed once this returns.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        places: dict[torch.device, list[int]] = {}
        for place, tensor in enumerate(tensors):
            places.setdefault(tensor.device, []).append(place)
        self._count = len(tensors)
        self._parts: list[tuple[list[int], Tensor, Any]] = []
        for device, indices in places.items():
            widest = torch.float32 if device.type == "mps" else torch.float64
            stacked = torch.stack([tensors[index].detach().reshape(()).to(widest) for index in indices])
            if device.type == "cuda":
                arrived = torch.empty(len(indices), dtype=stacked.dtype, device="cpu", pin_memory=True)
                arrived.copy_(stacked, non_blocking=True)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(torch.cuda.current_stream(device))
                self._parts.append((indices, arrived, event))
            else:
                self._parts.append((indices, stacked.cpu(), None))

    @property
    def is_there(self) -> bool:
        """Whether all numbers have arrived; asks, and does not wait."""
        return all(event is None or event.query() for _, _, event in self._parts)

    def numbers(self) -> list[float]:
        """The numbers, in the order of the tensors; waits for those that are still on their way."""
        found = [0.0] * self._count
        for indices, arrived, event in self._parts:
            if event is not None:
                event.synchronize()
            for index, number in zip(indices, arrived.tolist(), strict=True):
                found[index] = number
        return found
