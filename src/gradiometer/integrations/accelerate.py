"""Hugging Face Accelerate: `gradiometer.watch` for what `Accelerator.prepare` has wrapped."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import accelerate
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from gradiometer.integrations.trainer_watch import TrainerWatch, named_version, torch_optimizer


def watch(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer],
    file: str | Path | None = None,
    overhead: float = 0.01,
    *,
    open_compiled: bool = False,
    dear: Sequence[str] | None = None,
) -> TrainerWatch:
    """Watch a training loop whose model and optimizer are prepared; no call is needed inside it.

    Args:
        accelerator: The accelerator that has prepared them; its main process writes the run.
        model: The prepared model.
        optimizer: Its prepared optimizer or optimizers.
        file: Path of the run file; None keeps the run in memory.
        overhead: Greatest share of the training time that measuring may take.
        open_compiled: Measure the layers of compiled models too; full steps then run eagerly.
        dear: Dear measurements that take turns on full steps; None for all that fit the network.

    Returns:
        A context manager with `.run` and `.diagnose()`; or call its `start()` and `stop()`.

    Raises:
        RunFileError: A file is in the way.
        SettingsError: The share is not above 0 and at most 1, or there is no such measurement.
    """
    optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer)
    return TrainerWatch(
        model,
        [torch_optimizer(one) for one in optimizers],
        file,
        overhead,
        open_compiled=open_compiled,
        dear=dear,
        is_silent=not accelerator.is_main_process,
        trainer=named_version(accelerate),
    )
