"""A ring of weights: every so many steps they are kept beside the run file, the newest stay.

How often follows from what it costs: writing them takes at most a quarter of the time that measuring is allowed.
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from gradiometer.measuring.kept_weights import moment_of, size_of, write_moment
from gradiometer.measuring.probe import Probe

LEAST_STEPS = 64
"""Weights are kept at most this often."""

BUDGET_SHARE = 0.25
"""Part of the allowed share of the training time that writing weights may take."""

Keep = Callable[[int, int, Callable[[Path], None]], str]
"""Keeps a file of a step and a size, written by a function; says why not where it does not."""


class WeightRing:
    """Keeps weights now and then.

    Args:
        probe: What measures the training; knows its roots and optimizers, and books the time.
        keep: Keeps one file.
        when_refused: Called once with the reason where nothing can be kept.
        is_sound: Whether the last loss was finite: weights that are lost are not kept, in the place of sound ones.
    """

    def __init__(
        self, probe: Probe, keep: Keep, when_refused: Callable[[str], None], is_sound: Callable[[], bool]
    ) -> None:
        self.probe = probe
        self.keep = keep
        self.when_refused = when_refused
        self.is_sound = is_sound
        self._next_step = LEAST_STEPS
        self._spent_seconds = 0.0

    def after_step(self, step: int) -> None:
        """A step has ended: keep what it left where it is time to."""
        if step + 1 < self._next_step or self.probe.guard.is_broken or not self.probe.is_attached:
            return
        self._next_step = step + 1 + LEAST_STEPS
        budget = self.probe.budget
        if not self.is_sound() or self._spent_seconds > BUDGET_SHARE * budget.allowed_share * budget.training_seconds:
            return
        with self.probe.guard:
            start = perf_counter()
            moment = moment_of(self.probe.roots, self.probe.optimizers)
            refused = self.keep(step + 1, size_of(moment), lambda path: write_moment(moment, path))
            self._spent_seconds += perf_counter() - start
            if refused:
                self._next_step = 2**62
                self.when_refused(refused)
