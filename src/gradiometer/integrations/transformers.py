"""Hugging Face Transformers: a callback that watches `Trainer.train`.

The trainer tells its callbacks of the beginning and the end of a training, and of no failure: what a training that
failed has left is closed when the next one begins, when the program ends, or by `stop`.
"""

import atexit
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import transformers
from transformers import TrainerCallback

from gradiometer.integrations.trainer_watch import NewestWatch, TrainerWatch, named_version, torch_optimizer


class GradiometerCallback(NewestWatch, TrainerCallback):  # type: ignore[misc]
    """Watches `Trainer.train`, and says the verdict at its end in one line.

    Each training is a run of its own, a resumed one too; `run` and `diagnose` are those of the newest.

    Args:
        file: Path of the run file; None keeps the run in memory. Of several processes the first writes it.
        overhead: Greatest share of the training time that measuring may take.
        open_compiled: Measure the layers of compiled models too; full steps then run eagerly.
        dear: Dear measurements that take turns on full steps; None for all that fit the network.
        is_quiet: Say no verdict.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        overhead: float = 0.01,
        *,
        open_compiled: bool = False,
        dear: Sequence[str] | None = None,
        is_quiet: bool = False,
    ) -> None:
        self.file = file
        self.overhead = overhead
        self.open_compiled = open_compiled
        self.dear = dear
        self.is_quiet = is_quiet

    def stop(self, error: BaseException | None = None) -> None:
        """Close the run of a training that has failed; the trainer does not tell of that.

        Args:
            error: What it failed with, where that is known.
        """
        atexit.unregister(self._stop_at_exit)
        if self._watch is not None:
            self._watch.stop(error)

    def _stop_at_exit(self) -> None:
        # What ended the program is kept there by Python itself.
        self.stop(getattr(sys, "last_value", None) or SystemExit("the program ended amid the training"))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the watch: model and optimizer are there."""
        self.stop()
        self._watch = TrainerWatch(
            kwargs["model"],
            [torch_optimizer(kwargs["optimizer"])],
            self.file,
            self.overhead,
            open_compiled=self.open_compiled,
            dear=self.dear,
            is_silent=not state.is_world_process_zero,
            trainer=named_version(transformers),
            facts={"first_trainer_step": state.global_step},
        ).start()
        atexit.register(self._stop_at_exit)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the run, and say the verdict."""
        self.stop()
        if not self.is_quiet:
            self.watch.say_verdict()
