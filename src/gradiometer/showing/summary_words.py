"""A run in four answers for who knows PyTorch and not this tool: what is wrong, why, what cures it, what to do next.

Wherever a number comes from is said in the sections below the summary; here every word has to be understood at once.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from gradiometer.schema import Cause, Diagnosis, Finding, Outcome, Run
from gradiometer.showing.outcome_words import outcome_warnings, written_mean
from gradiometer.showing.plain_reasons import CONDITION_LEADS, CURE_REASONS
from gradiometer.showing.wording import (
    OUTCOME_WORDS,
    command_of,
    cures_in_words,
    next_command,
    sentence,
    worst_finding,
)
from gradiometer.units import ratio_of

DECIBEL_NOTE = "(dB counts ratios: -20 dB is a tenth, -40 dB a hundredth, and so on.)"

SCALE_NOTE = "(The critical scale of weights is the one at which the gradient neither shrinks nor grows on its way.)"

LOST_ON_THE_WAY = frozenset({"vanishing", "exploding"})
"""Conditions whose causes share out the level between the ends of the network."""

COMMAND_NOTES: dict[str, str] = {
    "gradiometer cure": "Let cures be tried in short trainings beside the untouched script, to see which is proved:",
    "gradiometer docs": "Read what this fault is and what you can do about it, since no cure can do it unasked:",
    "gradiometer run": "Watch the script again, so that more is seen:",
}
"""Start of a command to what it is for."""

CAUSE_STARTS = ("The main cause", "The likely cause")
"""How a summary's sentence on the cause begins; the answer to why says the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the summary.

    Attributes:
        question: What it answers.
        sentences: The answer, each a paragraph.
        command: A command that belongs to it; empty where none does.
        has_code: The page has the change as code, to which the answer points.
    """

    question: str
    sentences: tuple[str, ...]
    command: str = ""
    has_code: bool = False


def answers_of(run: Run, diagnosis: Diagnosis, run_file: Path | None) -> tuple[Answer, ...]:
    """The four answers; fewer where nothing is wrong or too little was seen.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        run_file: The run file, which the command of a proved cure names.
    """
    finding = worst_finding(diagnosis)
    answers = []
    if finding is not None and diagnosis.verdict != "healthy":
        answers += [Answer("What is wrong", what_is_wrong(finding)), Answer("Why", why(finding))]
        answers.append(Answer("What cures it", what_cures(run, finding)))
    step = what_next(run, diagnosis, run_file)
    return (*answers, step) if step is not None else tuple(answers)


def what_is_wrong(finding: Finding) -> tuple[str, ...]:
    """What the worst finding means, where it is, and how much of it there is."""
    told = plainly(finding.summary)
    for start in CAUSE_STARTS:
        told = told.replace(plainly(f"{start}: {finding.cause.text}."), "").strip()
    if " dB" in told:
        told = f"{told} {DECIBEL_NOTE}"
    return tuple(words for words in (CONDITION_LEADS.get(finding.condition, ""), told) if words)


def why(finding: Finding) -> tuple[str, ...]:
    """Its causes, each with what it leaves of the gradient where that is known."""
    causes = (finding.cause, *finding.other_causes)
    told = tuple(f"{sentence(plainly(cause.text))} {share_words(finding, cause)}".strip() for cause in causes)
    return (*told, SCALE_NOTE) if any("critical scale" in words for words in told) else told


def share_words(finding: Finding, cause: Cause) -> str:
    """What a cause's decibels come to as a ratio; empty where they are not the gradient's, or too few to speak of."""
    if finding.condition not in LOST_ON_THE_WAY or cause.share_db is None or abs(cause.share_db) < 6.0:
        return ""
    how = "The factors multiply: this" if cause.name == "activation_slope" else "This"
    ratio = large_number(ratio_of(abs(cause.share_db)))
    if cause.share_db > 0:
        return f"{how} alone makes the gradient {ratio} times as large."
    return f"{how} alone leaves 1 part in {ratio} of the gradient."


def what_cures(run: Run, finding: Finding) -> tuple[str, ...]:
    """The cure with its proof, or what could be tried."""
    outcome = run.outcome
    if outcome is not None and outcome.verdict == "better":
        return (cure_sentence(outcome.cures), *proof_of(run, outcome))
    if outcome is not None:
        return (OUTCOME_WORDS[outcome.verdict], sentence(outcome.detail))
    if not finding.cures:
        return ("Nothing that can be changed from outside: the script itself has to be mended.",)
    named = finding.prediction.cure if finding.prediction else finding.cures[0]
    foretold = sentence(finding.prediction.text) if finding.prediction else ""
    return ("No cure has been tried yet.", f"First to try: {cure_sentence((named,))} {foretold}".strip())


def cure_sentence(cures: tuple[str, ...]) -> str:
    """A cure in words, with why it helps."""
    kinds = [part.partition(":")[0] for label in cures for part in label.split("+")]
    reasons = dict.fromkeys(CURE_REASONS[kind] for kind in kinds if kind in CURE_REASONS)
    because = f": {'; '.join(reasons)}" if reasons else ""
    return sentence(f"{cures_in_words(cures)}{because}")


def proof_of(run: Run, outcome: Outcome) -> tuple[str, ...]:
    """What proves it, in numbers, and what speaks against it."""
    steps = max((trial.step_count for trial in run.trials if trial.sieve == "trial"), default=0)
    length = f" of {steps:,} steps" if steps else ""
    pairs = len(outcome.treated)
    same = "from the same random numbers and on the same batches" if outcome.is_paired else "on batches that differed"
    told = [
        f"The proof: {pairs} {'pair' if pairs == 1 else 'pairs'} of short trainings{length}, one with the change and "
        f"one without, {same}. The training loss ended at {written_mean(outcome.control)} without it and at "
        f"{written_mean(outcome.treated)} with it."
    ]
    if outcome.interval is not None:
        low, high = outcome.interval
        certainty = f"{100 * outcome.confidence:.3g} % certainty"
        told.append(f"So the change takes {-high:.3g} to {-low:.3g} off the loss, with {certainty}.")
    told += [sentence(endpoint.text) for endpoint in outcome.endpoints if endpoint.name == "accuracy"]
    return (" ".join(told), *outcome_warnings(outcome))


def what_next(run: Run, diagnosis: Diagnosis, run_file: Path | None) -> Answer | None:
    """The command to type next, with what it does; None where there is nothing to do."""
    proved = run.outcome is not None and run.outcome.verdict == "better"
    script = command_of(run)
    has_code = run.outcome is not None and bool(run.outcome.snippet)
    if proved and script and run_file is not None:
        words = "Train the whole script with this cure; the script itself stays as it is:"
        return Answer(
            "What to do next", (words,), f"gradiometer run --cure {shlex.quote(str(run_file))} {script}", has_code
        )
    command = next_command(run, diagnosis, None)
    if not command:
        return Answer("What to do next", (), has_code=True) if has_code else None
    notes = [note for start, note in COMMAND_NOTES.items() if command.startswith(f"{start} ")]
    return Answer("What to do next", tuple(notes[:1]), command, has_code)


def plainly(text: str) -> str:
    """A text with its very large numbers in words.

    Example:
        >>> plainly("3.8e+08 times weaker, 1e-05 a step")
        '380 million times weaker, 1e-05 a step'
    """
    return re.sub(r"\b\d+(?:\.\d+)?e\+\d+\b", lambda found: large_number(float(found.group())), text)


def large_number(value: float) -> str:
    """A number above one as people say it, with two digits.

    Example:
        >>> large_number(3.84e8), large_number(1.04e6), large_number(305.2), large_number(4e31)
        ('380 million', '1 million', '305', '4e+31')
    """
    rounded = float(f"{value:.2g}")
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if rounded >= size * 1e5:
            return f"{value:.0e}"
        if rounded >= size:
            return f"{rounded / size:g} {word}"
    return f"{value:.0f}" if value < 1e3 else f"{rounded:,.0f}"
