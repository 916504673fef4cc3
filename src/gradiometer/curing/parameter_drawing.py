"""Draw parameters of which only parts belong together, such as the gates of a recurrent layer, live and as code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True, slots=True)
class ParameterDraw:
    """How one parameter is drawn.

    Attributes:
        distribution: `uniform` (scale is the bound), `normal` (the standard deviation), `orthogonal` (the gain),
            `identity` (what stands on the diagonal) or `constant` (the value).
        scales: The scale of each of the equal blocks of rows that it consists of; None for one that stays.
        zero_row: A row that is zero and stays so, as an embedding's padding; None for none.
    """

    distribution: Literal["uniform", "normal", "orthogonal", "identity", "constant"]
    scales: tuple[float | None, ...]
    zero_row: int | None = None


DRAWN: dict[str, str] = {
    "uniform": "drawn.uniform_(-scale, scale, generator=random_numbers)",
    "normal": "drawn.normal_(0.0, scale, generator=random_numbers)",
    "orthogonal": "nn.init.orthogonal_(drawn, scale, generator=random_numbers)",
    "identity": "nn.init.eye_(drawn).mul_(scale)",
    "constant": "drawn.fill_(scale)",
}
"""How each distribution is drawn into `drawn`."""


def draw_parameter(parameter: Tensor, draw: ParameterDraw, generator: torch.Generator) -> None:
    """Draw a parameter on the CPU in float32 and copy it over, whatever its device and number format."""
    for block, scale in zip(parameter.chunk(len(draw.scales)), draw.scales, strict=True):
        if scale is None:
            continue
        drawn = torch.empty(block.shape)
        if draw.distribution == "uniform":
            drawn.uniform_(-scale, scale, generator=generator)
        elif draw.distribution == "normal":
            drawn.normal_(0.0, scale, generator=generator)
        elif draw.distribution == "orthogonal":
            nn.init.orthogonal_(drawn, scale, generator=generator)
        elif draw.distribution == "identity":
            nn.init.eye_(drawn).mul_(scale)
        else:
            drawn.fill_(scale)
        block.copy_(drawn)
    if draw.zero_row is not None:
        parameter[draw.zero_row].zero_()


def draw_parameters(
    model: nn.Module, draws: Mapping[str, ParameterDraw], generator: torch.Generator, optimizer: Optimizer | None
) -> None:
    """Draw parameters of a model, in order, and wipe the optimizer's memory of them."""
    with torch.no_grad():
        for name, draw in draws.items():
            parameter = model.get_parameter(name)
            draw_parameter(parameter, draw, generator)
            if optimizer is not None:
                optimizer.state.pop(parameter, None)


def parameters_code(draws: Mapping[str, ParameterDraw]) -> str:
    """Write what `draw_parameters` does as a loop, with no more in it than these parameters need.

    Args:
        draws: How each parameter is drawn, by name, in order.

    Returns:
        Python code with the free names `model`, `torch`, `nn` and, where it draws, `random_numbers`.
    """
    has_zero_rows = any(draw.zero_row is not None for draw in draws.values())
    has_gaps = any(scale is None for draw in draws.values() for scale in draw.scales)
    used = [kind for kind in DRAWN if any(draw.distribution == kind for draw in draws.values())]
    rows = "".join(f'    "{name}": {_row(draw, with_zero_row=has_zero_rows)},\n' for name, draw in draws.items())
    names = ["distribution", "scales", *(["zero_row"] if has_zero_rows else [])]
    body = ["parameter = model.get_parameter(name)", "for block, scale in zip(parameter.chunk(len(scales)), scales):"]
    body += ["    if scale is None:", "        continue"] if has_gaps else []
    body += ["    drawn = torch.empty(block.shape)", *(f"    {line}" for line in _choice(used))]
    body += ["    block.copy_(drawn)"]
    body += ["if zero_row is not None:", "    parameter[zero_row].zero_()"] if has_zero_rows else []
    told = "its blocks of rows (None: stays)" if has_gaps else "its blocks of rows"
    return (
        f"# parameter: distribution, scale of each of {told}{', row of zeros' if has_zero_rows else ''}\n"
        f"parameters = {{\n{rows}}}\n"
        "with torch.no_grad():\n"
        f"    for name, ({', '.join(names)}) in parameters.items():\n" + "".join(f"        {line}\n" for line in body)
    )


def opening_code(draws: Mapping[str, ParameterDraw], seed: int) -> str:
    """The lines that `parameters_code` needs before it."""
    kinds = {draw.distribution for draw in draws.values()}
    imports = "import torch\n" + ("from torch import nn\n" if kinds & {"orthogonal", "identity"} else "")
    is_random = bool(kinds & {"uniform", "normal", "orthogonal"})
    generator = f"random_numbers = torch.Generator().manual_seed({seed})\n" if is_random else ""
    return f"{imports}\n{generator}"


def _row(draw: ParameterDraw, *, with_zero_row: bool) -> str:
    scales = repr(draw.scales)
    return (
        f'("{draw.distribution}", {scales}, {draw.zero_row})' if with_zero_row else f'("{draw.distribution}", {scales})'
    )


def _choice(used: list[str]) -> list[str]:
    """Lines that draw by the one distribution there is, or by that which is named."""
    if len(used) == 1:
        return [DRAWN[used[0]]]
    lines = []
    for index, kind in enumerate(used):
        lines += [f'{"elif" if index else "if"} distribution == "{kind}":', f"    {DRAWN[kind]}"]
    return lines
