"""Runs the trials of one case: turns cures, seeds and steps into trials, and their run files into readings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from gradiometer.curing.trials.local import TrialEnd, run_trials
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.curing.trials.wrong_answers import judged_by_answers


class Engine(Protocol):
    """Runs trials; `gradiometer.curing.trials.local.run_trials` is one."""

    def __call__(
        self, specs: Sequence[TrialSpec], *, workers: int, when_done: Callable[[TrialEnd], None] | None = None
    ) -> list[TrialEnd]:
        """Run all and return how each ended, in the same order."""


class Progress(Protocol):
    """Told how the work goes on."""

    def say(self, text: str) -> None:
        """Something worth a line of its own."""

    def begin(self, sieve: str, trial_count: int) -> None:
        """A sieve begins, with this many trials for now."""

    def advance(self) -> None:
        """A trial is done."""


@dataclass(slots=True)
class TrialRunner:
    """Runs the trials of one case, and keeps what came of them.

    Attributes:
        template: A trial of this case with no cure.
        folder: Where trials get their folders.
        workers: Processes at a time.
        progress: Told of every trial.
        engine: What runs them.
        judges_answers: Trials are compared by the share of wrong answers, for the script's loss tells nothing.
        readings: All that were run, in order, each once.
    """

    template: TrialSpec
    folder: Path
    workers: int
    progress: Progress
    engine: Engine = run_trials
    judges_answers: bool = False
    readings: list[Reading] = field(default_factory=list)

    def trial(
        self,
        label: str | None,
        seed: int,
        sieve: str,
        steps: int,
        overhead: float = 0.01,
        *,
        range_test: bool = False,
        gathers: bool = False,
    ) -> TrialSpec:
        """A trial of one cure, or of the control; a prelude where it tests a range of rates or gathers inputs."""
        cures = () if label is None else tuple(label.split("+"))
        spec = replace(
            self.template,
            cures=cures,
            seed=seed,
            sieve=sieve,
            step_limit=steps,
            overhead=overhead,
            conditions=self.template.conditions if cures else (),
            case_file=self.template.case_file if cures else None,
            samples_file=self.template.samples_file if cures else None,
            range_test=range_test,
            gathers=gathers,
        )
        return spec.placed_in(self.folder)

    def run(self, specs: Sequence[TrialSpec]) -> list[Reading]:
        """Run trials and read them."""
        if specs:
            self.progress.begin(specs[0].sieve, len(specs))
        ends = self.engine(specs, workers=self.workers, when_done=lambda end: self.progress.advance())
        readings = [judged_by_answers(reading) if self.judges_answers else reading for reading in map(read_trial, ends)]
        known = {reading.spec.folder: reading for reading in (*self.readings, *readings)}
        self.readings = list(known.values())
        return readings
