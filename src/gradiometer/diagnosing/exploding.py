"""The gradient grows on its way back, and the early layers are thrown about.

What it finds:
    A level that rises towards the input by a factor of a hundred and more, with early weights that move by a tenth
    of their size and more in a step, and a loss that suffers. A rising level whose layers move normally (under Adam,
    behind batch normalisation, after clipping) is no finding. And weights drawn four times the critical scale and
    more, with a loss that begins far above a constant guess and has not come far down: there the signal grows on its
    way forward by as much as the gradient would on its way back.

Why it matters:
    One learning rate has to serve all layers: small enough for the first, it does nothing for the last; right for
    the last, it throws the first about until their units saturate, die, or the numbers overflow.

What cures it:
    Weights at the critical scale, normalising layers, a bound on the gradient's norm.

Source:
    Bengio, Simard, Frasconi 1994; Pascanu, Mikolov, Bengio 2013 (clipping); Glorot and Bengio 2010. Published
    thresholds on the norm alone lie between 50 and 10 000; AUTOTRAINER's ratio of 70 flags 14 of 15 healthy runs.
"""

import math

import numpy as np

from gradiometer.diagnosing.causes import winning_causes
from gradiometer.diagnosing.drawn_scale import cause_of_scale, drawn_large
from gradiometer.diagnosing.learned_well import constant_loss
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.levels import growth_of
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.onsets import first_onset, step_at
from gradiometer.diagnosing.predictions import predict_level
from gradiometer.diagnosing.unopened import gradient_levels, is_unopened
from gradiometer.diagnosing.weight_motion import WeightMotion, weight_motions
from gradiometer.gain_budget import GainBudget, gain_budget
from gradiometer.prescribing import cures_for
from gradiometer.schema import Evidence, Finding, FloatArray, Run, Severity
from gradiometer.units import format_db, format_number


def find_exploding(
    run: Run, *, least_growth_db: float = 40.0, most_ratio: float = 0.1, settled_share: float = 0.3
) -> list[Finding]:
    """Find a gradient that grows on its way back.

    Args:
        run: The run.
        least_growth_db: Rise of the level from the output that counts; deep networks with batch normalisation and no
            residual paths reach 39 dB and train well.
        most_ratio: Update ratio of a layer behind the rise that shows that it hurts; a hundred times the usual.
        settled_share: Share of its start, or of a constant guess' loss, to which the loss has to have come down for
            it to be no more than an `info`.

    Returns:
        One finding or none; `warning` where the loss falls all the same, `info` where it has come far down.
    """
    if not run.snapshot_count or ("level_db" not in run.layer_columns and not is_unopened(run)):
        return []
    growth = growth_of(run)
    thrown = greatest_ratios(weight_motions(run), run.snapshot_count)
    onset = first_onset((np.nan_to_num(growth) >= least_growth_db) & (np.nan_to_num(thrown) >= most_ratio))
    loss = judge_loss(run)
    if onset is None:
        return find_growing_signal(run, loss, settled_share)
    severity: Severity = "critical"
    if loss.is_learning:
        severity = "info" if loss.is_settled(settled_share) else "warning"
    return [describe(run, onset, (float(growth[onset]), float(thrown[onset])), severity, loss, least_growth_db)]


def describe(
    run: Run,
    onset: int,
    growth_and_ratio: tuple[float, float],
    severity: Severity,
    loss: LossMotion,
    least_growth_db: float,
) -> Finding:
    """The finding in words."""
    growth_db, ratio = growth_and_ratio
    step, budget = step_at(run, onset), gain_budget(run, onset)
    cause, *others = winning_causes(run, budget)
    cures = cures_for("exploding", cause.name)
    layers = growing_layers(run, onset, budget, least_growth_db)
    return Finding(
        condition="exploding",
        severity=severity,
        layers=layers,
        cause=cause,
        evidence=evidence_of(growth_db, ratio, step, loss),
        cures=cures,
        summary=(
            f"The gradient grows on its way back, by {format_db(growth_db)} at step {step}{from_layer(layers)}, and "
            f"throws early weights about: one step moves them by {format_number(ratio)} of their size. The "
            f"main cause: {cause.text}."
        ),
        prognosis="Early layers are driven into saturation, death or overflow within a few steps.",
        step=step,
        other_causes=tuple(others),
        prediction=predict_level(run, onset, budget, cures),
    )


def find_growing_signal(run: Run, loss: LossMotion, settled_share: float, *, least_start: float = 3.0) -> list[Finding]:
    """Find weights drawn so large that the signal, and with it the loss, explodes on its way forward.

    Args:
        run: The run.
        loss: What its loss does.
        settled_share: Share of a constant guess' loss to which it has to have come down for it to be an `info`.
        least_start: First loss over that of a constant guess; weights near the critical scale give about 1 for
            classes, and rarely more than 3 for numbers.

    Returns:
        One finding or none; `warning` where the loss has come below that of a constant guess.
    """
    found = drawn_large(run)
    guesses = (constant_loss(run), loss.chance, loss.possible_chance)
    guess = next((known for known in guesses if known is not None and known > 0.0), math.nan)
    if not found or not (max(loss.first, loss.start) >= least_start * guess):
        return []
    severity: Severity = "critical" if loss.is_harmed or loss.end >= guess else "warning"
    if loss.is_settled(settled_share):
        severity = "info"
    cause = cause_of_scale(found)
    cures = cures_for("exploding", cause.name)
    return [
        Finding(
            condition="exploding",
            severity=severity,
            layers=tuple(one.layer for one in found),
            cause=cause,
            evidence=(
                Evidence("weights above the critical scale", found[0].excess_db, "dB", cause.text),
                Evidence("first loss", loss.first, "", f"a constant guess gives {format_number(guess)}"),
                Evidence("fall of the loss", loss.fall_share, "", loss.text),
            ),
            cures=cures,
            summary=(
                f"The signal explodes on its way forward: {cause.text}, so the loss begins at "
                f"{format_number(loss.first)} where a constant guess gives {format_number(guess)}, and {loss.text}."
            ),
            prognosis="Much of the training goes into undoing how the weights were drawn, in steps too small for them.",
            step=step_at(run, 0),
            prediction=predict_level(run, 0, gain_budget(run, 0), cures),
        )
    ]


def greatest_ratios(motions: tuple[WeightMotion, ...], snapshot_count: int) -> FloatArray:
    """Greatest update ratio of any layer but the output's in each full measurement; 0 where none was measured."""
    if len(motions) < 2:
        return np.zeros(snapshot_count)
    ratios: FloatArray = np.nan_to_num(np.stack([motion.ratios for motion in motions[1:]]))
    return np.asarray(ratios.max(axis=0))


def growing_layers(run: Run, onset: int, budget: GainBudget, least_growth_db: float) -> tuple[str, ...]:
    """Layers at which the level stands above the threshold, the one nearest the loss first."""
    if is_unopened(run):
        names, levels = gradient_levels(run)
        risen = [name for name, level in zip(names, levels[onset], strict=True) if level >= least_growth_db]
        return tuple(reversed(risen))
    return tuple(
        entry.layer for entry in budget.entries if not math.isnan(entry.level_db) and entry.level_db >= least_growth_db
    )


def from_layer(layers: tuple[str, ...]) -> str:
    """Where it starts, in words."""
    return f" (above the threshold from {spoken(layers[0])} on)" if layers else ""


def evidence_of(growth_db: float, ratio: float, step: int, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    return (
        Evidence("growth of the level", float(growth_db), "dB", f"level rises by {format_db(float(growth_db))}"),
        Evidence(
            "greatest update ratio",
            float(ratio),
            "",
            f"step {step} moved a layer's weights by {format_number(float(ratio))} of their size",
        ),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    )
