"""Functional calls (`torch.relu(x)`, `F.conv2d(...)`, `x.sigmoid()`), seen through a torch function mode."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from gradiometer.activations import FUNCTION_ACTIVATIONS, Activation, activation_of
from gradiometer.measuring.compiled import remove_whole

OTHER_FUNCTIONS = (
    "linear",
    "bilinear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "embedding",
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "normalize",
    "dropout",
    "alpha_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool2d",
    "interpolate",
    "softmax",
    "log_softmax",
    "scaled_dot_product_attention",
)
"""Functions measured as layers beside activations, by name in torch.nn.functional."""


def list_functions() -> dict[Any, str]:
    """Map every function object through which a measured function can be reached to its name.

    Returns:
        For torch.relu, F.relu, Tensor.relu and their in-place twins `relu`, and so on.
    """
    found: dict[Any, str] = {}
    for home in (torch, F, Tensor):
        for name in (*FUNCTION_ACTIVATIONS, *OTHER_FUNCTIONS):
            for spelling in (name, f"{name}_"):
                function = getattr(home, spelling, None)
                if callable(function) and not isinstance(function, type):
                    found[function] = name
    return found


FUNCTIONS: dict[Any, str] = list_functions()

SHAPING_ARGUMENTS = frozenset({"negative_slope", "alpha", "beta", "min_val", "max_val", "threshold", "value", "lambd"})
"""Keyword arguments that shape a functional activation."""


def function_activation(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Activation | None:
    """The activation that a functional call computes, None where it is none."""
    if name not in FUNCTION_ACTIVATIONS:
        return None
    numbers = {
        key: float(value)
        for key, value in kwargs.items()
        if key in SHAPING_ARGUMENTS and isinstance(value, (int, float))
    }
    kind = FUNCTION_ACTIVATIONS[name]
    if kind == "leaky_relu" and len(args) > 1 and isinstance(args[1], (int, float)):
        numbers["negative_slope"] = float(args[1])
    return activation_of(kind, **numbers)


def is_in_place(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call writes its result over its input: `relu_`, or `inplace=True` by name or by position.

    Example:
        >>> is_in_place(torch.relu_, (torch.ones(1),), {}), is_in_place(F.relu, (torch.ones(1), True), {})
        (True, True)
        >>> is_in_place(F.dropout, (torch.ones(1), 0.5, True), {})
        False
    """
    if getattr(function, "__name__", "").endswith("_"):
        return True
    if len(args) > 1 and "inplace" not in kwargs:
        try:
            return bool(inspect.signature(function).bind(*args, **kwargs).arguments.get("inplace", False))
        except (TypeError, ValueError):
            return False
    return bool(kwargs.get("inplace", False))


def function_dropped_share(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float | None:
    """Probability with which a functional call drops values; None where it is no dropout, or not in training.

    Example:
        >>> function_dropped_share("dropout", (torch.ones(1), 0.25), {}), function_dropped_share("relu", (), {})
        (0.25, None)
        >>> function_dropped_share("dropout", (torch.ones(1),), {"training": False}) is None
        True
    """
    if "dropout" not in name:
        return None
    share = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    is_training = kwargs.get("training", kwargs.get("train", args[2] if len(args) > 2 else name not in EVALUATING))
    return float(share) if is_training and isinstance(share, (int, float)) else None


EVALUATING = frozenset({"alpha_dropout", "feature_alpha_dropout"})
"""Dropouts that drop nothing unless they are told to."""


class FunctionWatch(TorchFunctionMode):
    """Hands every measured functional call to an observer; leaves all others alone.

    Args:
        observe: Called with the name, the function, its arguments and keyword arguments; makes the call and returns
            its result.
    """

    def __init__(self, observe: Callable[[str, Any, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        self.observe = observe
        self._depth = 0
        self._is_left = False
        self._waiting: RemovableHandle | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make one call, observed where it is one of `FUNCTIONS`."""
        name = FUNCTIONS.get(func)
        if name is None or self._is_left:
            return func(*args, **(kwargs or {}))
        self._depth += 1
        try:
            return self.observe(name, func, args, kwargs or {})
        finally:
            self._depth -= 1

    def leave(self) -> None:
        """Leave the mode, also amid a call that it observes.

        Torch has put it aside for such a call, and will put it back on top of the others: to leave it at once would
        take another mode away, maybe the one that a script's default device is. It is left when the module ends whose
        forward makes the call; until then it observes nothing.
        """
        if not self._depth:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        elif not self._is_left:
            self._is_left = True
            self._waiting = register_module_forward_hook(self._leave_later, always_call=True)

    def _leave_later(self, module: Any, args: Any, output: Any) -> None:
        if self._waiting is not None and not self._depth:
            remove_whole(self._waiting)
            self._waiting = None
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
