"""Sharded tensors: what this process holds of one, and how much of the whole that counts for.

A norm on a shard is not the norm. Everything that is measured of a `DTensor` is measured on the part that this process
holds, without a collective; the parts of all processes are put together once, at the end of a full step.
"""

import math
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WHOLE = frozenset({Tensor, nn.Parameter})
"""Classes of tensors that are never sharded: almost all there are, and told apart at once."""


def sharded_class() -> type[Any] | None:
    """Torch's class of sharded tensors; None where nobody has imported it, and so nothing is sharded."""
    module = sys.modules.get("torch.distributed.tensor")
    return getattr(module, "DTensor", None)


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is spread over processes.

    Example:
        >>> is_sharded(torch.ones(3))
        False
    """
    if type(tensor) in WHOLE:
        return False
    kind = sharded_class()
    return kind is not None and isinstance(tensor, kind)


def local_of(tensor: Tensor) -> Tensor:
    """The part of a tensor that this process holds, which may be empty; a whole tensor itself, detached.

    Example:
        >>> local_of(torch.ones(3, requires_grad=True)).requires_grad
        False
    """
    if not is_sharded(tensor):
        return tensor.detach()
    sharded: Any = tensor
    with torch.no_grad():
        local: Tensor = sharded.to_local()
    return local.detach()


def ranks_of(tensor: Tensor) -> tuple[int, ...]:
    """Ranks of the processes that a sharded tensor is spread over, ascending."""
    sharded: Any = tensor
    return tuple(sorted(int(rank) for rank in sharded.device_mesh.mesh.flatten().tolist()))


def share_of(tensor: Tensor) -> float:
    """Weight of this process's part in a sum over all processes: 1 where nobody else holds it, else one over how many.

    Of two copies of two halves (`fully_shard` on a mesh of two axes) each part weighs one half.
    """
    sharded: Any = tensor
    mesh = sharded.device_mesh
    copies = math.prod(
        int(mesh.size(axis)) for axis, placement in enumerate(sharded.placements) if placement.is_replicate()
    )
    return 1.0 / copies


def is_split_twice(tensor: Tensor) -> bool:
    """Whether a tensor is split along more than one axis of its processes, as under tensor parallelism."""
    sharded: Any = tensor
    return sum(not placement.is_replicate() for placement in sharded.placements) > 1


def local_indices(tensor: Tensor, indices: np.ndarray) -> np.ndarray:
    """Of elements of a whole tensor those that this process holds.

    So the processes together read the same elements that one process would read of the whole tensor.

    Args:
        tensor: A sharded tensor.
        indices: Indices into the whole tensor, flattened; int64, in any order.

    Returns:
        Indices into the local part, flattened, in the order of their originals; empty where it holds none of them.
    """
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    sharded: Any = tensor
    shape, offset = compute_local_shape_and_global_offset(sharded.shape, sharded.device_mesh, sharded.placements)
    return indices_in_block(indices, tuple(tensor.shape), tuple(shape), tuple(offset))


def indices_in_block(
    indices: np.ndarray, shape: tuple[int, ...], block_shape: tuple[int, ...], offset: tuple[int, ...]
) -> np.ndarray:
    """Of elements of an array those that lie in a block of it, as indices into the block.

    Args:
        indices: Indices into the flattened array.
        shape: Shape of the array.
        block_shape: Shape of the block; a block without elements has none of them.
        offset: Where the block begins in the array, one number per axis.

    Returns:
        Indices into the flattened block.

    Example:
        >>> indices_in_block(np.array([0, 4, 7, 8]), (3, 3), (1, 3), (2, 0))
        array([1, 2])
    """
    if math.prod(block_shape) == 0:
        return np.zeros(0, dtype=np.int64)
    places = np.unravel_index(indices, shape)
    inside = [place - start for place, start in zip(places, offset, strict=True)]
    is_inside = np.ones(len(indices), dtype=bool)
    for place, length in zip(inside, block_shape, strict=True):
        is_inside &= (place >= 0) & (place < length)
    flat = np.ravel_multi_index([place[is_inside] for place in inside], block_shape)
    return np.asarray(flat, dtype=np.int64)


def plain_class(module: nn.Module) -> type[nn.Module]:
    """The class that a module had before `fully_shard` gave it one of its own; else its class.

    Example:
        >>> plain_class(nn.Linear(2, 2)).__name__
        'Linear'
    """
    kind = type(module)
    if len(kind.__bases__) != 2:
        return kind
    sharding = getattr(sys.modules.get("torch.distributed.fsdp"), "FSDPModule", None)
    if sharding is not None and kind.__bases__[0] is sharding:
        original: type[nn.Module] = kind.__bases__[1]
        return original
    return kind
