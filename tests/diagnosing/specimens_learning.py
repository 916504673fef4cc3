"""Specimens, twins and functional variants of the conditions that are judged by what the loss does and through time.

As in `specimens`: each twin differs from its specimen by one thing.
"""

from collections.abc import Callable

import torch
from specimens import CLASSES, WIDTH, Chain, Specimen, descent, draw, draw_he, make_clusters, train
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.schema import Run
from gradiometer.session import watch

TIME_STEPS, KINDS = 40, 4


def ascend(activation: nn.Module | Callable[[Tensor], Tensor], *, is_upward: bool) -> Run:
    return train(Chain(2, activation), descent(0.1, maximize=is_upward), steps=120)


def oscillate(activation: nn.Module | Callable[[Tensor], Tensor], rate: float) -> Run:
    """Tell apart clusters that overlap, with strong momentum."""
    points, labels = make_clusters(2048)
    points = points + torch.randn(points.shape, generator=torch.Generator().manual_seed(5))
    return train(Chain(1, activation), descent(rate, momentum=0.9), steps=200, data=(points, labels), overhead=0.3)


def drown(activation: nn.Module | Callable[[Tensor], Tensor], batch_size: int) -> Run:
    """Learn from labels of which two in three are random, with batches of some size."""
    points, labels = make_clusters(4096)
    generator = torch.Generator().manual_seed(1)
    is_random = torch.rand(len(labels), generator=generator) < 0.65
    labels = torch.where(is_random, torch.randint(0, CLASSES, labels.shape, generator=generator), labels)
    model = draw(Chain(1, activation), draw_he)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    with watch(model, optimizer, overhead=1.0, dear=("per_example",)) as watching:
        for _ in range(330):
            batch = torch.randint(0, len(points), (batch_size,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(points[batch]), labels[batch]).backward()
            optimizer.step()
    return watching.run


def unbalance(activation: nn.Module | Callable[[Tensor], Tensor], factor: float) -> Run:
    """Make the first layer's weights larger and the second's smaller: the same function, other speeds."""
    model = draw(Chain(3, activation), draw_he)
    with torch.no_grad():
        model.hidden[0].weight.mul_(factor)
        model.hidden[1].weight.div_(factor)
    return train(model, descent(0.003 / factor**2), steps=340, overhead=0.3)


def collapse(activation: nn.Module | Callable[[Tensor], Tensor], draw_weight: Callable[[Tensor], object]) -> Run:
    model = draw(Chain(60, activation), draw_weight)
    return train(model, descent(0.005, momentum=0.9), steps=320, overhead=0.05)


class Recurrent(nn.Module):
    """A plain recurrence over a sequence, in one layer or as a cell in a loop."""

    def __init__(self, *, is_loop: bool) -> None:
        super().__init__()
        self.recurrence = nn.RNNCell(KINDS, WIDTH) if is_loop else nn.RNN(KINDS, WIDTH, batch_first=True)
        self.output = nn.Linear(WIDTH, KINDS)
        self.is_loop = is_loop

    def forward(self, sequences: Tensor) -> Tensor:
        if not self.is_loop:
            return self.output(self.recurrence(sequences)[0][:, -1])
        state = None
        for moment in sequences.unbind(1):
            state = self.recurrence(moment, state)
        return self.output(state)


def make_sequences(clue: int, count: int = 512) -> tuple[Tensor, Tensor]:
    """Noise, with a mark at one time step that tells the kind."""
    generator = torch.Generator().manual_seed(4)
    kinds = torch.randint(0, KINDS, (count,), generator=generator)
    sequences = 0.3 * torch.randn(count, TIME_STEPS, KINDS, generator=generator)
    sequences[:, clue] += 2.0 * F.one_hot(kinds, KINDS)
    return sequences, kinds


def forget(clue: int, *, is_loop: bool = False) -> Run:
    return train(Recurrent(is_loop=is_loop), descent(0.1), steps=340, data=make_sequences(clue), overhead=0.05)


def remember_too_much(scale: float, *, is_loop: bool = False) -> Run:
    model = Recurrent(is_loop=is_loop)
    recurrent = next(weight for name, weight in model.named_parameters() if "weight_hh" in name)
    with torch.no_grad():
        recurrent.copy_(scale * torch.randn_like(recurrent) / WIDTH**0.5)
    return train(model, descent(0.1), steps=340, data=make_sequences(-4), overhead=0.05)


LEARNING_SPECIMENS: dict[str, Specimen] = {
    "diverging": Specimen(
        lambda: ascend(nn.Tanh(), is_upward=True),
        lambda: ascend(nn.Tanh(), is_upward=False),
        lambda: ascend(torch.tanh, is_upward=True),
    ),
    "oscillating": Specimen(
        lambda: oscillate(nn.Tanh(), 1.0), lambda: oscillate(nn.Tanh(), 0.03), lambda: oscillate(torch.tanh, 1.0)
    ),
    "noisy": Specimen(lambda: drown(nn.ReLU(), 2), lambda: drown(nn.ReLU(), 256), lambda: drown(F.relu, 2)),
    "uneven": Specimen(
        lambda: unbalance(nn.ReLU(), 30.0), lambda: unbalance(nn.ReLU(), 1.0), lambda: unbalance(F.relu, 30.0)
    ),
    "collapsed": Specimen(
        lambda: collapse(nn.Tanh(), nn.init.xavier_normal_),
        lambda: collapse(nn.Tanh(), nn.init.orthogonal_),
        lambda: collapse(torch.tanh, nn.init.xavier_normal_),
    ),
    "fading_memory": Specimen(lambda: forget(0), lambda: forget(-2), lambda: forget(0, is_loop=True)),
    "exploding_memory": Specimen(
        lambda: remember_too_much(4.0), lambda: remember_too_much(0.9), lambda: remember_too_much(4.0, is_loop=True)
    ),
}
