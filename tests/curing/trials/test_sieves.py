"""The sieves on trials that are told rather than run: an engine that writes run files with chosen losses."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curing.trials.trial_material import Silent
from gradiometer.curing.trials.bench import Bench
from gradiometer.curing.trials.local import TrialEnd
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.plan import Plan
from gradiometer.curing.trials.sieves import Standings, choose_winner, hold_finals, race, remeasure
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
        asked: Labels that were run, in order.
    """

    losses: dict[str, float]
    batches: dict[str, str] = field(default_factory=dict)
    is_seeded: bool = True
    asked: list[str] = field(default_factory=list)

    def __call__(
        self, specs: Sequence[TrialSpec], *, workers: int, when_done: Callable[[TrialEnd], None] | None = None
    ) -> list[TrialEnd]:
        return [self.write(spec) for spec in specs]

    def write(self, spec: TrialSpec) -> TrialEnd:
        label = "+".join(spec.cures)
        self.asked.append(label)
        steps = spec.step_limit or 40
        loss = self.losses[label] * (1.0 + 0.01 * spec.seed * self.is_seeded)
        with RunWriter(spec.run_file) as writer:
            writer.add_facts({"status": "stopped", "initial_weights_fingerprint": str(spec.seed * self.is_seeded)})
            for step in range(steps):
                value = 2.0 if step < 3 else loss
                is_finite = math.isfinite(value)
                entry = ("train.py:1", value if is_finite else None, 1, int(not is_finite))
                batch = f"{spec.seed} {step} {self.batches.get(label, '')}"
                writer.add_step(StepStats(step=step, losses=(entry,), batch_fingerprint=batch))
        return TrialEnd(spec, 0, 1.0)


def bench_of(tmp_path: Path, engine: ToldEngine) -> Bench:
    return Bench(TEMPLATE, tmp_path, 2, Silent(), engine)


def diagnosed(tmp_path: Path, engine: ToldEngine) -> Reading:
    return read_trial(engine.write(TEMPLATE.placed_in(tmp_path)))


def test_lets_the_better_half_race_on(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.5, "b": 1.0, "c": 1.5, "d": 2.0})
    standings = Standings()
    control = diagnosed(tmp_path, engine)
    engine.asked.clear()
    finalists = race(bench_of(tmp_path, engine), ["d", "c", "b", "a"], control, PLAN, standings)

    assert [label for label, _ in finalists] == ["a", "b"]
    assert engine.asked == ["d", "c", "b", "a", "a", "b"]
    assert "no better" in standings.rankings["d"].detail
    assert "others were better" in standings.rankings["c"].detail


def test_sends_nobody_on_who_is_no_better_than_the_control(tmp_path: Path) -> None:
    engine = ToldEngine({"": 1.0, "a": 1.0, "b": math.inf, "c": 0.99})
    control = diagnosed(tmp_path, engine)
    assert race(bench_of(tmp_path, engine), ["a", "b", "c"], control, PLAN, Standings()) == []


def test_lets_a_part_that_does_nearly_as_well_challenge_its_pair(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.5, "c": 0.6, "a": 0.7, "b": 1.9})
    control = diagnosed(tmp_path, engine)
    finalists = race(bench_of(tmp_path, engine), ["a+b", "c"], control, PLAN, Standings())
    assert [label for label, _ in finalists] == ["a+b", "a"]


def test_sends_on_the_runner_up_where_no_part_comes_near(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.5, "c": 0.6, "a": 1.9, "b": 1.9})
    control = diagnosed(tmp_path, engine)
    finalists = race(bench_of(tmp_path, engine), ["a+b", "c"], control, PLAN, Standings())
    assert [label for label, _ in finalists] == ["a+b", "c"]


def test_proves_a_cure_and_prefers_the_smaller_change(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.50, "a": 0.505})
    finals = hold_finals(bench_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)

    assert {comparison.verdict for comparison in finals.comparisons.values()} == {"better"}
    assert finals.paired == {"a+b": True, "a": True}
    assert finals.shows_fault
    assert choose_winner(finals) == "a"


def test_takes_the_greater_change_where_it_is_clearly_better(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a+b": 0.2, "a": 1.0})
    finals = hold_finals(bench_of(tmp_path, engine), ["a+b", "a"], PLAN, lambda control: True)
    assert choose_winner(finals) == "a+b"


def test_says_so_where_the_batches_of_a_pair_differ(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2}, {"a": "other"})
    finals = hold_finals(bench_of(tmp_path, engine), ["a"], PLAN, lambda control: True)

    assert finals.paired == {"a": False}
    assert "unpaired" in finals.comparisons["a"].detail
    assert finals.treated["a"][0].trial.is_paired is False


def test_proves_nothing_on_one_training_run_three_times(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2}, is_seeded=False)
    finals = hold_finals(bench_of(tmp_path, engine), ["a"], PLAN, lambda control: True)

    assert finals.comparisons["a"].verdict == "not shown"
    assert "random state" in finals.comparisons["a"].detail


def test_does_not_show_the_fault_where_half_of_the_controls_lack_it(tmp_path: Path) -> None:
    engine = ToldEngine({"": 2.0, "a": 0.2})
    finals = hold_finals(bench_of(tmp_path, engine), ["a"], PLAN, lambda control: control.spec.seed == 1)

    assert finals.fault_count == 1
    assert not finals.shows_fault


def test_drops_at_first_what_is_no_better_or_not_finite(tmp_path: Path) -> None:
    # Runs that are told have no measurements, which counts as ill on both sides: the loss decides.
    engine = ToldEngine({"": 2.0, "a": 1.5, "b": 2.0, "c": math.inf})
    standings = Standings()
    kept = remeasure(bench_of(tmp_path, engine), ["a", "b", "c"], standings)

    assert kept == ["a"]
    assert "NaN or infinity" in standings.rankings["c"].detail
    assert "no better" in standings.rankings["b"].detail


def test_ranks_those_of_the_last_sieve_first() -> None:
    standings = Standings()
    for label, sieve in (("a", "remeasure"), ("b", "race"), ("c", "trial")):
        standings.note(label, sieve, None, "for a reason")
    assert [ranking.cures for ranking in standings.in_order()] == [("c",), ("b",), ("a",)]
