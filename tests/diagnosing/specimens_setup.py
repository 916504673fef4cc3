"""Specimens of what is at fault in the program itself: the loop, the loss, the data's scale, the drawn weights.

As in `specimens`, a twin differs from its specimen by one thing, and every step is measured in full.
"""

from collections.abc import Callable

import torch
from specimens import BATCH, CLASSES, INPUTS, WIDTH, Chain, Specimen, adam, descent, draw, draw_he, make_clusters, train
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.schema import Run
from gradiometer.session import watch

Step = Callable[[int, nn.Module, torch.optim.Optimizer, Tensor, Tensor], object]
"""One step of a hand-written loop: its number, model, optimizer, points and labels."""


def loop(model: nn.Module, optimizer: torch.optim.Optimizer, take: Step, steps: int = 60) -> Run:
    """Train with a loop of one's own, watched."""
    points, labels = make_clusters()
    generator = torch.Generator().manual_seed(1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for step in range(steps):
            batch = torch.randint(0, len(points), (BATCH,), generator=generator)
            take(step, model, optimizer, points[batch], labels[batch])
    return watching.run


def never_zero(step: int, model: nn.Module, optimizer: torch.optim.Optimizer, points: Tensor, labels: Tensor) -> None:
    F.cross_entropy(model(points), labels).backward()
    optimizer.step()


def zero_first(step: int, model: nn.Module, optimizer: torch.optim.Optimizer, points: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    never_zero(step, model, optimizer, points, labels)


def accumulate(take: Step, activation: nn.Module | Callable[[Tensor], Tensor]) -> Run:
    model = draw(Chain(2, activation), draw_he)
    return loop(model, torch.optim.SGD(model.parameters(), lr=0.1), take)


class Headed(nn.Module):
    """A chain with an output unit behind it."""

    def __init__(self, unit: nn.Module | None, outputs: int = CLASSES) -> None:
        super().__init__()
        self.body = draw(Chain(2, nn.ReLU(), outputs), draw_he)
        self.unit = unit

    def forward(self, points: Tensor) -> Tensor:
        return self.body(points) if self.unit is None else self.unit(self.body(points))


def pair(unit: nn.Module | None, loss_fn: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy) -> Run:
    return train(Headed(unit), descent(0.1), steps=60, loss_fn=loss_fn)


def softmaxed(outputs: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(F.softmax(outputs, dim=1), labels)


def scale(factor: float, activation: nn.Module | Callable[[Tensor], Tensor]) -> Run:
    points, labels = make_clusters()
    model = draw(Chain(2, activation), draw_he)
    return train(model, descent(0.1), steps=120, data=(factor * points, labels))


class Cut(nn.Module):
    """Two hidden layers, cut off from the loss by `detach` or not."""

    def __init__(self, *, is_cut: bool, is_functional: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, WIDTH)
        self.activation = None if is_functional else nn.ReLU()
        self.second = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, CLASSES)
        self.is_cut = is_cut

    def forward(self, points: Tensor) -> Tensor:
        activation = self.activation or F.relu
        hidden = activation(self.first(points))
        if self.is_cut:
            hidden = hidden.detach()
        return self.output(activation(self.second(hidden)))


def cut(*, is_cut: bool, is_functional: bool = False) -> Run:
    return train(Cut(is_cut=is_cut, is_functional=is_functional), descent(0.1), steps=60)


def alike(activation: nn.Module | Callable[[Tensor], Tensor], draw_weight: Callable[[Tensor], object]) -> Run:
    return train(draw(Chain(2, activation), draw_weight), descent(0.1), steps=60)


def draw_constant(weight: Tensor) -> Tensor:
    return nn.init.constant_(weight, 0.05)


def bent_data() -> tuple[Tensor, Tensor]:
    """Points whose class depends on the signs of two features together: no line tells them apart."""
    points = torch.randn(2048, INPUTS, generator=torch.Generator().manual_seed(3))
    return points, ((points[:, 0] > 0) ^ (points[:, 1] > 0)).long()


def unchanged(points: Tensor) -> Tensor:
    return points


def bend(activation: nn.Module | Callable[[Tensor], Tensor]) -> Run:
    return train(Chain(2, activation, 2), adam(1e-2), steps=320, data=bent_data())


class Dropping(nn.Module):
    """A chain that drops values between its layers."""

    def __init__(self, share: float, *, is_functional: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, CLASSES)
        self.share = share
        self.dropout = None if is_functional else nn.Dropout(share)

    def drop(self, points: Tensor) -> Tensor:
        return F.dropout(points, self.share) if self.dropout is None else self.dropout(points)

    def forward(self, points: Tensor) -> Tensor:
        hidden = self.drop(F.relu(self.first(points)))
        return self.output(self.drop(F.relu(self.second(hidden))))


def drop(share: float, *, is_functional: bool = False) -> Run:
    return train(draw(Dropping(share, is_functional=is_functional), draw_he), adam(3e-3), steps=320)


def decay(setting: float) -> Run:
    return train(draw(Chain(2, nn.ReLU()), draw_he), descent(0.1, weight_decay=setting), steps=320)


def halve(factor: float, activation: nn.Module | Callable[[Tensor], Tensor], dtype: torch.dtype = torch.float16) -> Run:
    """Train in a format of half size, the loss divided by something."""
    points, labels = make_clusters()
    model = draw(Chain(2, activation), draw_he).to(dtype)

    def loss_fn(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets) / factor

    return train(model, descent(0.03), steps=60, data=(points.to(dtype), labels), loss_fn=loss_fn)


SETUP_SPECIMENS: dict[str, Specimen] = {
    "disconnected": Specimen(
        lambda: cut(is_cut=True), lambda: cut(is_cut=False), lambda: cut(is_cut=True, is_functional=True)
    ),
    "accumulating": Specimen(
        lambda: accumulate(never_zero, nn.ReLU()),
        lambda: accumulate(zero_first, nn.ReLU()),
        lambda: accumulate(never_zero, F.relu),
    ),
    "mismatched_loss": Specimen(lambda: pair(nn.Softmax(dim=1)), lambda: pair(None), lambda: pair(None, softmaxed)),
    "linear": Specimen(lambda: bend(nn.Identity()), lambda: bend(nn.LeakyReLU()), lambda: bend(unchanged)),
    "over_regularised": Specimen(lambda: drop(0.95), lambda: drop(0.2), lambda: drop(0.95, is_functional=True)),
    "unscaled_input": Specimen(
        lambda: scale(100.0, nn.ReLU()), lambda: scale(1.0, nn.ReLU()), lambda: scale(100.0, F.relu)
    ),
    "symmetric": Specimen(
        lambda: alike(nn.ReLU(), draw_constant), lambda: alike(nn.ReLU(), draw_he), lambda: alike(F.relu, draw_constant)
    ),
    "underflowing": Specimen(lambda: halve(1e8, nn.ReLU()), lambda: halve(1.0, nn.ReLU()), lambda: halve(1e8, F.relu)),
}
