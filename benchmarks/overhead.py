"""What watching costs: watched against bare training steps, interleaved in one process.

Every round times, for each variant in shuffled order, a block of instrumented and a block of bare steps of the same
training, one right after the other and now one first, now the other; a variant's ratio is the one time over the other,
all rounds together. In the A/A control both are bare: by what it differs from 1 is what this machine can't tell apart,
and `relative` is the ratio divided by it, round by round.

The main figure is the processor time of the whole process with one torch thread, which does not count waiting for a
core that others use; wall time stands beside it. Intervals are 95 %, by resampling rounds.

    python benchmarks/overhead.py                          # 1 % of overhead on W1 to W4
    python benchmarks/overhead.py --overhead 0.001 --only W1 W3
    python benchmarks/overhead.py --every-step             # the core of a full measurement at every step

With an allowed share, timing starts when the advance is repaid.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

import numpy as np
import torch
from workloads import WORKLOADS, Training, add_only, print_machine

from gradiometer.session import Watch, watch

MOST_REPAYING_SECONDS = 120.0
"""Processor time given to repay the advance; what is not repaid by then is timed all the same, and said."""

INTERVALS_OF_BLOCK = 4
"""Looks of the every-step watch that a block has at least."""


def read_clocks() -> np.ndarray:
    """Processor seconds of this process so far, and seconds on the wall."""
    return np.array([process_time(), perf_counter()])


def run(training: Training, steps: int) -> np.ndarray:
    """Processor and wall seconds of some steps."""
    began = read_clocks()
    for _ in range(steps):
        training.step()
    return read_clocks() - began


@dataclass
class Instrument:
    """What measures one training.

    Attributes:
        resume: Called before each block of steps.
        pause: Called after it: bare blocks must run without any of it.
        finish: Called at the end; says in words what was measured.
        least_steps: Steps of a block at least. The first one after a pause is always looked at; of short blocks that
            would be more than the share of the steps that are looked at in an unbroken run.
    """

    resume: Callable[[], None] = lambda: None
    pause: Callable[[], None] = lambda: None
    finish: Callable[[], str] = lambda: ""
    least_steps: int = 1


def nothing(training: Training, overhead: float) -> Instrument:
    """The A/A control."""
    return Instrument()


def gradiometer_within_budget(training: Training, overhead: float) -> Instrument:
    """Everything that gradiometer measures by itself, within the allowed share."""
    return watched_by(watch(training.model, training.optimizer, overhead=overhead), training)


def gradiometer_core(training: Training, overhead: float) -> Instrument:
    """The core of a full measurement at every step."""
    return watched_by(watch(training.model, training.optimizer, overhead=1.0, dear=()), training)


def watched_by(watching: Watch, training: Training) -> Instrument:
    """Watch a training; one with an allowed share repays its advance first."""
    budget, probe = watching.session.budget, watching.session.probe
    probe.attach()
    started = process_time()
    while (
        budget.repaid_step is None and budget.allowed_share < 1.0 and process_time() < started + MOST_REPAYING_SECONDS
    ):
        run(training, 4)
    if budget.allowed_share >= 1.0:
        run(training, 3)
    probe.detach()
    steps_before, fulls_before = probe.step, probe.full_step.count

    def finish() -> str:
        step_count, losses = probe.step - steps_before, watching.run.losses
        loss_count = int(np.count_nonzero(losses[0].steps >= steps_before)) if losses else 0
        watching.stop()
        return (
            f"own account {budget.share:.4f} of {budget.allowed_share:g}, repaid at step {budget.repaid_step}; "
            f"{probe.full_step.count - fulls_before} full steps and {loss_count} losses of {step_count} steps"
        )

    interval = budget.next_event(probe.step) - probe.step
    return Instrument(probe.attach, probe.detach, finish, INTERVALS_OF_BLOCK * interval)


Start = Callable[[Training, float], Instrument]

VARIANTS: Mapping[str, Start] = {
    "A/A": nothing,
    "gradiometer": gradiometer_within_budget,
    "gradiometer_core": gradiometer_core,
}
"""How a training may be instrumented; another one is a line here."""

WITHIN_BUDGET = ("A/A", "gradiometer")
EVERY_STEP = ("A/A", "gradiometer_core")


@dataclass
class Rounds:
    """Times of all rounds.

    Attributes:
        bare: Of the bare blocks beside a variant's own, [round, clock] for each variant.
        own: Of the variant's own blocks.
    """

    bare: dict[str, list[np.ndarray]] = field(default_factory=dict)
    own: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, name: str, own: np.ndarray, bare: np.ndarray) -> None:
        """Add one block with the bare one beside it."""
        self.own.setdefault(name, []).append(own)
        self.bare.setdefault(name, []).append(bare)

    def ratio(self, name: str, clock: int, chosen: np.ndarray | None = None) -> float:
        """Time over bare time, all rounds or some together."""
        rounds = np.arange(len(self.own[name])) if chosen is None else chosen
        own, bare = np.array(self.own[name])[rounds, clock], np.array(self.bare[name])[rounds, clock]
        return float(own.sum() / bare.sum())

    def interval(self, name: str, clock: int, relative_to: str | None = None) -> tuple[float, float]:
        """95 % interval of the ratio, or of its quotient with another variant's, by resampling rounds."""
        draws = np.random.default_rng(0).integers(0, len(self.own[name]), (2000, len(self.own[name])))
        found = [
            self.ratio(name, clock, draw) / (1.0 if relative_to is None else self.ratio(relative_to, clock, draw))
            for draw in draws
        ]
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)


def pair_of_blocks(
    training: Training, instrument: Instrument, steps: int, *, bare_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Times of an instrumented and of a bare block of the same training, one right after the other.

    It is the same network in the same memory: two copies of one differ by up to 3 % for good, as they happen to lie.
    """
    bare = run(training, steps) if bare_first else None
    instrument.resume()
    own = run(training, steps)
    instrument.pause()
    return own, run(training, steps) if bare is None else bare


def measure(name: str, variants: Sequence[str], overhead: float, rounds: int, block_seconds: float) -> None:
    """Time one workload under some variants and print a line for each."""
    workload = WORKLOADS[name]
    first = Training(workload)
    run(first, 2)
    step_seconds = run(first, 3)[0] / 3
    trainings = {variant: Training(workload) for variant in variants}
    instruments: dict[str, Instrument] = {}
    for variant, training in trainings.items():
        run(training, 2)
        instruments[variant] = VARIANTS[variant](training, overhead)
    steps = max(2, round(block_seconds / step_seconds), *(one.least_steps for one in instruments.values()))
    print(f"{name}: bare step {1e3 * step_seconds:.2f} ms of processor time, {rounds} rounds of {steps} steps")
    times = Rounds()
    order = random.Random(0)
    for _ in range(rounds):
        for variant in order.sample(list(variants), len(variants)):
            times.add(
                variant,
                *pair_of_blocks(trainings[variant], instruments[variant], steps, bare_first=order.random() < 0.5),
            )
    for variant in variants:
        low, high = times.interval(variant, 0)
        relative = times.ratio(variant, 0) / times.ratio("A/A", 0)
        relative_low, relative_high = times.interval(variant, 0, relative_to="A/A")
        print(
            f"  {variant:18} {times.ratio(variant, 0):.4f} [{low:.4f}, {high:.4f}]  "
            f"relative {relative:.4f} [{relative_low:.4f}, {relative_high:.4f}]  wall {times.ratio(variant, 1):.4f}  "
            f"{instruments[variant].finish()}",
            flush=True,
        )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--overhead", type=float, default=0.01, help="share that measuring may take")
    parser.add_argument("--every-step", action="store_true", help="the core of a full measurement at every step")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), help="these, beside the A/A control")
    parser.add_argument("--rounds", type=int, default=150, help="blocks of each variant")
    parser.add_argument("--block-seconds", type=float, default=0.1, help="length of a block, about")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    add_only(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variants = arguments.variants or (EVERY_STEP if arguments.every_step else WITHIN_BUDGET)
    print_machine()
    print("ratio of processor time to bare steps [95 % interval], relative to the A/A control, wall time")
    for name in arguments.only:
        measure(
            name, list(dict.fromkeys(["A/A", *variants])), arguments.overhead, arguments.rounds, arguments.block_seconds
        )


if __name__ == "__main__":
    main()
