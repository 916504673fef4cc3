"""Weights, buffers, an optimizer's state and random states of one moment as a file, and what differs from them later.

Tensors are stored by safetensors, never as a pickle. What is not a tensor is left out: it is the script's own way that
leads to the moment, and this only tells whether it led to the same one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from gradiometer.measuring.batch_watch import random_states
from gradiometer.measuring.kept_batches import is_same, is_storable


def moment_of(roots: Mapping[str, nn.Module], optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """All that the next step of a training depends on and that is in a tensor, by name; nothing is copied.

    Args:
        roots: The models by name.
        optimizers: Their optimizers.
    """
    found: dict[str, Tensor] = {}
    for root_name, root in roots.items():
        prefix = f"{root_name}." if root_name else ""
        found |= {f"weight {prefix}{name}": tensor for name, tensor in root.named_parameters()}
        found |= {f"buffer {prefix}{name}": tensor for name, tensor in root.named_buffers()}
    for number, optimizer in enumerate(optimizers):
        found |= {f"optimizer {number} {name}": tensor for name, tensor in optimizer_tensors(optimizer)}
    torch_state, cuda_states = random_states()
    found["random numbers"] = torch_state
    found |= {f"random numbers cuda {index}": state for index, state in cuda_states.items()}
    return {name: tensor for name, tensor in found.items() if not nn.parameter.is_lazy(tensor) and is_storable(tensor)}


def optimizer_tensors(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    """An optimizer's tensors, such as momenta, named by the place of their parameter."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, parameter in enumerate(parameters):
        state: Mapping[str, Any] = optimizer.state.get(parameter, {})
        for name, value in state.items():
            if isinstance(value, Tensor):
                yield f"{place} {name}", value


def size_of(moment: Mapping[str, Tensor]) -> int:
    """About how many bytes a moment's file will have."""
    return sum(tensor.numel() * tensor.element_size() for tensor in moment.values()) + 2**12


def write_moment(moment: Mapping[str, Tensor], path: Path) -> None:
    """Write a moment; waits for its tensors' devices."""
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in moment.items()}, path)


def differing(path: Path, moment: Mapping[str, Tensor]) -> list[str]:
    """Names of what is not the same, to the bit, as in a moment that was kept; missing and additional ones too.

    Raises:
        OSError: The file can't be read.
        ValueError: It is no such file.
    """
    try:
        kept = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is no file of kept tensors ({error})") from error
    with torch.no_grad():
        return [
            name
            for name in sorted(kept.keys() | moment.keys())
            if name not in kept or name not in moment or not is_same(kept[name], moment[name])
        ]
