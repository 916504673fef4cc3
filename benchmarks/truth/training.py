"""One training: made from a set-up and perhaps a fault, run under `gradiometer.watch`, and judged by where it ends."""

import math
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.truth.collecting import Collected, Collector
from benchmarks.truth.families import Setup, make_network
from gradiometer.session import watch

EVALUATED = 512
"""Training examples on which a training is judged, the same for twin and faulty."""

EVALUATIONS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of the steps after which it is judged; the end is the mean of the last three."""

WORST = 1e6
"""What stands for a loss that is not finite or beyond all measure."""


@dataclass
class Training:
    """What a training loop needs; a fault changes it before the first step.

    Attributes:
        setup: What it was made from.
        chance: Randomness for a fault to draw from.
        model: The network.
        inputs: Float or int64 [example ...].
        targets: As in `Data`.
        loss_of: From output and targets of a batch to the loss.
        read: From the network's output to log-probabilities of classes, or to predicted numbers in the twin's scale.
        parameters: What the optimizer is given.
        zeroing: When gradients are zeroed: `before` the backward pass, `after` it, or `never`.
        settings: Further arguments of the optimizer.
    """

    setup: Setup
    chance: random.Random
    model: nn.Module
    inputs: Tensor
    targets: Tensor
    loss_of: Callable[[Tensor, Tensor], Tensor]
    read: Callable[[Tensor], Tensor]
    parameters: list[nn.Parameter] = field(default_factory=list)
    zeroing: str = "before"
    settings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = list(self.model.parameters())

    @property
    def has_classes(self) -> bool:
        """Whether classes are told apart."""
        return self.setup.material.has_classes

    def make_optimizer(self) -> Optimizer:
        """The optimizer that the set-up names."""
        setup = self.setup
        common = {"lr": setup.rate, "weight_decay": setup.decay} | self.settings
        if setup.optimizer == "sgd":
            return SGD(self.parameters, **common)
        if setup.optimizer == "momentum":
            return SGD(self.parameters, **({"momentum": 0.9} | common))
        return {"adam": Adam, "adamw": AdamW, "rmsprop": RMSprop}[setup.optimizer](self.parameters, **common)

    def evaluate(self) -> float:
        """Loss on training examples in evaluation mode, as a share of what the best constant guess has."""
        self.model.eval()
        with torch.no_grad():
            outputs = self.read(self.model(self.inputs[:EVALUATED])).float()
        self.model.train()
        truth = self.setup.material.targets[:EVALUATED]
        if self.has_classes:
            shares = torch.bincount(truth) / len(truth)
            constant = -(shares * shares.clamp_min(1e-9).log()).sum()
            loss = F.nll_loss(outputs, truth) / constant
        else:
            loss = F.mse_loss(outputs, truth) / F.mse_loss(truth.mean(dim=0).expand_as(truth), truth)
        return min(float(loss), WORST) if math.isfinite(float(loss)) else WORST


def log_probabilities(outputs: Tensor) -> Tensor:
    """Logits, read as the log-probabilities that they stand for."""
    return F.log_softmax(outputs.float(), dim=1)


def as_given(outputs: Tensor) -> Tensor:
    """Predictions, read as they are."""
    return outputs


def make_training(setup: Setup) -> Training:
    """The healthy training of a set-up; every random draw comes from its number."""
    torch.manual_seed(setup.number)
    data = setup.material
    if data.has_classes:
        loss_of: Callable[[Tensor, Tensor], Tensor] = lambda outputs, targets: F.cross_entropy(  # noqa: E731
            outputs, targets, label_smoothing=setup.smoothing
        )
    else:
        loss_of = F.mse_loss
    return Training(
        setup,
        random.Random(f"fault {setup.number}"),
        make_network(setup),
        data.inputs,
        data.targets,
        loss_of,
        log_probabilities if data.has_classes else as_given,
    )


@dataclass(frozen=True)
class Ended:
    """What came of a training.

    Attributes:
        evaluations: Loss as a share of a constant guess's, after each of `EVALUATIONS`.
        collected: What the published rules need.
    """

    evaluations: tuple[float, ...]
    collected: Collected


def train(training: Training, file: Path | None) -> Ended:
    """Run a training to its end, watched as by default where there is a file to write.

    Args:
        training: The training.
        file: Path of the run file; None trains without gradiometer.
    """
    setup = training.setup
    optimizer = training.make_optimizer()
    schedule = LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / (setup.warmup + 1)))
    collector = Collector(training.model)
    batches = torch.Generator().manual_seed(setup.number)
    ends = {max(1, round(share * setup.steps)) for share in EVALUATIONS}
    evaluations: list[float] = []
    watching = None if file is None else watch(training.model, optimizer, file).start()
    try:
        with warnings.catch_warnings():
            # Two faults are what torch warns of: shapes that broadcast, and a softmax without a dimension.
            warnings.simplefilter("ignore", UserWarning)
            for step in range(setup.steps):
                batch = torch.randint(0, len(training.inputs), (setup.batch,), generator=batches)
                take_step(training, optimizer, collector, step, batch)
                schedule.step()
                if step + 1 in ends:
                    evaluations.append(training.evaluate())
    finally:
        if watching is not None:
            watching.stop()
    return Ended(tuple(evaluations), collector.finish())


def take_step(training: Training, optimizer: Optimizer, collector: Collector, step: int, batch: Tensor) -> None:
    """One step, as it stands in every training loop."""
    if training.zeroing == "before":
        optimizer.zero_grad()
    inputs, targets = training.inputs[batch], training.targets[batch]
    with collector.seeing(step):
        outputs = training.model(inputs)
    loss = training.loss_of(outputs, targets)
    loss.backward()
    if training.zeroing == "after":
        optimizer.zero_grad()
    if training.setup.clip:
        nn.utils.clip_grad_norm_(training.parameters, training.setup.clip)
    collector.before_step(step)
    optimizer.step()
    collector.after_step(step, loss, outputs, targets)
