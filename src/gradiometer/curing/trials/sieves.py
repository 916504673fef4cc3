"""The first two sieves, cheapest first: re-measure and race; from many candidates to one or two finalists."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gradiometer.curing.trials.pairing import Reading, final_loss
from gradiometer.curing.trials.pairs import size_of
from gradiometer.curing.trials.plan import FINALIST_COUNT, REMEASURE_STEPS, Plan
from gradiometer.curing.trials.runner import TrialRunner
from gradiometer.curing.trials.strain import CLEAR_LOSS_SHARE, Strain, strain_of
from gradiometer.curing.trials.verdict import LEAST_IMPROVEMENT, SUFFICIENT_SHARE
from gradiometer.curing.trials.wrong_answers import wrong_share
from gradiometer.diagnosing.learned_well import constant_loss
from gradiometer.schema import Ranking

MOST_SLOW = 4
"""Cures that are raced once more where none was better: they cost less than the trials that were planned for."""

RACE_SEED = 0
"""Seed of the run that is diagnosed and of the race, whose control it is."""

TOLD_BY_STRAIN = frozenset(
    {"vanishing", "exploding", "uneven", "stuck", "thrashing", "diverging", "non_finite", "dead", "saturated"}
)
"""Conditions that first steps show as a gradient out of balance, or as weights that hardly move or are thrown about."""

FOUND_RATE = "change_learning_rate:="
"""How a label's learning rate begins that a range test has found."""

NEAR_SHARE = 0.5
"""A part of a pair that brings at least this share of the pair's improvement in the race is tried on."""


@dataclass(slots=True)
class Standings:
    """Where every candidate stands.

    Attributes:
        rankings: The last word on each, by label.
    """

    rankings: dict[str, Ranking] = field(default_factory=dict)

    def note(
        self, label: str, sieve: str, reading: Reading | None, detail: str = "", range_db: float | None = None
    ) -> None:
        """Note that a candidate reached a sieve, and why it goes no further."""
        loss = reading.trial.final_loss if reading is not None else None
        told = detail or (reading.trial.detail if reading is not None else "")
        known = self.rankings.get(label)
        self.rankings[label] = Ranking(
            tuple(label.split("+")),
            sieve,
            final_loss=loss,
            detail=told,
            forecast_db=None if known is None else known.forecast_db,
            range_db=range_db if range_db is not None or known is None else known.range_db,
            reason="" if known is None else known.reason,
        )

    def expect(self, label: str, forecast_db: float | None, reason: str) -> None:
        """Note why a candidate is tried, and what theory foretells of it."""
        self.rankings[label] = Ranking(tuple(label.split("+")), "chosen", forecast_db=forecast_db, reason=reason)

    def rename(self, label: str, resolved: str) -> None:
        """A candidate goes on under another label: its rate was found."""
        known = self.rankings.pop(label, None) if label != resolved else None
        if known is not None:
            self.rankings.setdefault(resolved, replace(known, cures=tuple(resolved.split("+"))))

    def place(self, ranking: Ranking) -> None:
        """Note what the last sieve gave, with what was noted before."""
        known = self.rankings["+".join(ranking.cures)]
        kept = {"forecast_db": known.forecast_db, "range_db": known.range_db, "reason": known.reason}
        self.rankings["+".join(ranking.cures)] = replace(ranking, **kept)  # type: ignore[arg-type]

    def in_order(self) -> tuple[Ranking, ...]:
        """Best first: those of the last sieve by loss, then those of the race, then the rest."""
        sieves = {"trial": 0, "race": 1, "remeasure": 2, "chosen": 3}
        verdicts = {"better": 0, None: 1, "not shown": 1, "worse": 2}

        def rank(ranking: Ranking) -> tuple[int, int, float]:
            loss = math.inf if ranking.final_loss is None else ranking.final_loss
            return sieves[ranking.sieve], verdicts[ranking.verdict], loss

        return tuple(sorted(self.rankings.values(), key=rank))


def remeasure(runner: TrialRunner, labels: Sequence[str], standings: Standings) -> list[tuple[str, Strain]]:
    """First sieve: a few steps of each candidate, measured in full.

    Out go those that refuse, fail or are not finite, and, where the control's first steps show the fault, those that
    are clearly no better: neither better balanced, nor moving better, nor lower in loss. Where something was found
    that no balance and no motion tells of, such as an activation that is missing, all of them stay that are finite.

    Returns:
        The labels that stay with what their first steps say, the least strained first; in the order given where the
        control's first steps do not show the fault.
    """
    specs = [runner.trial(label, RACE_SEED, "remeasure", REMEASURE_STEPS, 1.0) for label in (None, *labels)]
    control, *readings = runner.run(specs)
    before = strain_of(control.run) if control.run is not None else None
    is_ill = before is not None and before.is_ill and TOLD_BY_STRAIN.issuperset(runner.template.conditions)
    kept: list[tuple[str, Strain]] = []
    for label, reading in zip(labels, readings, strict=True):
        strain = strain_of(reading.run) if reading.is_done and reading.run is not None else None
        standings.note(label, "remeasure", reading, range_db=None if strain is None else strain.range_db)
        if strain is None:
            continue
        # A rate that a range test has found is known to bring the loss down; twelve steps say less.
        is_found = FOUND_RATE in label
        is_lower = reading.final_loss <= (1.0 - CLEAR_LOSS_SHARE) * control.final_loss
        if not strain.is_finite and (before is None or before.is_finite):
            standings.note(label, "remeasure", reading, "NaN or infinity within the first steps")
        elif before is not None and is_ill and not (is_lower or is_found or strain.is_clearly_less_than(before)):
            standings.note(label, "remeasure", reading, "the first steps are no better than the control's")
        else:
            kept.append((label, strain))
    return sorted(kept, key=lambda entry: round(entry[1].motion_decades) if is_ill else 0)


@dataclass(frozen=True, slots=True)
class Race:
    """What a race is run on.

    Attributes:
        runner: What runs its trials.
        diagnosed: The diagnosed run: its control, up to the same step.
        plan: Steps of each round, cures that go on.
        standings: Takes where every racer stands.
        find_pairs: From the labels in the order of the last round, and whether the best one's training shows the fault
            no more, to pairs that are ready to run.
        shows_fault: Whether a training shows the fault.
    """

    runner: TrialRunner
    diagnosed: Reading
    plan: Plan
    standings: Standings
    find_pairs: Callable[[Sequence[str], bool], list[str]]
    shows_fault: Callable[[Reading], bool]

    def bar(self, steps: int) -> float:
        """The loss that a racer has to be below; any finite one where the control's is lost.

        The loss that a lost control began with is that of one batch, and a cured training needs steps to get below it.
        """
        is_lost = was_lost(self.diagnosed, steps, by_answers=self.runner.judges_answers)
        return math.inf if is_lost else self.mark(steps)

    def mark(self, steps: int) -> float:
        """The loss that is less than the control's, or than what a lost one began with, by what matters at all."""
        return (1.0 - LEAST_IMPROVEMENT) * control_loss_until(
            self.diagnosed, steps, by_answers=self.runner.judges_answers
        )

    def summit(self, steps: int, best: float) -> float:
        """The loss from which shares of what a cure brings are taken: the mark, or a constant guess's if that is less.

        A control on targets in raw units stands so far above a constant guess that whatever moves its last bias there
        brings nearly all of the way down, and has learned nothing. Where the best itself is not below a constant guess,
        or what that gives is not known, the mark stays.

        Args:
            steps: Up to where the control is looked at.
            best: Loss of the best racer.
        """
        mark, run = self.mark(steps), self.diagnosed.run
        guess = math.nan if run is None or self.runner.judges_answers else constant_loss(run)
        return guess if best < guess < mark else mark


Placed = list[tuple[str, Reading]]


def race(contest: Race, labels: Sequence[str]) -> Placed:
    """Second sieve: short trainings with one seed, the better half goes on to a longer round.

    In the last round the best is joined with what it lacks, and the parts of the leading pair are raced by themselves.

    Returns:
        The finalists, lowest loss first; none where no candidate is better than the control.
    """
    racers, standings = list(labels), contest.standings
    placed: Placed = []
    for steps in contest.plan.race_steps:
        placed = heat(contest, racers, steps)
        is_last = steps == contest.plan.race_steps[-1]
        most = contest.plan.finalist_count if is_last else max(FINALIST_COUNT, math.ceil(len(placed) / 2))
        if is_last:
            placed = with_pairs(contest, placed, steps)
            placed = with_parts(contest, placed, steps)
        placed = with_smaller(contest, placed, steps)
        placed = without_guesses(contest, placed, steps) if is_last else placed
        placed, dropped = placed[:most], placed[most:]
        for label, reading in dropped:
            standings.note(label, "race", reading, why_dropped(reading, placed))
        racers = [label for label, _ in placed]
    return placed


def why_dropped(reading: Reading, placed: Placed) -> str:
    """Why a racer does not go on: others were better, or went before it as a pair with it or as a smaller change."""
    if all(reading.final_loss >= other.final_loss for _, other in placed):
        return "others were better in the race"
    return f"only {' and '.join(label for label, _ in placed)} went on"


def race_of_slow_starters(contest: Race) -> Placed:
    """Where nobody was better so far: the nearest once more, over the whole length of a trial.

    A recurrent network under a rate that cures it may stand as still as its control for some hundred steps. The trials
    that the plan has paid for were not spent.
    """
    rankings, steps = contest.standings.rankings, contest.plan.steps
    lost = [
        (ranking.final_loss, label)
        for label, ranking in rankings.items()
        if ranking.sieve == "race" and ranking.final_loss is not None and math.isfinite(ranking.final_loss)
    ]
    if steps <= contest.plan.race_steps[-1] or not lost:
        return []
    nearest = [label for _, label in sorted(lost)[:MOST_SLOW]]
    return race(replace(contest, plan=replace(contest.plan, race_steps=(steps,))), nearest)


def heat(contest: Race, labels: Sequence[str], steps: int) -> Placed:
    """One round of the race: those below the bar, lowest loss first."""
    bar, standings, runner = contest.bar(steps), contest.standings, contest.runner
    readings = runner.run([runner.trial(label, RACE_SEED, "race", steps) for label in labels])
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


def with_pairs(contest: Race, placed: Placed, steps: int) -> Placed:
    """Race what the best would be together with what it lacks, but for what was raced over this length before."""
    is_cured = bool(placed) and not contest.shows_fault(placed[0][1])
    labels = contest.find_pairs([label for label, _ in placed], is_cured)
    raced = {reading.spec.folder for reading in contest.runner.readings}
    fresh = [label for label in labels if contest.runner.trial(label, RACE_SEED, "race", steps).folder not in raced]
    return sorted([*placed, *heat(contest, fresh, steps)], key=lambda entry: entry[1].final_loss)


def with_parts(contest: Race, placed: Placed, steps: int) -> Placed:
    """Race the parts of the leading pair, too: where a part does nearly as well, it is the second finalist.

    The pair leads also where a part's loss is lower: that of one seed, under a rate that most others may not bear.
    """
    if not placed or "+" not in placed[0][0]:
        return placed
    leader, best = placed[0]
    known = dict(placed)
    parts = [part for part in (*leader.split("+"), leader.rpartition("+")[0]) if part != leader]
    raced = {label for label, ranking in contest.standings.rankings.items() if ranking.sieve == "race"}
    known |= dict(heat(contest, [part for part in dict.fromkeys(parts) if part not in raced], steps))
    summit = contest.summit(steps, best.final_loss)
    near = summit - NEAR_SHARE * (summit - best.final_loss)
    rivals = [part for part in dict.fromkeys(parts) if part in known and known[part].final_loss <= near]
    rivals.sort(key=lambda part: (part.count("+"), known[part].final_loss))
    order = [leader, *rivals, *(label for label in known if label != leader and label not in rivals)]
    return [(label, known[label]) for label in order]


def with_smaller(contest: Race, placed: Placed, steps: int) -> Placed:
    """Put the smallest change behind the leader that does as well as anybody could ask for, if it is smaller."""
    if len(placed) < 2:
        return placed
    leader, best = placed[0]
    summit = contest.summit(steps, best.final_loss)
    enough = summit - SUFFICIENT_SHARE * (summit - best.final_loss)
    smaller = [one for one in placed[1:] if size_of(one[0]) < size_of(leader) and one[1].final_loss <= enough]
    if not smaller:
        return placed
    second = min(smaller, key=lambda one: (size_of(one[0]), one[1].final_loss))
    return [placed[0], second, *(one for one in placed[1:] if one is not second)]


def without_guesses(contest: Race, placed: Placed, steps: int) -> Placed:
    """Leave out who is no better than a constant guess, where the best is and the control stands above both."""
    if not placed:
        return placed
    summit = contest.summit(steps, placed[0][1].final_loss)
    if summit == contest.mark(steps):
        return placed
    for label, reading in placed:
        if reading.final_loss >= summit:
            contest.standings.note(label, "race", reading, "it ends no better than a constant guess")
    return [one for one in placed if one[1].final_loss < summit]


def control_loss_until(control: Reading, steps: int, *, by_answers: bool = False) -> float:
    """The control's loss at the end of its first steps; where it was lost there, the loss it started from.

    Args:
        control: The diagnosed run.
        steps: Up to where it is looked at.
        by_answers: Take the share of wrong answers in place of the loss.
    """
    if not was_lost(control, steps, by_answers=by_answers):
        return end_loss(control, steps, by_answers=by_answers)
    return math.inf if control.start_loss is None else control.start_loss


def was_lost(control: Reading, steps: int, *, by_answers: bool = False) -> bool:
    """Whether the control has no finite loss at the end of its first steps, or failed within them."""
    is_over = control.run is not None and control.run.step_count <= steps
    has_failed = control.trial.status == "failed" and is_over
    return has_failed or not math.isfinite(end_loss(control, steps, by_answers=by_answers))


def end_loss(control: Reading, steps: int, *, by_answers: bool) -> float:
    """The control's mean loss, or share of wrong answers, at the end of its first steps; inf where none is known."""
    if control.run is None or not control.run.losses:
        return math.inf
    until = min(steps, control.run.step_count)
    return wrong_share(control.run, until) if by_answers else final_loss(control.run.losses[0], until)
