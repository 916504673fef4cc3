"""The story of a run: what was run, what happened in it, what of the gradient is left and why, what was found.

A story holds sentences in the order in which they are read, and beside them the numbers that they say, for JSON.
Which words a cure has is known where things are shown, so a story names cures by their labels.
"""

from dataclasses import dataclass

from gradiometer.explaining.budget_words import LevelStory, tell_level, tell_updates
from gradiometer.explaining.moments import Moment
from gradiometer.explaining.timeline import consequence_words, said, tell_timeline
from gradiometer.schema import Diagnosis, Finding, Prediction, Run, Verdict
from gradiometer.units import format_db, format_number, format_seconds


@dataclass(frozen=True, slots=True)
class Reason:
    """Why one finding is there, and what follows.

    Attributes:
        condition: The condition found.
        step: First step at which it could be told.
        sentences: Cause, other causes, consequences and what happens if nothing is done.
    """

    condition: str
    step: int
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """What happened in a run.

    Attributes:
        verdict: Verdict of the diagnosis.
        headline: The worst finding in a sentence or two; why there is no verdict where it is unknown; else empty.
        opening: What was run, in sentences.
        moments: What happened, in order.
        level: How the gradient changes on its way back, by cause.
        updates: How far a step moves weights, in sentences.
        reasons: Why, finding by finding, worst first.
        cures: Labels of the cures that fit the worst finding, best first.
        prediction: What one change would give, where that was foretold.
        limits: What this story does not rest on, in sentences.
    """

    verdict: Verdict
    headline: str
    opening: tuple[str, ...]
    moments: tuple[Moment, ...]
    level: LevelStory
    updates: tuple[str, ...]
    reasons: tuple[Reason, ...]
    cures: tuple[str, ...]
    prediction: Prediction | None
    limits: tuple[str, ...]


def tell_story(run: Run, diagnosis: Diagnosis, snapshot_index: int | None) -> Story:
    """Tell a run's story.

    Args:
        run: The run, also one without any measurement, one that goes on, or one that broke off.
        diagnosis: What was found in it.
        snapshot_index: The full measurement whose gain budget is told; None for none.
    """
    worst = diagnosis.findings[0] if diagnosis.findings else None
    is_headline = worst is not None and diagnosis.verdict != "healthy"
    # What is too early to tell of a healthy run is said with its verdict.
    reason = diagnosis.reason if diagnosis.verdict == "unknown" else ""
    return Story(
        verdict=diagnosis.verdict,
        headline=said(worst.summary) if worst is not None and is_headline else said(reason),
        opening=opening_of(run),
        moments=tell_timeline(run, diagnosis),
        level=tell_level(run, snapshot_index),
        updates=tell_updates(run),
        reasons=tuple(
            reason_of(finding, is_headline=is_headline and finding is worst)
            for finding in diagnosis.findings
            if finding.severity != "info"
        ),
        cures=worst.cures if worst is not None else (),
        prediction=worst.prediction if worst is not None else None,
        limits=limits_of(run, diagnosis),
    )


def opening_of(run: Run) -> tuple[str, ...]:
    """What was run: script, network, optimizers, steps and time."""
    facts = run.facts
    sentences = []
    script = str(facts.get("script") or "")
    subject = script if script not in {"", "interactive"} else "A training loop"
    optimizers = list(dict.fromkeys(one.optimizer for one in run.parameters if one.optimizer))
    named = optimizers or [str(facts["optimizer"])] if facts.get("optimizer") or optimizers else []
    trained = f"{subject} trained{network_words(run)}"
    trained += f" with {' and '.join(named)}" if named else ""
    rate = first_rate(run)
    trained += f" (learning rate {format_number(rate)})" if rate is not None else ""
    seconds = facts.get("training_seconds")
    steps = f"{run.step_count} step{'s' if run.step_count != 1 else ''}"
    time = f" in {format_seconds(float(seconds))}" if isinstance(seconds, int | float) and seconds > 0 else ""
    sentences.append(f"{trained} for {steps}{time}.")
    if run.snapshot_count:
        count = int(facts.get("full_measurement_count") or run.snapshot_count)
        first, last = int(run.snapshot_steps[0]), int(run.snapshot_steps[-1])
        reach = f"at step {first}" if first == last else f"between step {first} and step {last}"
        sentences.append(f"{count} of these were measured in full, {reach}.")
    return tuple(sentences)


def network_words(run: Run) -> str:
    """How large the network is; empty where neither layers nor parameters are known."""
    count = run.facts.get("parameter_count") or sum(parameter.element_count for parameter in run.parameters)
    weights = f"{int(count):,} parameters" if count else ""
    if run.layers:
        layers = f"{len(run.layers)} layer{'s' if len(run.layers) != 1 else ''}"
        return f" a network of {layers}" + (f" and {weights}" if weights else "")
    return f" a network of {weights}" if weights else ""


def first_rate(run: Run) -> float | None:
    """The first learning rate on record, None where there is none."""
    rates = run.step_columns.get("learning_rate")
    known = [] if rates is None else [rate for rate in rates[:1000].tolist() if rate == rate]
    return known[0] if known else None


def reason_of(finding: Finding, *, is_headline: bool) -> Reason:
    """Why a finding is there and what follows from it; what was found, too, where the headline does not say it."""
    share = finding.cause.share_db
    number = f" ({format_db(share)})" if share is not None and format_db(share) not in finding.cause.text else ""
    sentences = [] if is_headline else [said(finding.summary)]
    sentences.append(said(f"the cause: {finding.cause.text}{number}"))
    if finding.other_causes:
        others = "; ".join(cause.text.rstrip(".") for cause in finding.other_causes[:2])
        sentences.append(said(f"beside it: {others}"))
    sentences.append(consequence_words(finding).strip())
    if finding.prognosis:
        sentences.append(said(f"if nothing is done: {finding.prognosis}"))
    return Reason(finding.condition, finding.step, tuple(sentence for sentence in sentences if sentence))


def limits_of(run: Run, diagnosis: Diagnosis) -> tuple[str, ...]:
    """What was not seen, and what that leaves open."""
    coverage = diagnosis.coverage if diagnosis.coverage.total_count else run.coverage
    sentences = []
    if coverage.total_count or coverage.notes:
        sentences.append(said(coverage.line))
    if run.facts.get("status") == "running":
        sentences.append("The run was not over when this was read: later steps may tell another story.")
    return tuple(sentences)
