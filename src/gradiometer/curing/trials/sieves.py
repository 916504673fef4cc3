"""Three sieves, cheapest first: re-measure, race, trial; from many candidates to one that is proved, or none."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gradiometer.curing.trials.bench import Bench
from gradiometer.curing.trials.contrasting import Match
from gradiometer.curing.trials.pairing import Reading, are_same_training, final_loss, with_pairing
from gradiometer.curing.trials.plan import FINALIST_COUNT, REMEASURE_STEPS, Plan
from gradiometer.curing.trials.strain import CLEAR_LOSS_SHARE, strain_of
from gradiometer.curing.trials.verdict import LEAST_IMPROVEMENT, Comparison, Pair, compare
from gradiometer.schema import Ranking
from gradiometer.units import format_number

RACE_SEED = 0
"""Seed of the run that is diagnosed and of the race, whose control it is."""

NEAR_SHARE = 0.5
"""A part of a pair that brings at least this share of the pair's improvement in the race is tried on."""


@dataclass(slots=True)
class Standings:
    """Where every candidate stands.

    Attributes:
        rankings: The last word on each, by label.
    """

    rankings: dict[str, Ranking] = field(default_factory=dict)

    def note(self, label: str, sieve: str, reading: Reading | None, detail: str = "") -> None:
        """Note that a candidate reached a sieve, and why it goes no further."""
        loss = reading.trial.final_loss if reading is not None else None
        told = detail or (reading.trial.detail if reading is not None else "")
        self.rankings[label] = Ranking(tuple(label.split("+")), sieve, final_loss=loss, detail=told)

    def in_order(self) -> tuple[Ranking, ...]:
        """Best first: those of the last sieve by loss, then those of the race, then the rest."""
        sieves = {"trial": 0, "race": 1, "remeasure": 2}
        verdicts = {"better": 0, None: 1, "not shown": 1, "worse": 2}

        def rank(ranking: Ranking) -> tuple[int, int, float]:
            loss = math.inf if ranking.final_loss is None else ranking.final_loss
            return sieves.get(ranking.sieve, 3), verdicts[ranking.verdict], loss

        return tuple(sorted(self.rankings.values(), key=rank))


def remeasure(bench: Bench, labels: Sequence[str], standings: Standings) -> list[str]:
    """First sieve: a few steps of each candidate, measured in full.

    Out go those that refuse, fail or are not finite, and, where the control's first steps show the fault, those that
    are clearly no better: neither better balanced, nor moving better, nor lower in loss.

    Returns:
        The labels that stay, the least strained first; as prescribed where these steps show no fault.
    """
    specs = [bench.trial(label, RACE_SEED, "remeasure", REMEASURE_STEPS, 1.0) for label in (None, *labels)]
    control, *readings = bench.run(specs)
    before = strain_of(control.run) if control.run is not None else None
    kept: list[tuple[float, str]] = []
    for label, reading in zip(labels, readings, strict=True):
        standings.note(label, "remeasure", reading)
        if not reading.is_done or reading.run is None:
            continue
        strain = strain_of(reading.run)
        is_lower = reading.final_loss <= (1.0 - CLEAR_LOSS_SHARE) * control.final_loss
        if not strain.is_finite and (before is None or before.is_finite):
            standings.note(label, "remeasure", reading, "NaN or infinity within the first steps")
        elif before is not None and before.is_ill and not (is_lower or strain.is_clearly_less_than(before)):
            standings.note(label, "remeasure", reading, "the first steps are no better than the control's")
        else:
            kept.append((round(strain.motion_decades) if before is not None and before.is_ill else 0.0, label))
    return [label for _, label in sorted(kept, key=lambda entry: entry[0])]


def race(
    bench: Bench, labels: Sequence[str], diagnosed: Reading, plan: Plan, standings: Standings
) -> list[tuple[str, Reading]]:
    """Second sieve: short trainings with one seed, the better half goes on to a longer round.

    The control is the diagnosed run itself, up to the same step.

    Returns:
        The finalists, lowest loss first; none where no candidate is better than the control.
    """
    racers = list(labels)
    placed: list[tuple[str, Reading]] = []
    for steps in plan.race_steps:
        bar = (1.0 - LEAST_IMPROVEMENT) * control_loss_until(diagnosed, steps)
        placed = heat(bench, racers, steps, bar, standings)
        is_last = steps == plan.race_steps[-1]
        keep_count = FINALIST_COUNT if is_last else max(FINALIST_COUNT, math.ceil(len(placed) / 2))
        if is_last:
            placed = with_parts(bench, placed, steps, bar, standings)
        for label, reading in placed[keep_count:]:
            standings.note(label, "race", reading, "others were better in the race")
        placed = placed[:keep_count]
        racers = [label for label, _ in placed]
    return placed


def heat(
    bench: Bench, labels: Sequence[str], steps: int, bar: float, standings: Standings
) -> list[tuple[str, Reading]]:
    """One round of the race: those below the bar, lowest loss first."""
    readings = bench.run([bench.trial(label, RACE_SEED, "race", steps) for label in labels])
    placed = []
    for label, reading in zip(labels, readings, strict=True):
        standings.note(label, "race", reading)
        if not reading.is_done:
            continue
        if reading.final_loss < bar:
            placed.append((label, reading))
        else:
            standings.note(label, "race", reading, f"no better than the control after {steps} steps")
    return sorted(placed, key=lambda entry: entry[1].final_loss)


def with_parts(
    bench: Bench, placed: list[tuple[str, Reading]], steps: int, bar: float, standings: Standings
) -> list[tuple[str, Reading]]:
    """Race the parts of the leading pair, too: where a part does nearly as well, it is the second finalist."""
    if not placed or "+" not in placed[0][0]:
        return placed
    leader, best = placed[0]
    parts = leader.split("+")
    known = dict(placed)
    fresh = [part for part in parts if part not in standings.rankings or standings.rankings[part].sieve != "race"]
    known |= dict(heat(bench, fresh, steps, bar, standings))
    near = bar - NEAR_SHARE * (bar - best.final_loss)
    rivals = [part for part in parts if part in known and known[part].final_loss <= near]
    rivals.sort(key=lambda part: known[part].final_loss)
    order = [leader, *rivals, *(label for label in known if label != leader and label not in rivals)]
    return [(label, known[label]) for label in order]


def control_loss_until(control: Reading, steps: int) -> float:
    """The control's loss at the end of its first steps; where it was not finite there, the loss it started from."""
    if control.run is None or not control.run.losses:
        return math.inf
    loss = final_loss(control.run.losses[0], min(steps, control.run.step_count))
    if math.isfinite(loss) and not (control.trial.status == "failed" and control.run.step_count <= steps):
        return loss
    return math.inf if control.start_loss is None else control.start_loss


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
    """

    controls: tuple[Reading, ...]
    treated: dict[str, tuple[Reading, ...]]
    comparisons: dict[str, Comparison]
    paired: dict[str, bool]
    fault_count: int
    is_one_training: bool

    @property
    def shows_fault(self) -> bool:
        """Whether most controls showed the fault again."""
        return 2 * self.fault_count > len(self.controls)

    def match_of(self, label: str) -> Match:
        """A finalist's trials beside the control's; seeds that could not run count for neither."""
        pairs = [
            (control, treated)
            for control, treated in zip(self.controls, self.treated[label], strict=True)
            if control.has_trained and treated.has_trained
        ]
        return Match(tuple(pairs[:1] if self.is_one_training else pairs), self.paired[label], len(self.treated))


def hold_finals(bench: Bench, labels: Sequence[str], plan: Plan, shows_fault: Callable[[Reading], bool]) -> Finals:
    """Third sieve: finalists against the untouched control, several seeds, same data.

    Args:
        bench: Where trials are run.
        labels: The finalists.
        plan: Steps and seeds.
        shows_fault: Whether a control has the fault that was diagnosed.
    """
    entrants = (None, *labels)
    # One step more lets a training that would end here end by itself, with the evaluation after its last step.
    steps = plan.steps + plan.is_whole
    specs = [bench.trial(label, seed, "trial", steps) for seed in plan.seeds for label in entrants]
    readings = iter(bench.run(specs))
    table = {seed: [next(readings) for _ in entrants] for seed in plan.seeds}
    controls = {seed: row[0] for seed, row in table.items()}
    treated = {
        label: tuple(with_pairing(table[seed][index], controls) for seed in plan.seeds)
        for index, label in enumerate(labels, start=1)
    }
    renewed = {reading.trial.run_file: reading for group in treated.values() for reading in group}
    bench.readings = [renewed.get(reading.trial.run_file, reading) for reading in bench.readings]
    in_order = tuple(controls.values())
    is_one_training = are_same_training(list(in_order))
    paired = {label: all(reading.trial.is_paired is not False for reading in group) for label, group in treated.items()}
    return Finals(
        controls=in_order,
        treated=treated,
        comparisons={
            label: compare_with(group, controls, is_paired=paired[label], count=len(labels), is_single=is_one_training)
            for label, group in treated.items()
        },
        paired=paired,
        fault_count=sum(shows_fault(control) for control in in_order),
        is_one_training=is_one_training,
    )


def compare_with(
    group: Sequence[Reading], controls: dict[int, Reading], *, is_paired: bool, count: int, is_single: bool
) -> Comparison:
    """Compare a finalist's trials with those of the control; seeds that could not run count for neither."""
    pairs = [
        Pair(
            control=controls[reading.spec.seed].final_loss,
            treated=reading.final_loss,
            control_start=controls[reading.spec.seed].start_loss or reading.start_loss,
        )
        for reading in group
        if reading.has_trained and controls[reading.spec.seed].has_trained
    ]
    comparison = compare(pairs[:1] if is_single else pairs, is_paired=is_paired, comparison_count=count)
    if not pairs and group:
        return replace(comparison, detail=group[0].trial.detail or "no trial of it came to a training")
    if is_single:
        return replace(comparison, detail="every seed gave the same training: the script fixes its own random state")
    return comparison


def choose_winner(finals: Finals) -> str | None:
    """The finalist to recommend: the smallest change that is proved, unless a greater one is clearly better.

    Returns:
        Its label; where none is proved the one with the lowest difference; None without finalists.
    """
    if not finals.comparisons:
        return None
    better = [label for label, comparison in finals.comparisons.items() if comparison.verdict == "better"]
    if not better:
        return min(finals.comparisons, key=lambda label: difference_of(finals.comparisons[label]))
    by_size = sorted(better, key=lambda label: (label.count("+"), difference_of(finals.comparisons[label])))
    winner = by_size[0]
    for label in by_size[1:]:
        is_greater = label.count("+") > winner.count("+")
        if is_greater and is_clearly_better(finals.treated[label], finals.treated[winner]):
            winner = label
    return winner


def is_clearly_better(greater: Sequence[Reading], smaller: Sequence[Reading]) -> bool:
    """Whether a greater change beats a smaller one by the same rule by which a cure beats the control."""
    pairs = [
        Pair(less.final_loss, more.final_loss, less.start_loss) for more, less in zip(greater, smaller, strict=True)
    ]
    return compare(pairs).verdict == "better"


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
