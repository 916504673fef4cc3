"""Small networks of every kind, with a batch and a loss, to be nudged in float64."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES, BATCH = 3, 4


class Convolutional(nn.Module):
    """Batch normalisation that trains, functional calls, one of them in place, and a residual path."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.drop = nn.Dropout(0.25)
        self.head = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = x + torch.tanh(self.second(x).mul_(0.5))
        return self.head(self.drop(F.relu(x, inplace=True)).mean((2, 3)))


class Recurrent(nn.Module):
    """An LSTM and a cell called in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 4, batch_first=True)
        self.cell = nn.GRUCell(4, 4)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.lstm(x)
        state = torch.zeros_like(hidden[:, 0])
        for step in range(hidden.shape[1]):
            state = self.cell(hidden[:, step], state)
        return self.head(state)


class Attentive(nn.Module):
    """Tokens, an embedding tied to the output layer, attention that drops, a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 4)
        self.place = nn.Parameter(torch.randn(3, 4) * 0.1)
        self.block = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.1, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.block(self.embedding(tokens) + self.place)
        return F.linear(hidden.mean(1), self.embedding.weight)


@dataclass(frozen=True, slots=True)
class Nudged:
    """A network with what it is asked."""

    model: nn.Module
    loss_fn: Callable[[Tensor, Tensor], Tensor]
    x: Tensor
    y: Tensor


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Linear(4, CLASSES))
    )


def nudged(name: str) -> Nudged:
    """A fresh network of one kind, in training mode."""
    torch.manual_seed(3)
    y = torch.randint(CLASSES, (BATCH,))
    model, x = {
        "mlp": lambda: (mlp(), torch.randn(BATCH, 5)),
        "convolutional": lambda: (Convolutional(), torch.randn(BATCH, 1, 4, 4)),
        "recurrent": lambda: (Recurrent(), torch.randn(BATCH, 3, 2)),
        "attentive": lambda: (Attentive(), torch.randint(CLASSES, (BATCH, 3))),
    }[name]()
    return Nudged(model.double(), F.cross_entropy, x.double() if x.is_floating_point() else x, y)


KINDS = ("mlp", "convolutional", "recurrent", "attentive")
