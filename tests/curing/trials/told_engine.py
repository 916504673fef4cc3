"""An engine that writes run files with chosen losses in the place of trials."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curing.trials.trial_material import Silent
from gradiometer.curing.trials.local import TrialEnd
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.plan import Plan
from gradiometer.curing.trials.runner import TrialRunner
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import StepStats

TEMPLATE = TrialSpec(script="train.py", module=None, arguments=(), working_directory=".", folder="")
PLAN = Plan(4, 40, (10, 20), (1, 2, 3), 2, 1.0)


@dataclass
class ToldEngine:
    """Writes run files whose loss goes from 2 down to what is told for a label, a little different for every seed.

    Attributes:
        losses: Final loss by label, "" for the control.
        batches: What tells batches apart, by label.
        wobble: What the loss is multiplied by, by label and seed; 1 for the others.
        starts: Loss of the first three steps, by label; 2 for the others.
        waking: Step from which on the loss is what is told, by label; 3 for the others.
        late: Steps after which time runs out, by label and seed.
        asked: Labels that were run, in order.
    """

    losses: dict[str, float]
    batches: dict[str, str] = field(default_factory=dict)
    wobble: dict[tuple[str, int], float] = field(default_factory=dict)
    starts: dict[str, float] = field(default_factory=dict)
    waking: dict[str, int] = field(default_factory=dict)
    late: dict[tuple[str, int], int] = field(default_factory=dict)
    is_seeded: bool = True
    asked: list[str] = field(default_factory=list)

    def __call__(
        self, specs: Sequence[TrialSpec], *, workers: int, when_done: Callable[[TrialEnd], None] | None = None
    ) -> list[TrialEnd]:
        return [self.write(spec) for spec in specs]

    def write(self, spec: TrialSpec) -> TrialEnd:
        label = "+".join(spec.cures)
        self.asked.append(label)
        is_late = (label, spec.seed) in self.late
        steps = self.late.get((label, spec.seed), spec.step_limit or 40)
        loss = self.losses[label] * (1.0 + 0.01 * spec.seed * self.is_seeded)
        loss *= self.wobble.get((label, spec.seed), 1.0)
        with RunWriter(spec.run_file) as writer:
            status = "running" if is_late else "stopped"
            writer.add_facts({"status": status, "initial_weights_fingerprint": str(spec.seed * self.is_seeded)})
            for step in range(steps):
                value = self.starts.get(label, 2.0) if step < self.waking.get(label, 3) else loss
                is_finite = math.isfinite(value)
                entry = ("train.py:1", value if is_finite else None, 1, int(not is_finite))
                batch = f"{spec.seed} {step} {self.batches.get(label, '')}"
                writer.add_step(StepStats(step=step, losses=(entry,), batch_fingerprint=batch))
        return TrialEnd(spec, -9 if is_late else 0, 1.0, is_late)


def runner_of(tmp_path: Path, engine: ToldEngine) -> TrialRunner:
    return TrialRunner(TEMPLATE, tmp_path, 2, Silent(), engine)


def diagnosed(tmp_path: Path, engine: ToldEngine) -> Reading:
    return read_trial(engine.write(TEMPLATE.placed_in(tmp_path)))
