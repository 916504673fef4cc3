"""Which weighted layers a model calls, in order, each with the activation directly behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradiometer.activations import FUNCTION_ACTIVATIONS, parameters_of

CONVOLUTIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3}
"""Convolving functions, with the number of their axes."""

CONVOLUTION_SETTINGS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
"""What they are given behind input, weight and bias, with its default."""

WITHOUT_LEARNING = frozenset({"prelu", "rrelu", "threshold", "hardshrink", "softshrink", "tanhshrink"})
"""Activations with parameters or random numbers of their own, or that give back nothing useful."""


@dataclass(slots=True)
class LayerCall:
    """One call of a weighted layer.

    Attributes:
        weight: Its weight.
        bias: Its bias; None without.
        convolution: Stride, padding, dilation and groups; None for a linear layer.
        is_reversible: What it is given can be given back: a batch, with the same padding on both sides.
        activation: Activation directly behind it, as `gradiometer.activations` names it; empty where there is none, or
            something else uses what the layer gives as well.
        settings: What else that was given, by name.
        uses: How often what the layer gives was used.
    """

    weight: Tensor
    bias: Tensor | None
    convolution: dict[str, Any] | None
    is_reversible: bool
    activation: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    uses: int = 0


class LayerCalls(TorchFunctionMode):
    """Notes the calls of layers and activations while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LayerCall] = []
        self._made: dict[int, tuple[LayerCall, Tensor]] = {}

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a call, and note what it was."""
        given = kwargs or {}
        name = getattr(function, "__name__", "")
        sources = [self._made[id(one)][0] for one in args if id(one) in self._made]
        output = function(*args, **given)
        if not isinstance(output, Tensor):
            return output
        for call in sources:
            self._note_use(call, FUNCTION_ACTIVATIONS.get(name.rstrip("_"), ""), args[1:], given)
        if sources and output is args[0]:  # written in place
            del self._made[id(output)]
        if (name == "linear" or name in CONVOLUTIONS) and len(args) > 1:
            call = layer_call(name, args, given)
            self.calls.append(call)
            self._made[id(output)] = (call, output)
        return output

    def _note_use(self, call: LayerCall, kind: str, args: Any, given: dict[str, Any]) -> None:
        """What a layer gave is used: by an activation alone, or the layer has none of its own."""
        call.uses += 1
        if call.uses > 1 or not kind or kind in WITHOUT_LEARNING:
            call.activation = ""
            return
        call.activation = kind
        settings = {**dict(zip(parameters_of(kind), args, strict=False)), **given}
        call.settings = {name: value for name, value in settings.items() if name in parameters_of(kind)}


def layer_call(name: str, args: tuple[Any, ...], given: dict[str, Any]) -> LayerCall:
    """What a call of `linear` or of a convolution was given."""
    bias = args[2] if len(args) > 2 else given.get("bias")
    if name == "linear":
        return LayerCall(args[1], bias, None, is_reversible=args[0].dim() > 1)
    settings = {**CONVOLUTION_SETTINGS, **dict(zip(CONVOLUTION_SETTINGS, args[3:], strict=False))}
    settings |= {word: value for word, value in given.items() if word in CONVOLUTION_SETTINGS}
    axes = CONVOLUTIONS[name]
    is_reversible = args[0].dim() == axes + 2 and not isinstance(settings["padding"], str)
    convolution = {word: as_axes(value, word, axes) for word, value in settings.items()}
    return LayerCall(args[1], bias, convolution, is_reversible)


def as_axes(value: Any, word: str, axes: int) -> Any:
    """One number for each axis; groups are one number.

    Example:
        >>> as_axes(2, "stride", 3), as_axes((1, 2), "padding", 2), as_axes(4, "groups", 2)
        ((2, 2, 2), (1, 2), 4)
    """
    if word == "groups" or isinstance(value, str):
        return value
    numbers = tuple(value) if isinstance(value, tuple | list) else (value,)
    return numbers * axes if len(numbers) == 1 else numbers


def layers_called(forward: Callable[[Tensor], Any], inputs: Tensor) -> list[LayerCall]:
    """The weighted layers that a model calls, in order of execution."""
    watch = LayerCalls()
    with watch:
        forward(inputs)
    return watch.calls
