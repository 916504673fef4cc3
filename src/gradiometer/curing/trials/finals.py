"""The last sieve: finalists against the untouched control, several seeds each, and which of them to recommend."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gradiometer.curing.trials.contrasting import Match
from gradiometer.curing.trials.lateness import was_late
from gradiometer.curing.trials.pairing import Reading, are_same_training, with_pairing
from gradiometer.curing.trials.pairs import size_of
from gradiometer.curing.trials.plan import Plan
from gradiometer.curing.trials.runner import TrialRunner
from gradiometer.curing.trials.verdict import (
    CONFIDENCE,
    FIRST_LOOK,
    SECOND_LOOK,
    SUFFICIENT_SHARE,
    Comparison,
    Pair,
    compare,
)
from gradiometer.diagnosing.learned_well import constant_loss
from gradiometer.schema import OutcomeVerdict, Ranking
from gradiometer.units import format_number


@dataclass(frozen=True, slots=True)
class Rules:
    """How a finalist is compared.

    Attributes:
        is_paired: Every pair saw the same batches.
        is_one_training: All seeds gave the very same training.
        tried_count: Cures that were tried in all sieves.
        confidence: Confidence of all intervals of this look together.
    """

    is_paired: bool
    is_one_training: bool
    tried_count: int
    confidence: float


Table = dict[int, list[Reading]]
"""Seed to its trainings: the control, then every finalist."""


@dataclass(frozen=True, slots=True)
class Finals:
    """What the last sieve gave.

    Attributes:
        controls: The untouched control, by seed.
        treated: Each finalist's trials, in the order of the seeds.
        comparisons: Each finalist against the control.
        paired: Whether every pair of a finalist saw the same batches.
        fault_count: Controls that showed the fault again.
        is_one_training: All seeds gave the very same training, so that there is only one.
        tried_count: Cures that were tried in all sieves; every interval is widened for that many.
        guess_loss: What a constant guess gives, in the controls' mean; nan where it is not known.
    """

    controls: tuple[Reading, ...]
    treated: dict[str, tuple[Reading, ...]]
    comparisons: dict[str, Comparison]
    paired: dict[str, bool]
    fault_count: int
    is_one_training: bool
    tried_count: int = 1
    guess_loss: float = math.nan

    @property
    def shows_fault(self) -> bool:
        """Whether most controls showed the fault again."""
        return 2 * self.fault_count > len(self.controls)

    def finished_pairs(self, label: str) -> tuple[tuple[Reading, Reading], ...]:
        """The control's trials and a finalist's; seeds that could not run, or not to their end, count for neither."""
        return tuple(
            (control, treated)
            for control, treated in zip(self.controls, self.treated[label], strict=True)
            if control.has_trained and treated.has_trained
        )

    def match_of(self, label: str) -> Match:
        """What is compared of a finalist: its pairs, or the first where all seeds gave one training."""
        pairs = self.finished_pairs(label)
        return Match(pairs[:1] if self.is_one_training else pairs, self.paired[label], self.tried_count)


def hold_finals(
    runner: TrialRunner, labels: Sequence[str], plan: Plan, shows_fault: Callable[[Reading], bool], tried_count: int = 1
) -> Finals:
    """Third sieve: finalists against the untouched control, several seeds, same data.

    Where the plan has seeds to spare and nothing is proved that points the right way, these are trained, too, and all
    seeds are looked at once more. The two looks share what chance is allowed.

    Args:
        runner: What runs trials.
        labels: The finalists.
        plan: Steps and seeds.
        shows_fault: Whether a control has the fault that was diagnosed.
        tried_count: Cures that were tried in all sieves, these among them.
    """
    tried_count = max(tried_count, len(labels))
    table = run_seeds(runner, labels, plan, plan.seeds)
    first = FIRST_LOOK if plan.spare_seeds else CONFIDENCE
    finals = finals_of(runner, labels, table, shows_fault, tried_count, first)
    if not plan.spare_seeds or not is_worth_another_look(finals):
        return finals
    table |= run_seeds(runner, labels, plan, plan.spare_seeds)
    return finals_of(runner, labels, table, shows_fault, tried_count, SECOND_LOOK)


def run_seeds(runner: TrialRunner, labels: Sequence[str], plan: Plan, seeds: Sequence[int]) -> Table:
    """Train the control and every finalist with some seeds."""
    entrants = (None, *labels)
    # One step more lets a training that would end here end by itself, with the evaluation after its last step.
    steps = plan.steps + plan.is_whole
    readings = iter(runner.run([runner.trial(label, seed, "trial", steps) for seed in seeds for label in entrants]))
    return {seed: [next(readings) for _ in entrants] for seed in seeds}


def is_worth_another_look(finals: Finals) -> bool:
    """Whether nothing is proved in time, yet a cure is better in the mean of controls that do show the fault."""
    if any(was_late(reading) for group in (finals.controls, *finals.treated.values()) for reading in group):
        return False
    verdicts = {comparison.verdict for comparison in finals.comparisons.values()}
    least = min(map(difference_of, finals.comparisons.values()), default=math.inf)
    return verdicts == {"not shown"} and least < 0.0 and finals.shows_fault and not finals.is_one_training


def finals_of(
    runner: TrialRunner,
    labels: Sequence[str],
    table: Table,
    shows_fault: Callable[[Reading], bool],
    tried_count: int,
    confidence: float,
) -> Finals:
    """What the trainings of all seeds give."""
    controls = {seed: row[0] for seed, row in table.items()}
    treated = {
        label: tuple(with_pairing(table[seed][index], controls) for seed in table)
        for index, label in enumerate(labels, start=1)
    }
    renewed = {reading.trial.run_file: reading for group in treated.values() for reading in group}
    runner.readings = [renewed.get(reading.trial.run_file, reading) for reading in runner.readings]
    in_order = tuple(controls.values())
    is_one_training = are_same_training(list(in_order))
    paired = {label: all(reading.trial.is_paired is not False for reading in group) for label, group in treated.items()}
    guess = math.nan if runner.judges_answers else guess_loss(in_order)
    comparisons = {}
    for label, group in treated.items():
        pairs, rules = pairs_of(group, controls, guess), Rules(paired[label], is_one_training, tried_count, confidence)
        comparisons[label] = compare_with(pairs, group, rules)
    return Finals(
        controls=in_order,
        treated=treated,
        comparisons=comparisons,
        paired=paired,
        fault_count=sum(shows_fault(control) for control in in_order),
        is_one_training=is_one_training,
        tried_count=tried_count,
        guess_loss=guess,
    )


def guess_loss(controls: Sequence[Reading]) -> float:
    """What a constant guess gives, in the mean of the controls that know it; nan where none does."""
    known = [constant_loss(control.run) for control in controls if control.run is not None]
    known = [loss for loss in known if math.isfinite(loss)]
    return sum(known) / len(known) if known else math.nan


def pairs_of(group: Sequence[Reading], controls: dict[int, Reading], guess: float) -> list[Pair]:
    """A finalist's trials beside the control's; seeds that could not run count for neither.

    A single example's loss may be anything, so a control started from a constant guess's loss where that is more.
    """
    pairs = []
    for reading in group:
        control = controls[reading.spec.seed]
        if reading.has_trained and control.has_trained:
            start = control.start_loss or reading.start_loss
            start = max(start, guess) if start is not None and math.isfinite(guess) else start
            pairs.append(Pair(control.final_loss, reading.final_loss, start))
    return pairs


def compare_with(pairs: list[Pair], group: Sequence[Reading], rules: Rules) -> Comparison:
    """Compare a finalist's trials with those of the control.

    Where time ran out in one of its trainings nothing is proved: a cure under which some seeds hang would pass.
    """
    counting = pairs[:1] if rules.is_one_training else pairs
    comparison = compare(
        counting, is_paired=rules.is_paired, comparison_count=rules.tried_count, confidence=rules.confidence
    )
    if not pairs and group:
        reasons = [reading.trial.detail for reading in group if reading.trial.detail]
        return replace(comparison, detail=(reasons or ["no trial came to a training that it could be compared in"])[0])
    if rules.is_one_training:
        return replace(comparison, detail="every seed gave the same training: the script fixes its own random state")
    late_count = sum(map(was_late, group))
    if late_count:
        told = f"time ran out in {late_count} of {len(group)} trainings with it"
        verdict: OutcomeVerdict = "not shown" if comparison.verdict == "better" else comparison.verdict
        return replace(comparison, verdict=verdict, detail="; ".join(filter(None, (told, comparison.detail))))
    return comparison


def choose_winner(finals: Finals) -> str | None:
    """The finalist to recommend: the smallest change that is proved, unless a greater one brings clearly more.

    Returns:
        Its label; where none is proved the one with the lowest difference; None without finalists.
    """
    if not finals.comparisons:
        return None
    better = [label for label, comparison in finals.comparisons.items() if comparison.verdict == "better"]
    if not better:
        return min(finals.comparisons, key=lambda label: difference_of(finals.comparisons[label]))
    by_size = sorted(better, key=lambda label: (size_of(label), difference_of(finals.comparisons[label])))
    winner = by_size[0]
    for label in by_size[1:]:
        if size_of(label) > size_of(winner) and brings_clearly_more(finals, label, winner):
            winner = label
    return winner


def brings_clearly_more(finals: Finals, greater: str, smaller: str) -> bool:
    """Whether a greater change beats a smaller one as a cure beats the control, and by a share of the whole gain.

    Where the controls stand above a constant guess and the greater change gets below it, the gain counts from there: on
    targets in raw units whatever moves the last bias brings nearly all of the way down to it, and has learned nothing.
    """
    height = height_above_guess(finals, greater)
    gains = [difference_of(finals.comparisons[label]) + height for label in (greater, smaller)]
    if gains[1] <= SUFFICIENT_SHARE * gains[0]:
        return False
    pairs = [
        Pair(less.final_loss, more.final_loss, less.start_loss)
        for more, less in zip(finals.treated[greater], finals.treated[smaller], strict=True)
    ]
    return compare(pairs).verdict == "better"


def height_above_guess(finals: Finals, label: str) -> float:
    """How far the controls lie above a constant guess; 0 where they do not, or where a cure does not get below it."""
    losses = [reading.final_loss for reading in finals.treated[label] if reading.has_trained]
    treated = sum(losses) / len(losses) if losses else math.inf
    control = treated - difference_of(finals.comparisons[label])
    return control - finals.guess_loss if treated < finals.guess_loss < control else 0.0


def difference_of(comparison: Comparison) -> float:
    """A comparison's difference; inf where there is none."""
    return math.inf if comparison.difference is None else comparison.difference


def ranking_of(label: str, finals: Finals) -> Ranking:
    """A finalist's line of the ranking."""
    comparison = finals.comparisons[label]
    losses = [reading.final_loss for reading in finals.treated[label] if reading.has_trained]
    return Ranking(
        cures=tuple(label.split("+")),
        sieve="trial",
        verdict=comparison.verdict,
        final_loss=sum(losses) / len(losses) if losses else None,
        difference=comparison.difference,
        interval=comparison.interval,
        detail=comparison.detail,
    )


def other_sites(finals: Finals, label: str) -> str:
    """How the losses at the script's other `backward` calls compare, in words; empty where there is one only."""
    parts = []
    for control, treated in zip(finals.controls[:1], finals.treated[label][:1], strict=True):
        known = dict(control.final_losses[1:])
        for site, loss in treated.final_losses[1:]:
            if site in known:
                parts.append(f"{site}: {format_number(known[site])} became {format_number(loss)}")
    return f"other losses, first seed: {'; '.join(parts)}" if parts else ""
