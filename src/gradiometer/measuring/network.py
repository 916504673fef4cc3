"""What a network has, as far as it decides which dear measurements fit it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from gradiometer.measuring.calls import Call

LEAST_LOOP_CALLS = 3
"""Calls of one module within one call of its root from which on it may be a cell in a loop."""


@dataclass(frozen=True, slots=True)
class Network:
    """What decides which measurements fit.

    Attributes:
        modules: Every module of the roots.
        is_closed: Layers are not opened: the network is compiled.
        has_loops: A module with parameters was called in a loop in the last full step.
        has_windows: Units are judged in some layer.
    """

    modules: tuple[nn.Module, ...] = ()
    is_closed: bool = False
    has_loops: bool = False
    has_windows: bool = False


def has_loops(calls: Sequence[Call], modules: Iterable[tuple[str, nn.Module]]) -> bool:
    """Whether a module with parameters was called so often within a root's call that it may be a cell in a loop.

    Args:
        calls: A step's calls.
        modules: The roots' modules, each with its name.
    """
    third = f"#{LEAST_LOOP_CALLS}"
    repeated = {call.layer.removesuffix(third) for call in calls if call.layer.endswith(third)}
    return bool(repeated) and any(
        name in repeated and next(module.parameters(), None) is not None for name, module in modules
    )
