"""From candidates to an outcome: preludes, three sieves, and what they prove."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradiometer.curing.choosing import Candidate
from gradiometer.curing.trials.contrasting import equal_time_contrast, held_out_contrasts, why_no_held_out
from gradiometer.curing.trials.endpoints import endpoints_of
from gradiometer.curing.trials.faults import share_a_fault
from gradiometer.curing.trials.finals import Finals, choose_winner, hold_finals, other_sites, ranking_of
from gradiometer.curing.trials.lateness import lateness_in_words
from gradiometer.curing.trials.pairing import Reading
from gradiometer.curing.trials.pairs import pairs_after_race, pairs_for_motion, pairs_without_winner
from gradiometer.curing.trials.plan import Plan
from gradiometer.curing.trials.preludes import resolve_labels
from gradiometer.curing.trials.runner import TrialRunner
from gradiometer.curing.trials.sieves import (
    Placed,
    Race,
    Standings,
    control_loss_until,
    race,
    race_of_slow_starters,
    remeasure,
)
from gradiometer.curing.trials.strain import Strain
from gradiometer.diagnosing import diagnose
from gradiometer.prescribing import cure_names
from gradiometer.schema import Finding, Outcome
from gradiometer.units import format_number

Changes = tuple[dict[str, object], ...]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One case's way through the sieves.

    Attributes:
        runner: What runs trials.
        diagnosed: The diagnosed run.
        findings: What is to be cured, worst first.
        plan: Steps, seeds and finalists.
        left_out: Names of cures that are not to be part of a pair.
        standings: Where every candidate stands.
    """

    runner: TrialRunner
    diagnosed: Reading
    findings: tuple[Finding, ...]
    plan: Plan
    left_out: frozenset[str] = frozenset()
    standings: Standings = field(default_factory=Standings)

    def resolve(self, labels: Sequence[str]) -> list[str]:
        """Run the preludes of some labels; those that can't be tried are noted with the reason.

        Returns:
            Labels that can be run, each once.
        """
        refusals: dict[str, str] = {}
        resolved = resolve_labels(self.runner, labels, refusals, self.diagnosed.run)
        for label, reason in refusals.items():
            self.standings.note(label, "remeasure", None, reason)
        for label, ready in resolved.items():
            self.standings.rename(label, ready)
        return list(dict.fromkeys(resolved.values()))

    def resolve_pairs(self, labels: Sequence[str]) -> list[str]:
        """As `resolve`, for pairs; those with a part that is left out are not tried."""
        return self.resolve([label for label in labels if not cure_names(label) & self.left_out])

    def shows_fault(self, reading: Reading) -> bool:
        """Whether a training shows the fault: the same condition or cause, or the same failure."""
        if reading.trial.status == "failed":
            was_failed = self.diagnosed.trial.status == "failed"
            return was_failed or any(finding.condition == "non_finite" for finding in self.findings)
        if reading.run is None:
            return False
        return share_a_fault(diagnose(reading.run).findings, self.findings)


def try_cures(attempt: Attempt, candidates: Sequence[Candidate]) -> tuple[Outcome, Changes]:
    """Go through the three sieves.

    Args:
        attempt: The case.
        candidates: The cures to try, the most promising first.

    Returns:
        The outcome, and the winner's changes, part by part.
    """
    runner, plan, standings = attempt.runner, attempt.plan, attempt.standings
    labels = expected(attempt, candidates)
    kept = remeasure(runner, labels, standings) if labels else []
    kept += remeasure(runner, fresh, standings) if (fresh := attempt.resolve_pairs(pairs_for_motion(kept))) else []
    finalists = hold_race(attempt, kept) if kept else []
    if not finalists:
        reason = "no cure went on training any better than the untouched script"
        steps = f"{plan.steps} steps" if kept else "the first steps"
        told = [f"{reason} in {steps}", lateness_in_words({"trials": runner.readings})]
        return Outcome("not shown", ranking=standings.in_order(), detail="; ".join(filter(None, told))), ()
    names = [label for label, _ in finalists]
    alone = {label: parts_alone(label, attempt) for label in names}
    finals = hold_finals(runner, names, plan, attempt.shows_fault, len(standings.rankings))
    for label in finals.comparisons:
        standings.place(ranking_of(label, finals))
    return outcome_of(finals, attempt, alone)


def expected(attempt: Attempt, candidates: Sequence[Candidate]) -> list[str]:
    """The candidates' labels, ready to run, with what theory foretells of each noted."""
    for candidate in candidates:
        attempt.standings.expect(candidate.label, candidate.forecast_db, candidate.reason)
    return attempt.resolve([candidate.label for candidate in candidates])


def hold_race(attempt: Attempt, kept: Sequence[tuple[str, Strain]]) -> Placed:
    """Second sieve: the candidates that the first steps speak for, and pairs of them."""

    def find_pairs(placed: Sequence[str], is_cured: bool) -> list[str]:  # noqa: FBT001 - called in one place
        pairs = pairs_after_race(placed, is_cured=is_cured) if placed else pairs_without_winner(kept)
        return attempt.resolve_pairs(pairs)

    contest = Race(attempt.runner, attempt.diagnosed, attempt.plan, attempt.standings, find_pairs, attempt.shows_fault)
    return race(contest, [label for label, _ in kept]) or race_of_slow_starters(contest)


def parts_alone(label: str, attempt: Attempt) -> str:
    """What each part of a pair gave by itself in the race, in words; empty for a single cure."""
    if "+" not in label:
        return ""
    rankings = attempt.standings.rankings
    told = []
    for part in label.split("+"):
        known = rankings.get(part)
        if known is not None and known.sieve == "race" and known.final_loss is not None:
            told.append(f"{part} {format_number(known.final_loss)}")
    together = rankings[label].final_loss
    if not told or together is None:
        return ""
    steps = attempt.plan.race_steps[-1]
    control = control_loss_until(attempt.diagnosed, steps, by_answers=attempt.runner.judges_answers)
    return (
        f"in the race, {steps} steps: untouched {format_number(control)}, alone {', '.join(told)}, "
        f"together {format_number(together)}"
    )


def outcome_of(finals: Finals, attempt: Attempt, alone: dict[str, str]) -> tuple[Outcome, Changes]:
    """Put the last sieve's result into words and numbers."""
    winner = choose_winner(finals)
    assert winner is not None
    comparison = finals.comparisons[winner]
    verdict = comparison.verdict if finals.shows_fault else "not shown"
    changes = changes_of(finals.treated[winner]) if verdict == "better" else ()
    match = finals.match_of(winner)
    held_out = held_out_contrasts(match)
    outcome = Outcome(
        verdict=verdict,
        cures=tuple(winner.split("+")),
        control=tuple(control.final_loss for control, _ in finals.finished_pairs(winner)),
        treated=tuple(treated.final_loss for _, treated in finals.finished_pairs(winner)),
        difference=comparison.difference,
        interval=comparison.interval,
        confidence=comparison.confidence,
        is_paired=finals.paired[winner],
        control_shows_fault=finals.shows_fault,
        ranking=attempt.standings.in_order(),
        snippet=snippet_of(changes),
        detail="; ".join(filter(None, reasons_of(finals, winner, attempt, alone.get(winner, "")))),
        held_out=held_out,
        held_out_detail="" if held_out else why_no_held_out(match),
        equal_time=None if attempt.runner.judges_answers else equal_time_contrast(match),
        endpoints=endpoints_of(match, attempt.findings),
    )
    return outcome, changes


def reasons_of(finals: Finals, winner: str, attempt: Attempt, alone: str) -> list[str]:
    """Why the last sieve says what it says, what its parts gave alone, and what weakens it; some may be empty."""
    treated = finals.treated[winner]
    groups = {"trainings of the untouched script": finals.controls, "trainings with the cure": treated}
    reasons = [lateness_in_words(groups)]
    if not finals.shows_fault:
        reasons.append(missing_fault_in_words(finals, attempt))
    reasons += [finals.comparisons[winner].detail, alone, other_sites(finals, winner)]
    if any(reading.trial.is_paired is None for reading in treated):
        reasons.append("whether every pair saw the same batches could not be told")
    if attempt.runner.judges_answers:
        reasons.append("compared are shares of wrong answers, for the script's loss does not tell what was learned")
    return reasons


def missing_fault_in_words(finals: Finals, attempt: Attempt) -> str:
    """Say in how many trials the fault showed again, and whether they were too short for it."""
    told = f"the untouched script showed its fault in {finals.fault_count} of {len(finals.controls)} trials only"
    steps = 0 if attempt.diagnosed.run is None else attempt.diagnosed.run.step_count
    if attempt.plan.steps < steps:
        told += (
            f", which had time for {attempt.plan.steps} of the {steps} steps in which it was found (--seconds allows "
            "more, --steps sets them)"
        )
    return f"{told}, so there is nothing to prove a cure on"


def changes_of(readings: Sequence[Reading]) -> Changes:
    """What a cure changed, from the first of its trials that tells."""
    for reading in readings:
        changes = reading.run.facts.get("cure_changes") if reading.run is not None else None
        if isinstance(changes, list) and changes:
            return tuple(dict(change) for change in changes)
    return ()


def snippet_of(changes: Sequence[dict[str, object]]) -> str:
    """All changes as code, with a line before each that says where it belongs."""
    places = {
        "before_optimizer": "# After the model is made, before the optimizer is:",
        "after_optimizer": "# After the optimizer is made:",
    }
    parts = [f"{places[str(change['placement'])]}\n{str(change['snippet']).strip()}\n" for change in changes]
    return "\n".join(parts)
