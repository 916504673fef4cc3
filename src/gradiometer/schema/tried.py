"""What trials of cures give: trials, what was tried in order, what is compared beside the verdict, the outcome."""

from dataclasses import dataclass
from typing import Literal

OutcomeVerdict = Literal["better", "worse", "not shown"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One short training run of a cure, or of the control.

    Attributes:
        cures: Labels of the cures applied; empty for the control.
        seed: Its seed; pairs share it.
        sieve: `remeasure`, `race` or `trial`.
        run_file: Path of its run file.
        status: `done`, `failed` (the script ended with an error), `refused` (the cure did not fit) or `stopped` (its
            time ran out).
        final_loss: Mean loss of the last fifth of its steps; inf where the loss was not finite there.
        step_count: Steps it took.
        elapsed_seconds: Its wall time from the first step to the last.
        is_paired: Its batches equal those of the control with the same seed; None where that is unknown.
        detail: Why it failed or refused.
    """

    cures: tuple[str, ...]
    seed: int
    sieve: str
    run_file: str
    status: str
    final_loss: float | None = None
    step_count: int = 0
    elapsed_seconds: float | None = None
    is_paired: bool | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was tried and what it gave, one line of the ranking.

    Attributes:
        cures: Labels of the cures.
        sieve: The last sieve that it reached: `chosen` (it was not tried), `remeasure`, `race` or `trial`.
        verdict: Its verdict, None where it did not reach the paired trials.
        final_loss: Mean final loss over its trials in that sieve.
        difference: Mean paired difference to the control (negative is better).
        interval: Confidence interval of that difference.
        detail: Why it went no further, in words.
        forecast_db: Level at the trunk's far end that theory foretold with it, relative to the output, dB; None where
            theory has nothing to say.
        range_db: Difference between the highest and the lowest level on the trunk in its first measured steps, dB.
        reason: Why it was tried, in words.
    """

    cures: tuple[str, ...]
    sieve: str
    verdict: OutcomeVerdict | None = None
    final_loss: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    detail: str = ""
    forecast_db: float | None = None
    range_db: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Contrast:
    """Control and treated compared once more, beside the verdict: by held-out loss, or at equal training time.

    Attributes:
        verdict: What this comparison alone would say, by the rule of the verdict.
        site: What is compared: the call of the loss, `file:line`, callers behind it after ` < `.
        control: Loss of the control in each pair.
        treated: Loss under the cure in each pair, in the same order.
        moments: Where each pair is compared: step of the evaluation, or seconds of training.
        difference: Mean of treated minus control (negative is better); None where there is none.
        interval: Confidence interval of that difference.
        confidence: Confidence of the interval.
        detail: What has to be known of it, in words.
    """

    verdict: OutcomeVerdict
    site: str
    control: tuple[float, ...] = ()
    treated: tuple[float, ...] = ()
    moments: tuple[float, ...] = ()
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something other than a loss by which a cure is compared with the control, beside the verdict.

    Attributes:
        name: `balance` (range of the levels on the trunk, dB), `fault_gone` (1 where the diagnosed fault is not found
            any more, else 0) or `accuracy` (share of right answers on training batches).
        control: Its value for the control in each pair.
        treated: Its value under the cure in each pair, in the same order.
        difference: Mean of treated minus control; None where there is none.
        interval: Confidence interval of that difference; None where there is none, as for `fault_gone`.
        verdict: What this endpoint alone would say.
        text: What it says, in a sentence.
        confidence: Confidence of the interval.
    """

    name: str
    control: tuple[float, ...]
    treated: tuple[float, ...]
    difference: float | None
    interval: tuple[float, float] | None
    verdict: OutcomeVerdict
    text: str
    confidence: float = 0.95


@dataclass(frozen=True, slots=True)
class Outcome:
    """What trying cures has proved.

    Attributes:
        verdict: `better`, `worse` or `not shown`, for the best cure against the control.
        cures: Labels of that cure's parts; empty where nothing was tried.
        control: Final loss of the control, by seed; seeds of which a trial did not train to its end are left out.
        treated: Final loss under the cure, by the same seeds.
        difference: Mean paired difference treated minus control.
        interval: Its confidence interval.
        confidence: Confidence of the interval, already corrected for the number of cures in the last sieve.
        is_paired: Batches of every pair were equal.
        control_shows_fault: The control had the fault again; without it nothing is proved.
        ranking: All that was tried, best first.
        snippet: The winner's change as code; empty where nothing is proved.
        detail: The verdict's reason in a sentence.
        held_out: The cure by held-out loss, one contrast for each call of a loss in the script's evaluations, the
            first seen first; empty where there is none to compare, None where nobody looked (an older run file).
        held_out_detail: Why there is none, in words.
        equal_time: The cure by the training loss at equal training time, None where it was not measured.
        endpoints: The cure by what is no loss, as far as it was measured.
    """

    verdict: OutcomeVerdict
    cures: tuple[str, ...] = ()
    control: tuple[float, ...] = ()
    treated: tuple[float, ...] = ()
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    is_paired: bool = True
    control_shows_fault: bool = True
    ranking: tuple[Ranking, ...] = ()
    snippet: str = ""
    detail: str = ""
    held_out: tuple[Contrast, ...] | None = None
    held_out_detail: str = ""
    equal_time: Contrast | None = None
    endpoints: tuple[Endpoint, ...] = ()
