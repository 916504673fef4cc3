"""Small networks of many kinds, and training steps for them; `zoo.table` trains all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """A post-activation residual block with in-place ReLU, module and functional."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.relu(self.norm(self.first(x))))
        y += x
        return F.relu_(y)


class ResNet(nn.Module):
    """Stem, residual blocks, pooled head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.blocks = nn.Sequential(ResidualBlock(8), ResidualBlock(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(torch.tanh(self.stem(x))).mean((2, 3)))


class Fan(nn.Module):
    """One tensor read by four layers, whose gradients add up in an order that must not change."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16)
        self.readers = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(sum(reader(x) for reader in self.readers) + x)  # type: ignore[arg-type]


class Functional(nn.Module):
    """Functional calls only, one in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(torch.sigmoid(self.first(x)), 0.1, self.training)
        return self.head(F.relu(self.second(x), inplace=True))


class Bare(nn.Module):
    """Parameters without layers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.out = nn.Parameter(torch.randn(16, 16) * 0.3), nn.Parameter(torch.randn(10, 16) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(x @ self.weight), self.out)


class Recurrent(nn.Module):
    """An LSTM and a GRU cell called in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.cell, self.head = nn.LSTM(4, 8, batch_first=True), nn.GRUCell(8, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(x.view(len(x), 4, 4))
        hidden = steps.new_zeros(len(x), 8)
        for time in range(4):
            hidden = self.cell(steps[:, time], hidden)
        return self.head(hidden)


class Transformer(nn.Module):
    """Embedding tied to the output, encoder layers with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(16, 10, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        tokens = (x.abs() * 3).long() % 10
        return self.out(self.encoder(self.embedding(tokens))).mean(1)


class Returning(nn.Module):
    """Returns a dictionary; passes its input through modules that hand on the tensor itself."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.flat, self.drop = nn.Identity(), nn.Flatten(), nn.Dropout(0.0)
        self.first, self.relu, self.head = nn.Linear(16, 16), nn.ReLU(inplace=True), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.drop(self.flat(self.same(self.first(x))))
        return {"hidden": y, "logits": self.head(self.relu(y))}


class SquareNorm(nn.Module):
    """A layer of the script's own that reads its input three times."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(16))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) + 0.1 * x


class PreNorm(nn.Module):
    """Pre-normalised residual blocks, as in language models: a branch and a skip read the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([SquareNorm() for _ in range(3)])
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(3)])
        self.drop, self.head = nn.Dropout(0.0), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[0](x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + self.drop(F.silu(layer(norm(x))))
        return self.head(x)


class Attention(nn.Module):
    """Attention that is asked whether query, key and value are the same tensor; called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 8), nn.Linear(8, 10)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.bidirectional = nn.LSTM(8, 4, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.view(len(x), 4, 4))
        x = x + self.attention(query=x, key=x, value=x, need_weights=False)[0]
        x = x + self.bidirectional(x)[0]
        return self.head(input=x.mean(1))


class Shared(nn.Module):
    """One layer called several times in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act, self.head = nn.Linear(16, 16), nn.ELU(), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = self.act(self.body(x))
        return self.head(x)


def mlp(depth: int = 4, activation: Callable[[], nn.Module] = nn.Sigmoid) -> nn.Sequential:
    """A plain network of width 16."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(16, 16), activation()]
    return nn.Sequential(*layers, nn.Linear(16, 10))


def frozen() -> nn.Sequential:
    """The first layers ask for no gradient."""
    model = mlp()
    for parameter in model[:4].parameters():
        parameter.requires_grad_(False)
    return model


@dataclass(frozen=True)
class Data:
    """Batches for a network."""

    inputs: Tensor
    targets: Tensor


def data_of(*shape: int, dtype: torch.dtype = torch.float32) -> Data:
    """Four batches of eight examples of this shape, of sixteen features where none is given."""
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn((4, 8, *(shape or (16,))), generator=generator, dtype=dtype)
    return Data(inputs, torch.randint(0, 10, (4, 8), generator=generator))


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy, also of a model that returns a dictionary."""
    output = model(inputs)
    return F.cross_entropy(output["logits"] if isinstance(output, dict) else output, targets)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, data: Data, steps: int = 8) -> None:
    """A plain training loop with an evaluation in its middle."""
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, data.inputs[step % 4], data.targets[step % 4]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if step == steps // 2:
            model.eval()
            with torch.no_grad():
                loss_of(model, data.inputs[0], data.targets[0])
            model.train()


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Run with a seed and put the random state back."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
