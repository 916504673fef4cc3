"""Numbers of a device, brought to the host behind the training: nothing waits for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradiometer.measuring.exact_format import exact_format

FloatArray = NDArray[np.float64]


class CopyBehind:
    """Numbers on their way to the host.

    The copy is queued on the device behind what it has to do already; on CUDA it goes to pinned memory, and an event
    tells when it is there. Other devices have no such event: there the numbers are fetched at once.

    Args:
        tensors: Tensors of any shapes, devices and real formats; not changed, and no longer needed once this returns.
            Whole numbers are exact below 2^53, on Apple's GPUs below 2^24.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        places: dict[torch.device, list[int]] = {}
        for place, tensor in enumerate(tensors):
            places.setdefault(tensor.device, []).append(place)
        self._sizes = [tensor.numel() for tensor in tensors]
        self._parts: list[tuple[list[int], Tensor, Any]] = []
        for device, indices in places.items():
            joined = join_elements([tensors[index] for index in indices])
            if device.type == "cuda":
                arrived = torch.empty(len(joined), dtype=joined.dtype, device="cpu", pin_memory=True)
                arrived.copy_(joined, non_blocking=True)
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(torch.cuda.current_stream(device))
                self._parts.append((indices, arrived, event))
            else:
                self._parts.append((indices, joined.cpu(), None))

    @property
    def is_there(self) -> bool:
        """Whether all numbers have arrived; asks, and does not wait."""
        return all(event is None or event.query() for _, _, event in self._parts)

    def elements(self) -> FloatArray:
        """The elements of all tensors, one after the other in their order; waits for those still on their way."""
        found: list[FloatArray] = [np.zeros(0)] * len(self._sizes)
        for indices, arrived, event in self._parts:
            if event is not None:
                event.synchronize()
            values = arrived.numpy().astype(np.float64, copy=False)
            if len(self._parts) == 1:
                return values
            ends = np.cumsum([self._sizes[index] for index in indices])[:-1]
            for index, part in zip(indices, np.split(values, ends), strict=True):
                found[index] = part
        return np.concatenate(found) if found else np.zeros(0)

    def numbers(self) -> list[float]:
        """The same as plain numbers; for tensors of one element there is one for each."""
        numbers: list[float] = self.elements().tolist()
        return numbers


def join_elements(tensors: Sequence[Tensor]) -> Tensor:
    """Elements of some tensors of one device, in the widest format that it has, one after the other."""
    widest = exact_format(tensors[0].device)
    return torch.cat([tensor.detach().reshape(-1).to(widest) for tensor in tensors])
