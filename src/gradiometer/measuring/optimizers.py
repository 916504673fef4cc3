"""What the optimizers of a run are told to do, as plain values."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

NO_SETTINGS = frozenset({"params", "param_names"})
"""What a group holds beside its settings."""


def describe_optimizers(optimizers: Sequence[Optimizer]) -> list[dict[str, Any]]:
    """The fact `optimizers`: of each its class, the settings of its first group and how many parameters it holds.

    Args:
        optimizers: The run's optimizers, in the order in which they became known.

    Example:
        >>> import torch
        >>> found = describe_optimizers([torch.optim.SGD([torch.ones(3, requires_grad=True)], lr=0.5)])[0]
        >>> found["kind"], found["settings"]["lr"], found["parameter_count"]
        ('SGD', 0.5, 1)
    """
    return [
        {
            "kind": type(optimizer).__name__,
            "settings": settings_of(optimizer),
            "parameter_count": sum(len(group["params"]) for group in optimizer.param_groups),
        }
        for optimizer in optimizers
    ]


def settings_of(optimizer: Optimizer) -> dict[str, Any]:
    """Settings of an optimizer's first group, by name; empty where it has none."""
    group = optimizer.param_groups[0] if optimizer.param_groups else {}
    return {str(name): plain_value(value) for name, value in group.items() if name not in NO_SETTINGS}


def plain_value(value: Any) -> Any:
    """A setting as JSON knows it; None for a tensor that would have to be waited for, a name for other objects."""
    if isinstance(value, Tensor):
        return float(value) if value.is_cpu and value.numel() == 1 and not value.is_complex() else None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain_value(part) for part in value]
    return type(value).__name__
