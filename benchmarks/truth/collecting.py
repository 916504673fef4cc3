"""What the published rules of other tools need, collected in the training loop: the first steps and every tenth."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FIRST_STEPS, INTERVAL = 10, 10
"""Steps collected one by one at the start, and the distance of those that are collected later."""

LAYER_NAMES = ("gradient_norm", "gradient_mean", "gradient_zeros", "gradient_spread", "weight_norm", "update_norm")
OUTPUT_NAMES = ("mean", "variance", "input_variance", "near_zero", "not_positive", "above_5", "above_95", "inactive")


@dataclass
class Collected:
    """Statistics of one training.

    Attributes:
        steps: Steps that were collected.
        layers: For each of `LAYER_NAMES` an array [step module], for modules that own parameters, input first.
        outputs: For each of `OUTPUT_NAMES` an array [step module], for those modules and activations.
        kinds: Class name of each of the modules that `outputs` speaks of.
        nonfinite: Whether anything was NaN or infinite [step].
        losses: Loss of every step, nan where it was not finite.
        accuracies: Share of the batch that was right, for every step; nan for numbers.
    """

    steps: np.ndarray
    layers: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    kinds: tuple[str, ...]
    nonfinite: np.ndarray
    losses: np.ndarray
    accuracies: np.ndarray

    def save(self, path: Path) -> None:
        """Write it down, so that rules can be evaluated again; numbers are rounded to single precision."""
        with np.errstate(over="ignore"):
            layers = {f"layers.{name}": column.astype(np.float32) for name, column in self.layers.items()}
            outputs = {f"outputs.{name}": column.astype(np.float32) for name, column in self.outputs.items()}
        np.savez_compressed(
            path,
            steps=self.steps,
            kinds=np.array(self.kinds),
            nonfinite=self.nonfinite,
            losses=self.losses,
            accuracies=self.accuracies,
            **layers,
            **outputs,
        )


def read_collected(path: Path) -> Collected:
    """What was written down of a training."""
    with np.load(path, allow_pickle=False) as parts:
        return Collected(
            parts["steps"],
            {name: parts[f"layers.{name}"] for name in LAYER_NAMES},
            {name: parts[f"outputs.{name}"] for name in OUTPUT_NAMES},
            tuple(str(kind) for kind in parts["kinds"]),
            parts["nonfinite"],
            parts["losses"],
            parts["accuracies"],
        )


@dataclass
class Collector:
    """Collects from a model: `seeing` around its forward, `before_step` and `after_step` around the optimizer's.

    Attributes:
        model: The model.
    """

    model: nn.Module
    steps: list[int] = field(default_factory=list)
    layer_rows: list[list[tuple[float, ...]]] = field(default_factory=list)
    output_rows: list[list[tuple[float, ...]]] = field(default_factory=list)
    nonfinite: list[bool] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        modules = [module for module in self.model.modules() if not list(module.children())]
        owners = [module for module in self.model.modules() if list(module.parameters(recurse=False))]
        self.owners = [list(module.parameters(recurse=False)) for module in owners]
        self.seen = [
            module
            for module in modules
            if module in owners or type(module).__module__.startswith("torch.nn.modules.activation")
        ]
        self._passed: dict[int, tuple[Tensor, Tensor]] = {}
        self._weights: list[list[Tensor]] = []

    def is_collected(self, step: int) -> bool:
        """Whether this step is collected."""
        return step < FIRST_STEPS or step % INTERVAL == 0

    @contextmanager
    def seeing(self, step: int) -> Iterator[None]:
        """Keep what passes through the modules in a forward."""
        if not self.is_collected(step):
            yield
            return

        def keep(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            self._passed[id(module)] = (given[0], tensor)

        handles = [module.register_forward_hook(keep) for module in self.seen]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def before_step(self, step: int) -> None:
        """Keep the weights."""
        if self.is_collected(step):
            self._weights = [[parameter.detach().clone() for parameter in group] for group in self.owners]

    @torch.no_grad()
    def after_step(self, step: int, loss: Tensor, outputs: Tensor, targets: Tensor) -> None:
        """Reduce all that was kept, and note how the step went."""
        value = float(loss)
        self.losses.append(value if math.isfinite(value) else math.nan)
        has_classes = not targets.is_floating_point() and outputs.ndim == 2 and outputs.shape[1] > 1
        right = (outputs.argmax(dim=1) == targets).float().mean() if has_classes else math.nan
        self.accuracies.append(float(right))
        if self.is_collected(step):
            self.steps.append(step)
            rows = [
                layer_row(group, before, wants_spread=step < FIRST_STEPS)
                for group, before in zip(self.owners, self._weights, strict=True)
            ]
            seen = [output_row(module, *self._passed.get(id(module), (None, None))) for module in self.seen]
            self.layer_rows.append(rows)
            self.output_rows.append(seen)
            numbers = [number for row in rows for number in (row[0], row[4], row[5])] + [row[0] for row in seen]
            # A statistic that was not taken is None until here, one of NaNs is nan.
            self.nonfinite.append(any(not math.isfinite(number) for number in [value, *numbers] if number is not None))
            self._passed, self._weights = {}, []

    def finish(self) -> Collected:
        """All that was collected, as arrays."""
        layers = np.array(self.layer_rows, dtype=float).reshape(len(self.steps), len(self.owners), len(LAYER_NAMES))
        outputs = np.array(self.output_rows, dtype=float).reshape(len(self.steps), len(self.seen), len(OUTPUT_NAMES))
        return Collected(
            np.array(self.steps),
            {name: layers[:, :, rank] for rank, name in enumerate(LAYER_NAMES)},
            {name: outputs[:, :, rank] for rank, name in enumerate(OUTPUT_NAMES)},
            tuple(type(module).__name__ for module in self.seen),
            np.array(self.nonfinite),
            np.array(self.losses),
            np.array(self.accuracies),
        )


def layer_row(group: list[nn.Parameter], before: list[Tensor], *, wants_spread: bool) -> tuple[float | None, ...]:
    """`LAYER_NAMES` of one module's parameters; None for what does not exist."""
    after = torch.cat([parameter.detach().float().flatten() for parameter in group])
    weights = torch.cat([tensor.float().flatten() for tensor in before])
    moved, size = float((after - weights).norm()), float(weights.norm())
    gradients = [parameter.grad.float().flatten() for parameter in group if parameter.grad is not None]
    if not gradients:
        return None, None, None, None, size, moved
    joined = torch.cat(gradients)
    spread = None
    if wants_spread:
        ends = np.quantile(joined.numpy(), (0.05, 0.95))
        spread = float(ends[1] - ends[0])
    # Rules on a mean look at each tensor by itself, so the least of them is kept.
    mean = min(float(gradient.abs().mean()) for gradient in gradients)
    return float(joined.norm()), mean, float((joined == 0.0).float().mean()), spread, size, moved


def output_row(module: nn.Module, given: Tensor | None, output: Tensor | None) -> tuple[float | None, ...]:
    """`OUTPUT_NAMES` of one module's last forward; None where it was not called."""
    if output is None or given is None:
        return (None,) * len(OUTPUT_NAMES)
    values, inputs = output.float(), given.float()
    sizes = values.abs()
    return (
        float(values.mean()),
        float(values.var()),
        float(inputs.var()),
        float((sizes < 1e-6).float().mean()),
        float((values <= 0.0).float().mean()),
        float((sizes >= 5.0).float().mean()),
        float((sizes > 0.95).float().mean()),
        inactive_share(module, inputs, values),
    )


def inactive_share(module: nn.Module, inputs: Tensor, outputs: Tensor) -> float | None:
    """Share of a ReLU's, tanh's or sigmoid's units that are active on less than 1 % of the batch; None for others."""
    if isinstance(module, nn.ReLU):
        active = outputs > 0.0
    elif isinstance(module, nn.Tanh):
        active = inputs.abs() < 9.4999
    elif isinstance(module, nn.Sigmoid):
        active = (inputs > -23.0) & (inputs < 16.99999)
    else:
        return None
    units = active.float().transpose(0, 1).flatten(1) if active.ndim == 4 else active.float().flatten(0, -2).T
    return float((units.mean(dim=1) < 0.01).float().mean())
