"""A device without float64, as Apple's and some of Intel's are: torch knows it, its numbers lie on the CPU.

It is a backend of torch's own kind for outsiders (`PrivateUse1`), named `slim`. Operations run on what its tensors
hold, and what they give is on the device again; what would give float64 or complex128 is refused, as Metal refuses it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

KIND = "slim"
REFUSED = (torch.float64, torch.complex128)


class OnDevice(Tensor):
    """A tensor of the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        if held.dtype in REFUSED:
            raise TypeError(f"Cannot convert a {KIND} Tensor to {held.dtype}: the framework has no such type")
        made = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), dtype=held.dtype, device=torch.device(KIND, 0)
        )
        made.held = held
        return made

    def __init__(self, held: Tensor) -> None:
        pass

    def tolist(self) -> Any:
        """The numbers; torch does not read them of a subclass by itself."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        goes_home = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        homes = {id(leaf.held): leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, OnDevice)}
        plain_args, plain_kwargs = tree_map(lambda one: one.held if isinstance(one, OnDevice) else one, (args, kwargs))
        given = func(*plain_args, **plain_kwargs)
        if goes_home or (func is torch.ops.aten.copy_.default and not isinstance(args[0], OnDevice)):
            return given
        return tree_map(lambda one: placed(one, homes) if isinstance(one, Tensor) else one, given)


def placed(tensor: Tensor, homes: dict[int, OnDevice]) -> OnDevice:
    """A result on the device; one that was written in place is the tensor that it was."""
    return homes[id(tensor)] if id(tensor) in homes else OnDevice(tensor)


class Backend:
    """What torch asks a kind of device."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16]


def register_device() -> None:
    """Make torch know the device; once in a process, before any backward pass."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend  # not in older ones

    _setup_privateuseone_for_python_backend(KIND, backend_module=Backend())
    kernels = torch.library.Library("aten", "IMPL")
    kernels.impl("empty.memory_format", make_empty, "PrivateUse1")
    kernels.impl("empty_strided", make_strided, "PrivateUse1")
    KERNELS.append(kernels)


KERNELS: list[Any] = []
"""Kept alive, for kernels go with their library."""


def make_empty(size: Any, dtype: Any = None, **options: Any) -> OnDevice:
    """Allocate on the device."""
    return OnDevice(torch.empty(size, dtype=dtype))


def make_strided(size: Any, stride: Any, dtype: Any = None, **options: Any) -> OnDevice:
    """The same, with the order of the axes in memory given."""
    return OnDevice(torch.empty_strided(size, stride, dtype=dtype))


def moved(module: nn.Module) -> nn.Module:
    """A module with its parameters and buffers on the device."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            setattr(part, name, nn.Parameter(OnDevice(parameter.detach().clone()), parameter.requires_grad))
        for name, buffer in list(part.named_buffers(recurse=False)):
            setattr(part, name, OnDevice(buffer.clone()))
    return module
