"""Fully connected networks with a path around every block, and the ways to start them without normalisation."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradiometer.lab.networks.drawing import seeded

PathKind = Literal["none", "plain", "rezero", "skipinit", "fixup"]
"""`none`: no path; `plain`: x + F(x); `rezero`: x + gate · f(x) for each layer, the gate 0 at first; `skipinit`:
x + gate · F(x) for each block of two layers; `fixup`: the branches scaled down, their last layer at 0."""


class Block(nn.Module):
    """Two linear layers with ReLU, and the path around them.

    Args:
        width: Units.
        kind: How path and branch are joined.
        blocks: Blocks in the network.
    """

    def __init__(self, width: int, kind: PathKind, blocks: int) -> None:
        super().__init__()
        self.kind = kind
        self.first = nn.Linear(width, width, bias=kind != "fixup")
        self.second = nn.Linear(width, width, bias=kind != "fixup")
        is_rectified = kind in ("none", "rezero")
        for layer, power in ((self.first, 2.0), (self.second, 2.0 if is_rectified else 1.0)):
            nn.init.normal_(layer.weight, 0.0, math.sqrt(power / width))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if kind in ("rezero", "skipinit"):
            self.gates = nn.Parameter(torch.zeros(2 if kind == "rezero" else 1))
        if kind == "fixup":
            self.gates, self.shifts = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(4))
            with torch.no_grad():
                # L^(-1 / (2m - 2)) with m = 2 layers in a branch.
                self.first.weight.mul_(blocks**-0.5)
                self.second.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Pass through branch and path."""
        if self.kind == "rezero":
            x = x + self.gates[0] * functional.relu(self.first(x))
            return x + self.gates[1] * functional.relu(self.second(x))
        if self.kind == "fixup":
            hidden = functional.relu(self.first(x + self.shifts[0]) + self.shifts[1])
            scaled: Tensor = self.gates[0] * self.second(hidden + self.shifts[2])
            return x + scaled + self.shifts[3]
        branch: Tensor = self.second(functional.relu(self.first(x)))
        if self.kind == "none":
            return functional.relu(branch)
        return x + self.gates[0] * branch if self.kind == "skipinit" else x + branch


def residual_network(inputs: int, width: int, blocks: int, classes: int, kind: PathKind, seed: int) -> nn.Sequential:
    """Draw a network: a layer in, blocks of two layers, a layer out.

    Args:
        inputs: Units of the input.
        width: Units of the hidden layers.
        blocks: Blocks, of two layers each.
        classes: Units of the output.
        kind: How path and branch are joined.
        seed: Seed of the weights.

    Source:
        Bachlechner et al., "ReZero is all you need", UAI 2021; De and Smith, NeurIPS 2020 (SkipInit); Zhang, Dauphin,
        Ma, "Fixup initialization", ICLR 2019: its output layer is 0 at first, too.
    """
    with seeded(seed):
        network = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(),
            *(Block(width, kind, blocks) for _ in range(blocks)),
            nn.Linear(width, classes),
        )
    if kind == "fixup":
        with torch.no_grad():
            network[-1].weight.zero_()  # type: ignore[operator]
            network[-1].bias.zero_()  # type: ignore[operator]
    return network
