"""PyTorch Lightning: a callback that watches `Trainer.fit`, of `lightning` and of `pytorch_lightning` alike.

Lightning calls the parts of a module that its `training_step` calls, and hands the optimizer a closure in which
forward, backward and clipping run. Validation and the sanity check take no steps and are not measured.
"""

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from torch import Tensor

from gradiometer.integrations.trainer_watch import (
    NewestWatch,
    TrainerWatch,
    missing_partner,
    named_version,
    torch_optimizer,
)
from gradiometer.schema import Snapshot

PACKAGES: tuple[str, ...] = ("lightning.pytorch", "pytorch_lightning")
"""The two names that Lightning is installed under; a trainer of one does not know the other's classes."""


def loaded_packages() -> tuple[ModuleType, ...]:
    """Those of Lightning's packages that the program uses; the first that is installed where it uses none yet.

    Raises:
        SettingsError: None is installed.
    """
    loaded = tuple(sys.modules[name] for name in PACKAGES if hasattr(sys.modules.get(name), "Callback"))
    for name in PACKAGES:
        if loaded:
            break
        try:
            loaded = (import_module(name),)
        except ModuleNotFoundError as error:
            # One that is there and lacks something of its own is a fault to be seen.
            if error.name != name.partition(".")[0]:
                raise
    if not loaded:
        raise missing_partner("PyTorch Lightning", "lightning")
    return loaded


class GradiometerCallback(NewestWatch):
    """Watches `Trainer.fit`, and says the verdict at its end in one line.

    Each fit is a run of its own: `run` and `diagnose` are those of the newest.

    Args:
        file: Path of the run file; None keeps the run in memory. Of several processes the first writes it.
        overhead: Greatest share of the training time that measuring may take.
        open_compiled: Measure the layers of compiled models too; full steps then run eagerly.
        dear: Dear measurements that take turns on full steps; None for all that fit the network.
        log: Hand the key numbers of every full step to the trainer's loggers (`key_numbers`).
        is_quiet: Say no verdict.

    Raises:
        SettingsError: PyTorch Lightning is not installed.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the callback of the Lightning that the program uses."""
        bases = tuple(package.Callback for package in loaded_packages())
        made = cls if issubclass(cls, bases) else type(cls.__name__, (cls, *bases), {"written_as": cls})
        return object.__new__(made)

    def __init__(
        self,
        file: str | Path | None = None,
        overhead: float = 0.01,
        *,
        open_compiled: bool = False,
        dear: Sequence[str] | None = None,
        log: bool = False,
        is_quiet: bool = False,
    ) -> None:
        self.file = file
        self.overhead = overhead
        self.open_compiled = open_compiled
        self.dear = dear
        self.hands_on = log  # Lightning puts a function of its own in the place of `log`
        self.is_quiet = is_quiet
        self._logged: Snapshot | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy the settings, for a strategy that starts processes: a fit under way stays where it is."""
        return callback_of, (getattr(type(self), "written_as", type(self)), self.settings)

    @property
    def settings(self) -> dict[str, Any]:
        """What the callback was made with."""
        return {"log": self.hands_on, **{name: getattr(self, name) for name in SETTINGS}}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the watch: the optimizers are there, and neither the sanity check nor a search for a rate counts."""
        self._watch = TrainerWatch(
            pl_module,
            [torch_optimizer(optimizer) for optimizer in trainer.optimizers],
            self.file,
            self.overhead,
            open_compiled=self.open_compiled,
            dear=self.dear,
            is_silent=not trainer.is_global_zero,
            trainer=named_version(sys.modules[type(trainer).__module__.partition(".")[0]]),
        ).start()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Tensor | Mapping[str, Any] | None, batch: Any, batch_idx: int
    ) -> None:
        """Hand the numbers of a full step to the trainer's loggers, where that is asked for."""
        session = self.watch.session
        newest = session.probe.full_step.latest.snapshot
        if not self.hands_on or newest is None or newest is self._logged or self.watch.is_silent:
            return
        self._logged = newest
        with session.probe.guard:
            numbers = {**key_numbers(newest), "gradiometer/overhead_fraction": session.budget.share}
            for logger in trainer.loggers:
                logger.log_metrics(numbers, step=trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Close the run, and say the verdict."""
        self.watch.stop()
        if not self.is_quiet:
            self.watch.say_verdict()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Close the run of a fit that has failed."""
        if self._watch is not None:
            self._watch.stop(exception)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close the run, however the fit has ended."""
        if self._watch is not None:
            self._watch.stop()


SETTINGS: tuple[str, ...] = ("file", "overhead", "open_compiled", "dear", "is_quiet")
"""What a callback holds as it was given."""


def callback_of(kind: type[GradiometerCallback], settings: Mapping[str, Any]) -> GradiometerCallback:
    """Make a callback anew, in another process."""
    return kind(**settings)


def key_numbers(snapshot: Snapshot) -> dict[str, float]:
    """What a trainer's loggers are told of a full step; what is not known or not finite is left out.

    Example:
        >>> from gradiometer.schema import LayerStats
        >>> key_numbers(Snapshot(step=0, layers=(LayerStats("0", trunk_position=1, level_db=-6.0),)))
        {'gradiometer/level_at_input_db': -6.0}
    """
    trunk = [stats for stats in snapshot.layers if stats.trunk_position is not None]
    deepest = max(trunk, key=lambda stats: stats.trunk_position or 0, default=None)
    ratios = [stats.update_ratio for stats in snapshot.parameters if stats.update_ratio is not None]
    numbers = {
        "gradiometer/level_at_input_db": None if deepest is None else deepest.level_db,
        "gradiometer/parameter_update_ratio_median": statistics.median(ratios) if ratios else None,
    }
    return {name: value for name, value in numbers.items() if value is not None and math.isfinite(value)}
