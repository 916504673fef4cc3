"""Draw one layer's weights and bias, live and as code; both make the same bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gradiometer.errors import CureRefusedError


@dataclass(frozen=True, slots=True)
class Draw:
    """How one layer's weights and bias are drawn.

    Attributes:
        distribution: `uniform` (scale is the bound), `normal` (the standard deviation), `orthogonal` (the gain) or
            `delta_orthogonal` (an orthogonal matrix in the middle of the kernel, zeros around it).
        scale: Its scale.
        bias_scale: Standard deviation of the biases; 0 for none.
        input_mean: Mean of the layer's inputs, which the bias takes out; 0 for none.
    """

    distribution: Literal["uniform", "normal", "orthogonal", "delta_orthogonal"]
    scale: float
    bias_scale: float = 0.0
    input_mean: float = 0.0


def redraw(layer: nn.Module, draw: Draw, generator: torch.Generator) -> None:
    """Draw one layer's weights on the CPU in float32 and copy them over, whatever its device and number format."""
    if not isinstance(layer.weight, Tensor):
        raise CureRefusedError(f"{type(layer).__name__} has no weight to redraw")
    weight = torch.empty(canonical_shape(layer))
    if draw.distribution == "uniform":
        weight.uniform_(-draw.scale, draw.scale, generator=generator)
    elif draw.distribution == "normal":
        weight.normal_(0.0, draw.scale, generator=generator)
    elif draw.distribution == "orthogonal":
        nn.init.orthogonal_(weight, draw.scale, generator=generator)
    else:
        middle: tuple[Any, ...] = (..., *(size // 2 for size in weight.shape[2:]))
        weight.zero_()[middle] = nn.init.orthogonal_(torch.empty(weight.shape[:2]), draw.scale, generator=generator)
    layer.weight.copy_(weight.transpose(0, 1) if is_transposed(layer) else weight)
    if isinstance(layer.bias, Tensor):
        bias = torch.zeros(layer.bias.shape)
        if draw.bias_scale:
            bias.normal_(0.0, draw.bias_scale, generator=generator)
        layer.bias.copy_(bias)
        if draw.input_mean:
            layer.bias.sub_(draw.input_mean * layer.weight.flatten(1).sum(1))


def is_transposed(layer: nn.Module) -> bool:
    """Whether it is a transposed convolution, whose weight has inputs first."""
    return bool(getattr(layer, "transposed", False))


def canonical_shape(layer: nn.Module) -> list[int]:
    """Shape of the weight with outputs first, then inputs, then positions."""
    shape = list(layer.weight.shape)  # type: ignore[arg-type]
    if is_transposed(layer):
        shape[0], shape[1] = shape[1], shape[0]
    return shape


CALLS = {
    "uniform": "weight.uniform_(-scale, scale, generator=random_numbers)",
    "normal": "weight.normal_(0.0, scale, generator=random_numbers)",
    "orthogonal": "nn.init.orthogonal_(weight, scale, generator=random_numbers)",
    "delta_orthogonal": (
        "middle = (..., *(size // 2 for size in weight.shape[2:]))\n"
        "matrix = torch.empty(weight.shape[:2])\n"
        "weight.zero_()[middle] = nn.init.orthogonal_(matrix, scale, generator=random_numbers)"
    ),
}
"""How each distribution is drawn into `weight`."""


def redrawing_code(model: nn.Module, draws: Mapping[str, Draw], seed: int) -> str:
    """Write what `redraw` does to every layer as a loop, with no more in it than these layers need.

    Args:
        model: The model.
        draws: How each layer is drawn, by place, in order.
        seed: Seed of the generator.

    Returns:
        Python code with the free name `model`.
    """
    used = [name for name in CALLS if any(draw.distribution == name for draw in draws.values())]
    columns = [name for name in ("bias_scale", "input_mean") if any(getattr(draw, name) for draw in draws.values())]
    names = [*(["distribution"] if len(used) > 1 else []), "scale", *columns]
    rows = "".join(f"    {_quoted(place)}: {_row(draw, names)},\n" for place, draw in draws.items())
    has_transposed = any(is_transposed(model.get_submodule(place)) for place in draws)
    body = ["layer = model.get_submodule(place)", *_weight_lines(used, has_transposed=has_transposed)]
    body += ["if layer.bias is not None:", *(f"    {line}" for line in _bias_lines(columns))]
    target = names[0] if len(names) == 1 else f"({', '.join(names)})"
    return (
        f"import torch\n{'from torch import nn' + chr(10) if {'orthogonal', 'delta_orthogonal'} & {*used} else ''}\n"
        f"# layer: {', '.join(name.replace('_', ' ') for name in names)}\n"
        f"draws = {{\n{rows}}}\n"
        f"random_numbers = torch.Generator().manual_seed({seed})\n"
        "with torch.no_grad():\n"
        f"    for place, {target} in draws.items():\n" + "".join(f"        {line}\n" for line in body)
    )


def _quoted(text: str) -> str:
    return '"' + text + '"'


def _row(draw: Draw, names: list[str]) -> str:
    values = [_quoted(draw.distribution) if name == "distribution" else repr(getattr(draw, name)) for name in names]
    return values[0] if len(values) == 1 else f"({', '.join(values)})"


def _weight_lines(used: list[str], *, has_transposed: bool) -> list[str]:
    """Lines that draw the weight; a transposed convolution has its inputs first."""
    lines = ["weight = torch.empty(layer.weight.shape)"]
    if has_transposed:
        lines += [
            "is_transposed = getattr(layer, 'transposed', False)",
            "weight = torch.empty(weight.transpose(0, 1).shape if is_transposed else weight.shape)",
        ]
    if len(used) == 1:
        lines += CALLS[used[0]].split("\n")
    else:
        for index, name in enumerate(used):
            lines.append(f'{"if" if index == 0 else "elif"} distribution == "{name}":')
            lines += [f"    {line}" for line in CALLS[name].split("\n")]
    copied = "weight.transpose(0, 1) if is_transposed else weight" if has_transposed else "weight"
    return [*lines, f"layer.weight.copy_({copied})"]


def _bias_lines(columns: list[str]) -> list[str]:
    lines = ["layer.bias.zero_()"]
    if "bias_scale" in columns:
        lines += [
            "if bias_scale:",
            "    layer.bias.copy_(torch.zeros(layer.bias.shape).normal_(0.0, bias_scale, generator=random_numbers))",
        ]
    if "input_mean" in columns:
        lines += ["if input_mean:", "    layer.bias.sub_(input_mean * layer.weight.flatten(1).sum(1))"]
    return lines
