"""Modules that stand in a layer's place: what they answer, how they get there, where their parameters go.

A cure that puts something beside a layer keeps the layer's place in the tree: what stands there now holds the layer
and answers for it, so that `model.fc1.weight` and `model.layers[3]` still work.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from gradiometer.curing.survey import places_of


class StandIn(nn.Sequential):
    """A layer and what belongs to it in one place; what else is asked of it (`weight`) the layer answers."""

    def __getattr__(self, name: str) -> Any:
        """Look in the layer for what a Sequential does not have."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if not name.isidentifier() or name.startswith("_") or not self._modules:
                raise
            return getattr(self[0], name)


ANSWERING = """\
    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if not name.isidentifier() or name.startswith("_") or not self._modules:
                raise
            return getattr(self[0], name)
"""
"""The same method in a snippet."""


def shared_places(model: nn.Module, module: nn.Module) -> list[str]:
    """All places at which a module stands."""
    return [place for place, other in places_of(model) if other is module]


def is_root(model: nn.Module, place: str) -> bool:
    """Whether what stands at a place is called by the script itself: nothing can stand in for it there.

    Several roots come to a cure as the entries of a `nn.ModuleDict`, which itself is never called.
    """
    return not place or (type(model) is nn.ModuleDict and "." not in place)


def put_in_place(model: nn.Module, replaced: Mapping[str, nn.Module]) -> None:
    """Set modules at places of the tree; every other place of what stood there gets the same one."""
    modules = dict(places_of(model))
    for first, new in replaced.items():
        for place in [place for place, module in modules.items() if module is modules[first]]:
            parent, _, child = place.rpartition(".")
            setattr(model.get_submodule(parent), child, new)


def belongs_to_torch(model: nn.Module, place: str) -> bool:
    """Whether a layer is part of one of torch's own larger modules, whose code reads its attributes."""
    parent = model.get_submodule(place.rpartition(".")[0])
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return type(parent).__module__.startswith("torch.nn.") and not isinstance(parent, containers)


def tensors_of(group: dict[str, Any]) -> list[Tensor]:
    """The parameters of a group as a script may write it: one tensor, tensors, or pairs of name and tensor."""
    entries = group["params"]
    if isinstance(entries, Tensor):
        return [entries]
    group["params"] = entries = list(entries)
    return [entry[1] if isinstance(entry, tuple) else entry for entry in entries]


def are_optimized(parameters: Iterable[Tensor], groups: list[dict[str, Any]]) -> bool:
    """Whether all of these ask for a gradient and are in one of the groups; where there is none, the first decides."""
    optimized = {id(tensor) for group in groups for tensor in tensors_of(group)}
    return all(tensor.requires_grad and (not optimized or id(tensor) in optimized) for tensor in parameters)


def join_group(groups: list[dict[str, Any]], inside: list[nn.Module], new: nn.Module) -> None:
    """Put new parameters into the group of the layer that they belong to, where `model.parameters()` has them.

    Args:
        groups: The groups of an optimizer.
        inside: What stands before the new module in the layer's place, the layer first.
        new: The new module.
    """
    own = {id(parameter) for parameter in inside[0].parameters()}
    before = {id(parameter) for module in inside for parameter in module.parameters()}
    for group in groups:
        tensors = tensors_of(group)
        positions = [index for index, tensor in enumerate(tensors) if id(tensor) in own]
        if not positions:
            continue
        where = max(index for index, tensor in enumerate(tensors) if id(tensor) in before) + 1
        entries = group["params"] if isinstance(group["params"], list) else [group["params"]]
        added: list[Any] = list(new.parameters())
        if isinstance(entries[0], tuple):
            stem = f"{entries[positions[-1]][0].rpartition('.')[0]}.{len(inside)}"
            added = [(f"{stem}.{name}", parameter) for name, parameter in new.named_parameters()]
        elif "param_names" in group:
            stem = f"{group['param_names'][positions[-1]].rpartition('.')[0]}.{len(inside)}"
            group["param_names"][where:where] = [f"{stem}.{name}" for name, _ in new.named_parameters()]
        entries[where:where] = added
        group["params"] = entries
        return
