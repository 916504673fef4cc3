"""What can be told of a script's objects from outside: names, arguments of a call under way, classes derived."""

import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradiometer.measuring.guarding import user_frame


def subclasses_of(kind: type) -> Iterator[type[Any]]:
    """All classes derived from a class, however far."""
    children: list[type[Any]] = kind.__subclasses__()
    for child in children:
        yield child
        yield from subclasses_of(child)


def keywords_of_call(module: nn.Module) -> dict[str, Any]:
    """Keyword arguments of the call of a module that is under way; torch tells its global hooks of none.

    They are read from the frame of torch's own call; empty where that has another shape.
    """
    frame = sys._getframe(1)
    while frame is not None:
        values = frame.f_locals
        if frame.f_code.co_name in {"_call_impl", "inner"} and values.get("self") is module and "kwargs" in values:
            return dict(values["kwargs"])
        frame = frame.f_back  # type: ignore[assignment]
    return {}


def as_list(params: Any) -> list[Any]:
    """A group's parameters as a list; a single tensor counts as one."""
    return [params] if isinstance(params, torch.Tensor) else list(params)


def variable_name(module: nn.Module) -> str | None:
    """The name under which the script's code at hand, or its main module, knows a module."""
    frame = user_frame(2)
    spaces: list[dict[str, Any]] = [frame.f_locals, frame.f_globals] if frame is not None else []
    spaces.append(vars(sys.modules["__main__"]))
    for space in spaces:
        for name, value in list(space.items()):
            if value is module and not name.startswith("_") and name != "self":
                return name
            if name == "self" and isinstance(value, nn.Module):
                continue
    return None


def path_inside(owner: nn.Module | None, module: nn.Module) -> str | None:
    """Path of a module inside another, None where it is not in there.

    Example:
        >>> layers = nn.Sequential(nn.Sequential(nn.ReLU()))
        >>> path_inside(layers, layers[0][0]), path_inside(layers, nn.ReLU())
        ('0.0', None)
    """
    parts = owner.named_modules() if owner is not None else ()
    return next((path for path, part in parts if part is module), None)
