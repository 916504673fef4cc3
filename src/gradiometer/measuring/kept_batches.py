"""The batch of a suspicious step as a file: tensors by safetensors, all else as JSON in its header; never a pickle."""

import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gradiometer.measuring.batch_watch import RootCall
from gradiometer.measuring.flight_ring import Alarm, Observation

STORABLE = frozenset(
    {
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool,
    }
)  # fmt: skip
"""Number formats that every version of safetensors knows."""


@dataclass(frozen=True, slots=True)
class SuspiciousStep:
    """What is kept of a step that raised an alarm.

    Attributes:
        alarm: What happened.
        calls: The calls of roots in that step.
        neighbours: Tensors of the script's own that lie beside them, as a target does: by name.
        observations: The last cheap observations.
        dataset_indices: Index of each example in the data set, where the script's loader revealed it.
    """

    alarm: Alarm
    calls: Sequence[RootCall]
    neighbours: Mapping[str, Tensor]
    observations: Sequence[Observation]
    dataset_indices: Sequence[int | None] | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All of its tensors that can be stored, by name; nothing is copied."""
        found: dict[str, Tensor] = {}
        for number, call in enumerate(self.calls):
            found |= {f"batch.{number}.{place}": tensor for place, tensor in call.tensors().items()}
            found[f"random.{number}.torch"] = call.torch_state
            found |= {f"random.{number}.cuda.{index}": state for index, state in call.cuda_states.items()}
        found |= {f"beside.{name}": tensor for name, tensor in self.neighbours.items()}
        return {name: tensor for name, tensor in found.items() if is_storable(tensor)}

    @property
    def size_bytes(self) -> int:
        """About how large its file will be."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values()) + 2**15

    def write(self, path: Path) -> None:
        """Write it; waits for the tensors' device."""
        tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in self.tensors().items()}
        save_file(tensors, path, metadata={"gradiometer": json.dumps(self.header())})

    def header(self) -> dict[str, Any]:
        """What is kept beside the tensors; the random states of Python and numpy are those after the step."""
        return {
            "step": self.alarm.step,
            "kind": self.alarm.kind,
            "text": self.alarm.text,
            "roots": [call.root for call in self.calls],
            "is_overwritten": [call.is_overwritten for call in self.calls],
            "dataset_indices": None if self.dataset_indices is None else list(self.dataset_indices),
            "observations": [observation._asdict() for observation in self.observations],
            "python_state_after": random.getstate(),
            "numpy_state_after": numpy_state(),
        }


def is_storable(tensor: Tensor) -> bool:
    """Whether safetensors can hold a tensor."""
    return tensor.layout == torch.strided and tensor.device.type != "meta" and tensor.dtype in STORABLE


def numpy_state() -> dict[str, Any] | None:
    """The state of numpy's global generator as plain values; None where numpy is not loaded or has another one."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is None:
        return None
    state: dict[str, Any] = numpy_random.get_state(legacy=False)
    if state.get("bit_generator") != "MT19937":
        return None
    inner = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in state["state"].items()}
    return {**state, "state": inner}


def read_batch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `SuspiciousStep.write` wrote.

    Returns:
        Its tensors by name, and its header.

    Raises:
        OSError: It can't be read.
        ValueError: It is no such file, or its header is not what it should be.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        header = json.loads(metadata.get("gradiometer", "null"))
    except (SafetensorError, RecursionError) as error:
        raise ValueError(f"{path} is no file of kept tensors ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("is_overwritten", []), list):
        raise ValueError(f"{path} has no header of gradiometer's")
    return tensors, header


def neighbours_of(calls: Sequence[RootCall], variables: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors among a script's variables that lie beside a batch: as many examples, no gradient, not of it.

    Args:
        calls: The calls whose batch it is.
        variables: Variables of the script's frame that takes the step, by name.

    Returns:
        By name; a target is mostly among them, and so may be what has nothing to do with it.
    """
    batch = [tensor for call in calls for tensor in call.tensors().values()]
    lengths = {len(tensor) for tensor in batch if tensor.dim()}
    known = {id(tensor) for tensor in batch}
    return {
        name: value
        for name, value in variables.items()
        if isinstance(value, Tensor)
        and id(value) not in known
        and not value.requires_grad
        and value.dim()
        and len(value) in lengths
    }


def same_tensors(kept: Mapping[str, Tensor], present: Mapping[str, Tensor], prefixes: Iterable[str]) -> bool:
    """Whether all kept tensors under some prefixes are there again, equal to the bit; NaN equals NaN.

    Example:
        >>> same_tensors({"batch.0.0": torch.ones(2)}, {"batch.0.0": torch.zeros(2)}, ["batch."])
        False
    """
    names = [name for name in kept if name.startswith(tuple(prefixes))]
    return all(name in present and is_same(kept[name], present[name]) for name in names)


def is_same(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same format, shape and bits."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    bits = [tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in (first, second)]
    return bool(torch.equal(*bits))
