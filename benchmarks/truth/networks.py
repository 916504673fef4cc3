"""The networks that are trained: small ones of the usual kinds, each activation a module of its own."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}
"""Activations by name."""


def norm_of(kind: str, width: int) -> list[nn.Module]:
    """A normalising layer for features, as a list of one or none."""
    return {"batch": [nn.BatchNorm1d(width)], "layer": [nn.LayerNorm(width)]}.get(kind, [])


class Stack(nn.Module):
    """Hidden blocks of linear layer, norm, activation and dropout, and a linear output layer."""

    def __init__(self, sizes: list[int], outputs: int, activation: str, norm: str = "", dropout: float = 0.0) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, after in zip(sizes[:-1], sizes[1:], strict=True):
            parts += [nn.Linear(before, after), *norm_of(norm, after), ACTIVATIONS[activation]()]
            parts += [nn.Dropout(dropout)] if dropout else []
        self.hidden = nn.Sequential(*parts)
        self.output = nn.Linear(sizes[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(x))


class Convolutions(nn.Module):
    """Convolutions with pooling after every second one, the mean over the image, and a linear output layer."""

    def __init__(
        self, channels: int, width: int, depth: int, outputs: int, activation: str, norm: str, dropout: float
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for rank in range(depth):
            parts.append(nn.Conv2d(channels if rank == 0 else width, width, 3, padding=1))
            parts += [nn.BatchNorm2d(width)] if norm else []
            parts.append(ACTIVATIONS[activation]())
            parts += [nn.MaxPool2d(2)] if rank in (1, 3) else []
        parts += [nn.Flatten(), *([nn.Dropout(dropout)] if dropout else [])]
        self.hidden = nn.Sequential(*parts)
        self.output = nn.LazyLinear(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(x))


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip connection."""

    def __init__(self, width: int, activation: str, norm: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.second_norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.inner, self.outer = ACTIVATIONS[activation](), ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.inner(self.first_norm(self.first(x)))
        return self.outer(x + self.second_norm(self.second(branch)))


class Residual(nn.Module):
    """A stem, residual blocks and a linear output layer; without norm, each branch starts small (Zhang et al. 2019)."""

    def __init__(self, channels: int, width: int, depth: int, outputs: int, activation: str, norm: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, width, 3, padding=1, stride=2)
        self.stem_activation = ACTIVATIONS[activation]()
        self.blocks = nn.Sequential(*(ResidualBlock(width, activation, norm) for _ in range(depth)))
        self.output = nn.Linear(width, outputs)
        if not norm:
            redraw(self, "he")
            for block in self.blocks:
                nn.init.normal_(block.second.weight, std=0.1 / math.sqrt(9 * width))

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem_activation(self.stem(x)))
        return self.output(x.mean(dim=(2, 3)))


class TransformerBlock(nn.Module):
    """Self-attention with two heads and a feed-forward part, the norm before or after each."""

    def __init__(self, width: int, dropout: float, *, is_pre_norm: bool) -> None:
        super().__init__()
        self.is_pre_norm = is_pre_norm
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def attend(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = self.into(x).view(batch, time, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts)
        return self.dropout(self.out(seen.transpose(1, 2).reshape(batch, time, width)))

    def forward(self, x: Tensor) -> Tensor:
        if self.is_pre_norm:
            x = x + self.attend(self.first_norm(x))
            return x + self.dropout(self.inner(self.second_norm(x)))
        x = self.first_norm(x + self.attend(x))
        return self.second_norm(x + self.dropout(self.inner(x)))


class Transformer(nn.Module):
    """Tokens or feature vectors with learned positions, blocks, the mean over time, and a linear output layer."""

    def __init__(
        self,
        shape: tuple[int, int],
        width: int,
        depth: int,
        outputs: int,
        dropout: float,
        *,
        has_tokens: bool,
        pre: bool,
    ) -> None:
        super().__init__()
        length, features = shape
        self.inputs = nn.Embedding(features, width) if has_tokens else nn.Linear(features, width)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.Sequential(*(TransformerBlock(width, dropout, is_pre_norm=pre) for _ in range(depth)))
        self.norm = nn.LayerNorm(width) if pre else nn.Identity()
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.inputs(x) + self.positions)
        return self.output(self.norm(x).mean(dim=1))


class Recurrent(nn.Module):
    """A recurrent layer that answers after its last time step."""

    def __init__(self, kind: str, features: int, width: int, depth: int, outputs: int) -> None:
        super().__init__()
        layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind]
        self.recurrent = layer(features, width, num_layers=depth, batch_first=True)
        self.output = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.recurrent(x)
        return self.output(outputs[:, -1])


class After(nn.Module):
    """A network with something done to its output: an output unit that does not belong there, for one."""

    def __init__(self, network: nn.Module, last: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.network(x))


def redraw(network: nn.Module, scheme: str) -> None:
    """Draw the weights of linear layers and convolutions anew: `he`, `glorot`, or `default` to leave torch's."""
    for layer in network.modules():
        if scheme != "default" and isinstance(layer, (nn.Linear, nn.Conv2d)):
            if scheme == "he":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
