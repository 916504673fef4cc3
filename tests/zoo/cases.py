"""What a case of the zoo is, how its data look, and the ways in which scripts train."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]
"""Inputs and targets."""

STEPS = 6


@dataclass(frozen=True)
class Training:
    """All that a training loop works on."""

    model: nn.Module
    optimizers: Sequence[Optimizer]
    batches: Sequence[Batch]
    loss: Callable[[nn.Module, Batch], Tensor]


def features(generator: torch.Generator) -> Batch:
    """Eight examples of 16 numbers, ten classes."""
    return torch.randn(8, 16, generator=generator), torch.randint(0, 10, (8,), generator=generator)


def one_example(generator: torch.Generator) -> Batch:
    """A batch of one."""
    return torch.randn(1, 16, generator=generator), torch.randint(0, 10, (1,), generator=generator)


def grid(generator: torch.Generator) -> Batch:
    """Examples in two dimensions, 2 by 3."""
    return torch.randn(2, 3, 16, generator=generator), torch.randint(0, 10, (2, 3), generator=generator)


def images(generator: torch.Generator) -> Batch:
    """Eight pictures of one channel, 8 by 8."""
    return torch.randn(8, 1, 8, 8, generator=generator), torch.randint(0, 10, (8,), generator=generator)


def channels_last(generator: torch.Generator) -> Batch:
    """The same in channels_last."""
    inputs, targets = images(generator)
    return inputs.expand(8, 2, 8, 8).contiguous(memory_format=torch.channels_last), targets


def sequences(generator: torch.Generator) -> Batch:
    """Four sequences of five steps of four numbers."""
    return torch.randn(4, 5, 4, generator=generator), torch.randint(0, 10, (4,), generator=generator)


def tokens(generator: torch.Generator) -> Batch:
    """Four sequences of six tokens out of twelve."""
    return torch.randint(0, 12, (4, 6), generator=generator), torch.randint(0, 10, (4,), generator=generator)


def logits_of(output: object) -> Tensor:
    """The tensor that is judged, however a model returns it."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        return output["logits"]
    if isinstance(output, tuple) and not hasattr(output, "logits"):
        return output[0]
    return output.logits  # type: ignore[attr-defined, no-any-return]


def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy over the last axis."""
    logits = logits_of(model(batch[0]))
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), batch[1].reshape(-1))


def own_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The loss of a model that computes it itself."""
    loss: Tensor = model(*batch)
    return loss


def sgd(model: nn.Module) -> list[Optimizer]:
    """Momentum and weight decay."""
    return [torch.optim.SGD(trainable(model), lr=0.1, momentum=0.9, weight_decay=1e-3)]


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that ask for a gradient."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def plain(training: Training) -> None:
    """Zero, forward, backward, clip, step; an evaluation in the middle."""
    for step in range(STEPS):
        for optimizer in training.optimizers:
            optimizer.zero_grad()
        training.loss(training.model, training.batches[step % 4]).backward()
        torch.nn.utils.clip_grad_norm_(dense_parameters(training.model), 0.5)
        for optimizer in training.optimizers:
            optimizer.step()
        if step == STEPS // 2:
            evaluate(training)


def dense_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Those whose gradient can be clipped: a norm of sparse gradients is not defined."""
    return [p for p in model.parameters() if p.grad is None or not p.grad.is_sparse]


def evaluate(training: Training) -> None:
    """A forward without gradients in evaluation mode; every module's mode is put back."""
    modes = {module: module.training for module in training.model.modules()}
    training.model.eval()
    with torch.no_grad():
        training.loss(training.model, training.batches[0])
    for module, mode in modes.items():
        module.training = mode


@dataclass(frozen=True, eq=False)
class Case:
    """One network with the way it is trained.

    Attributes:
        make: Makes the model with the global random state.
        batch: Makes one batch.
        loss: The loss of a model on a batch.
        optimizers: Makes the optimizers.
        loop: Trains.
        roots: The modules that the loop calls, by name; the model itself under the empty name unless told otherwise.
        unseen: What the coverage line has to say of layers that were not measured: pattern of names to reason.
        trunk: Layers on the trunk at least; 0 for a network whose trunk ends at once or is not looked for.
        views: Layers whose output is written over through a view, which takes them out of the graph.
        gains: Gains at least that the oracle can compare.
        steps: Steps that the run must have.
        is_exact: Runs in float64 and draws nothing, so that the oracle can take it apart.
    """

    make: Callable[[], nn.Module]
    batch: Callable[[torch.Generator], Batch] = features
    loss: Callable[[nn.Module, Batch], Tensor] = cross_entropy
    optimizers: Callable[[nn.Module], list[Optimizer]] = sgd
    loop: Callable[[Training], None] = plain
    roots: Callable[[nn.Module], dict[str, nn.Module]] = field(default=lambda model: {"": model})
    unseen: Mapping[str, str] = field(default_factory=dict)
    trunk: int = 2
    views: tuple[str, ...] = ()
    gains: int = 1
    steps: int = STEPS
    is_exact: bool = True

    def start(self, dtype: torch.dtype | None = None) -> Training:
        """A training at its beginning; everything is drawn from a seed, and the global random state is left at one.

        Args:
            dtype: Number format that model and inputs are brought to; None for their own.
        """
        torch.manual_seed(0)
        model = self.make()
        generator = torch.Generator().manual_seed(7)
        batches = [self.batch(generator) for _ in range(4)]
        if dtype is not None:
            model = model.to(dtype)
            batches = [(x.to(dtype) if x.is_floating_point() else x, y) for x, y in batches]
        return Training(model, self.optimizers(model), batches, self.loss)
