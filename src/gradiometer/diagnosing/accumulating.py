"""Gradients are never zeroed, or zeroed at the wrong place.

What it finds:
    Steps that begin with gradients left over from earlier ones (`zero_grad` is missing, or called once an epoch), and
    steps that the optimizer takes with nothing in its hands, because the gradients were zeroed between `backward` and
    `step`. Gradients that are gathered over some batches on purpose, and zeroed after the step, are fine.

Why it matters:
    A gradient that is never zeroed is the sum of all that came before: every step goes on in directions that were
    asked for long ago, as with a momentum that never fades, and steps overshoot more and more. One that is zeroed too
    early moves nothing at all.

What cures it:
    `optimizer.zero_grad()` before `loss.backward()`, once for every `optimizer.step()`.

Source:
    PyTorch tutorials, "Zeroing out gradients"; the commonest fault of a hand-written loop in Humbatova et al.,
    "Taxonomy of Real Faults in Deep Learning Systems", 2020. The share from which on it counts is ours.
"""

import numpy as np
from numpy.typing import NDArray

from gradiometer.diagnosing.learned_well import severity_of_fault, snapshot_column, success_text
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Run
from gradiometer.units import format_number, format_share


def find_accumulating(
    run: Run, *, least_share: float = 0.1, least_stale_share: float = 0.3, least_count: int = 2
) -> list[Finding]:
    """Find gradients that are never zeroed, or zeroed too early.

    Args:
        run: The run.
        least_share: Norm of what was left over, as a share of the step's whole gradient, from which on it counts: a
            gradient that was not zeroed is most of the next one, and what a script leaves on purpose is nothing.
        least_stale_share: Share of the measured steps after the first in which that has to be so; a script that
            zeroes once an epoch does it in all but a few, one that skips a batch now and then in few.
        least_count: Measured steps in which it has to be so.

    Returns:
        One finding or none. Nothing where several optimizers or losses take turns: the gradients of one lie about
        while another steps, in the best of health.
    """
    emptied = find_emptied(run, least_count)
    if emptied:
        return emptied
    shares = stale_shares(run)
    is_stale = np.nan_to_num(shares) >= least_share
    count, later = int(is_stale.sum()), int(np.sum(~np.isnan(shares[1:])))
    if takes_turns(run) or count < least_count or count < least_stale_share * later:
        return []
    return [describe_stale(run, shares, is_stale, judge_loss(run))]


def takes_turns(run: Run) -> bool:
    """Whether several optimizers, or several losses, are trained in turns: a GAN's, an actor's and its critic's."""
    return len(run.facts.get("optimizers") or (None,)) > 1 or len(run.losses) > 1


def total_norms(run: Run, column: str) -> FloatArray:
    """Norm over all optimized parameters of one of the two gradient columns, in each full measurement."""
    numbers = run.parameter_columns.get(column)
    if numbers is None:
        return np.full(run.snapshot_count, np.nan)
    sizes = np.array([float(parameter.element_count) * parameter.is_optimized for parameter in run.parameters])
    known = ~np.isnan(numbers).all(axis=1)
    return np.where(known, np.sqrt(np.nansum(numbers**2 * sizes, axis=1)), np.nan)


def stale_shares(run: Run) -> FloatArray:
    """Norm of what was left over from earlier steps as a share of the step's gradient, in each full measurement."""
    stale, whole = snapshot_column(run, "stale_gradient_norm"), total_norms(run, "gradient_rms")
    # What is left over and the batch's own gradient may cancel in part; the greater of the two is the measure.
    scale = np.fmax(whole, stale)
    return np.divide(stale, scale, out=np.zeros_like(stale) + stale * 0.0, where=scale > 0.0)


def describe_stale(run: Run, shares: FloatArray, is_stale: NDArray[np.bool_], loss: LossMotion) -> Finding:
    """The finding in words, where gradients are not zeroed."""
    telling = np.flatnonzero(is_stale)
    stale = snapshot_column(run, "stale_gradient_norm")
    share, first, last = float(np.median(shares[telling])), float(stale[telling[0]]), float(stale[telling[-1]])
    text = "gradients of earlier steps are still there when a step's backward begins"
    severity = severity_of_fault(run, loss)
    return Finding(
        condition="accumulating",
        severity="warning" if severity == "info" else severity,
        layers=(),
        cause=Cause("accumulation", None, f"{text}: zero_grad is not called between them"),
        evidence=(
            Evidence("share left over", share, "", f"what is left over is {format_share(share)} of a step's gradient"),
            Evidence(
                "left over, norm", last, "", f"its norm went from {format_number(first)} to {format_number(last)}"
            ),
            Evidence(
                "steps", len(telling), "", f"so in {len(telling)} of {run.snapshot_count} steps that were measured"
            ),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("accumulating", "accumulation"),
        summary=(
            f"Gradients pile up: {text}, {format_share(share)} of what the optimizer is given; "
            f"{success_text(run, loss)}. Call optimizer.zero_grad() before loss.backward(), once for every step."
        ),
        prognosis="Every step repeats all that came before it, and overshoots the more the longer it goes on.",
        step=step_at(run, int(telling[0])),
    )


def find_emptied(run: Run, least_count: int) -> list[Finding]:
    """Find gradients that were there after backward and gone when the optimizer stepped: nothing moves at all."""
    is_emptied = emptied_steps(run)
    if int(is_emptied.sum()) < max(least_count, (run.snapshot_count + 1) // 2):
        return []
    loss, size = judge_loss(run), float(np.nanmedian(total_norms(run, "gradient_rms")[is_emptied]))
    text = "the gradients are zeroed after backward and before the optimizer steps"
    return [
        Finding(
            condition="accumulating",
            severity="critical",
            layers=(),
            cause=Cause("accumulation", None, text),
            evidence=(
                Evidence("gradient after backward", size, "", f"after backward its norm is {format_number(size)}"),
                Evidence("gradient at the step", 0.0, "", "when the optimizer steps there is none, and nothing moves"),
                Evidence("fall of the loss", loss.fall_share, "", loss.text),
            ),
            cures=cures_for("accumulating", "accumulation"),
            summary=(
                f"{text[:1].upper()}{text[1:]}, so no weight ever moves; {loss.text}. Call optimizer.zero_grad() "
                "before loss.backward(), and nothing between backward and step that clears gradients."
            ),
            prognosis="The network stays as it was drawn.",
            step=step_at(run, first_onset(is_emptied)),
        )
    ]


def emptied_steps(run: Run, *, least_move: float = 1e-5) -> NDArray[np.bool_]:
    """Which measured steps moved nothing at all although their gradients and the learning rate would have.

    Args:
        run: The run.
        least_move: Move that the gradient times the rate makes, as a share of the weights, from which on it can't
            have been lost in rounding: a float32 keeps a hundredth of that.
    """
    columns = run.parameter_columns
    if not {"update_rms", "gradient_rms", "weight_rms", "learning_rate"} <= set(columns):
        return np.zeros(run.snapshot_count, dtype=bool)
    moved, wanted = columns["update_rms"], columns["learning_rate"] * columns["gradient_rms"]
    is_wanted = np.nan_to_num(wanted) > least_move * np.nan_to_num(columns["weight_rms"])
    is_still = (np.nan_to_num(moved) == 0.0).all(axis=1) & ~np.isnan(moved).all(axis=1)
    return np.asarray(is_still & is_wanted.any(axis=1) & ~skipped(run))


def skipped(run: Run) -> NDArray[np.bool_]:
    """Whether a gradient scaler skipped the step of each full measurement."""
    flags = run.step_columns.get("is_skipped")
    if flags is None:
        return np.zeros(run.snapshot_count, dtype=bool)
    steps = {int(step) for step, flag in zip(run.steps, flags, strict=True) if flag == 1.0}
    return np.array([int(step) in steps for step in run.snapshot_steps], dtype=bool)
