"""Compares a cure with the control in two more ways beside the verdict: by held-out loss, and at equal training time.

Neither changes the verdict, which is about what a cure is for: a training that works. The held-out loss of a network
that learns may well lie above that of one that stays at chance, so that a cure is not refused for it; and what a cure
costs in time per step depends on the machine. Both are said beside the verdict, with a warning where they point
the other way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradiometer.curing.trials.pairing import Reading, final_loss, original_losses
from gradiometer.curing.trials.verdict import Pair, compare
from gradiometer.schema import Contrast, FloatArray, Run

SHOWN_RATIO = 1.05
"""A step that takes this many times as long is called slower, one that takes as many times less faster."""


@dataclass(frozen=True, slots=True)
class Match:
    """The trials that are compared.

    Attributes:
        pairs: Control and treated reading of each seed.
        is_paired: Both of every pair saw the same batches.
        comparison_count: Cures that are compared with this control.
    """

    pairs: tuple[tuple[Reading, Reading], ...]
    is_paired: bool = True
    comparison_count: int = 1

    def contrast(self, site: str, pairs: Sequence[Pair], moments: Sequence[float], detail: str = "") -> Contrast:
        """Compare by some losses, by the rule of the verdict."""
        comparison = compare(pairs, is_paired=self.is_paired, comparison_count=self.comparison_count)
        return Contrast(
            verdict=comparison.verdict,
            site=site,
            control=tuple(pair.control for pair in pairs),
            treated=tuple(pair.treated for pair in pairs),
            moments=tuple(moments),
            difference=comparison.difference,
            interval=comparison.interval,
            confidence=comparison.confidence,
            detail="; ".join(text for text in (detail, comparison.detail) if text),
        )


def evaluations_of(run: Run | None) -> dict[str, dict[int, float]]:
    """The held-out losses that a trial has noted.

    Returns:
        By call site, the first seen first, the mean loss of each evaluation by the steps taken before it; inf where
        one of its losses was not finite.
    """
    noted = {} if run is None else run.facts.get("evaluation") or {}
    losses = noted.get("losses") or {}
    return {str(site): {int(step): float(loss) for step, loss in rows} for site, rows in losses.items()}


def held_out_contrasts(match: Match) -> tuple[Contrast, ...]:
    """Compare by held-out loss, at the last evaluation that both of a pair reached.

    Returns:
        One contrast for each call site that any pair has in common, in the order of the first control.
    """
    noted = [(evaluations_of(control.run), evaluations_of(treated.run)) for control, treated in match.pairs]
    sites = dict.fromkeys(site for controls, treated in noted for site in controls if site in treated)
    contrasts = []
    for site in sites:
        pairs, steps = [], []
        for controls, treated in noted:
            common = controls.get(site, {}).keys() & treated.get(site, {}).keys()
            if common:
                last = max(common)
                start = next((loss for loss in controls[site].values() if np.isfinite(loss)), None)
                pairs.append(Pair(controls[site][last], treated[site][last], start))
                steps.append(float(last))
        if pairs:
            contrasts.append(match.contrast(site, pairs, steps))
    return tuple(contrasts)


def why_no_held_out(match: Match) -> str:
    """Why there is no held-out loss to compare, in words."""
    runs = [reading.run for pair in match.pairs for reading in pair if reading.run is not None]
    noted = [run.facts.get("evaluation") or {} for run in runs]
    fault = next((str(facts["fault"]) for facts in noted if facts.get("fault")), "")
    if fault:
        return f"its held-out losses could not be noted ({fault})"
    if any(facts.get("forward_count") for facts in noted):
        return "the script evaluates in these steps, but computes no loss of torch.nn there"
    return "the script does not evaluate in these steps"


def equal_time_contrast(match: Match) -> Contrast | None:
    """Compare by the training loss that both of a pair reached in the time that the quicker one took in all.

    Returns:
        The contrast; its moments are these times. None where the time of no pair is known.
    """
    pairs, seconds, ratios, site = [], [], [], ""
    for control, treated in match.pairs:
        if control.run is None or treated.run is None or not (control.run.losses and treated.run.losses):
            continue
        durations = step_durations(control.run), step_durations(treated.run)
        if not (len(durations[0]) and len(durations[1])):
            continue
        limit = min(float(durations[0].sum()), float(durations[1].sum()))
        pairs.append(
            Pair(
                loss_after(control, durations[0], limit),
                loss_after(treated, durations[1], limit),
                control.start_loss or treated.start_loss,
            )
        )
        seconds.append(limit)
        ratios.append(float(np.median(durations[1]) / max(float(np.median(durations[0])), 1e-9)))
        site = site or control.run.losses[0].site
    return match.contrast(site, pairs, seconds, pace_in_words(ratios)) if pairs else None


def step_durations(run: Run) -> FloatArray:
    """Time of every step without measuring, seconds [step]; the median stands for those that were not recorded.

    Empty where no step's time was recorded.
    """
    durations = np.full(run.step_count, np.nan)
    spent = run.step_columns["step_seconds"] - np.nan_to_num(run.step_columns["measuring_seconds"])
    durations[run.steps] = np.maximum(spent, 0.0)
    if np.isnan(durations).all():
        return np.zeros(0)
    return np.where(np.isnan(durations), np.nanmedian(durations), durations)


def loss_after(reading: Reading, durations: FloatArray, seconds: float) -> float:
    """Mean loss of the last fifth of the steps that were done after some training time; inf for a failed training."""
    assert reading.run is not None
    if reading.trial.status == "failed":
        return float("inf")
    # Rounding of the sum must not cost the quicker one its last step.
    done_count = int(np.searchsorted(np.cumsum(durations), seconds * (1.0 + 1e-9), side="right"))
    return final_loss(original_losses(reading.run) or reading.run.losses[0], max(done_count, 1))


def pace_in_words(ratios: Sequence[float]) -> str:
    """How long a step takes under the cure.

    Example:
        >>> pace_in_words([1.5, 1.4, 1.6]), pace_in_words([1.0, 1.01]), pace_in_words([0.5])
        ('a step takes 1.5 times as long with it', '', 'a step takes 0.50 times as long with it')
    """
    ratio = float(np.median(ratios))
    if 1.0 / SHOWN_RATIO < ratio < SHOWN_RATIO:
        return ""
    return f"a step takes {ratio:.{1 if ratio >= 1.0 else 2}f} times as long with it"
