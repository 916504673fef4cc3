"""The loss goes nowhere, whatever the cause.

What it finds:
    A loss that after three hundred steps and more has not fallen by more than its noise and 3 %, sits where the best
    constant guess would be or above it, has gone back to where it came from, or has won next to nothing over a
    constant guess in a thousand steps; and is not low already. Also one that creeps: it falls, but after three hundred
    steps it has won less than a quarter, and its weights move by less than a fifth of what is usual.

Why it matters:
    It is what all other conditions lead to. Alone it says that the network can learn nothing from what it is given
    as it is given: labels that do not belong to their inputs, an input without signal, a loss that does not match.

What cures it:
    What cures its cause, where another condition names one; it is then listed under that one. Alone: look at the
    data first, then normalise, redraw the weights, or change the learning rate in both directions.

Source:
    The criterion is ours, from the calibration trainings in docs/log.md; published ones count epochs (AUTOTRAINER:
    accuracy gained less than 1 %) and take a converged network for a stalled one.
"""

import math

import numpy as np

from gradiometer.diagnosing.learning import LossLimits, LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.unopened import is_unopened, last_weights
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, late_median, moving, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity
from gradiometer.units import decibels, format_number


def find_stalled(
    run: Run, *, least_steps: int = 300, most_gain_share: float = 0.25, slow_ratio: float = 2e-4
) -> list[Finding]:
    """Find a loss that goes nowhere.

    Args:
        run: The run.
        least_steps: Steps below which a loss that lies still says nothing; see `LossLimits`.
        most_gain_share: Gain over a constant guess below which a loss that still falls has come down but little.
        slow_ratio: Update ratio of the middle layer below which that is no plateau but steps that are too small: a
            fifth of the usual; healthy networks that have won so little by then move a thousandth a step and more.

    Returns:
        One finding or none. `info` where nobody can tell a loss that lies still because it is as low as it gets from
        one that never fell: where it is not known what a constant guess gives.
    """
    loss = judge_loss(run, LossLimits(least_steps=least_steps))
    if is_creeping(run, loss, least_steps, most_gain_share, slow_ratio):
        return [describe_creeping(run, loss, least_steps)]
    if loss.state not in {"flat", "at_chance", "above", "relapsed"}:
        return []
    return [describe_still(run, loss, told_step(loss, least_steps))]


def describe_still(run: Run, loss: LossMotion, step: int) -> Finding:
    """The finding on a loss that lies still, in words."""
    ratio = middle_ratio(run)
    is_still = ratio == 0.0
    frozen = frozen_text(run) if math.isnan(ratio) else ""
    cause = standing_cause() if is_still else Cause("unknown", None, frozen or "the loss alone does not say why")
    moves = "whether the weights move was not measured" if math.isnan(ratio) else "the weights move"
    return Finding(
        condition="stalled",
        severity=severity_of(loss, is_presumed=is_unopened(run)),
        layers=(),
        cause=cause,
        evidence=(
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
            Evidence("noise of the loss", loss.noise, "", f"a single loss is {loss.noise:.2g} off its trend"),
            *accuracy_evidence(run),
        ),
        cures=() if frozen else fitting_cures(cause, is_still=is_still),
        summary=(
            f"The loss goes nowhere: {loss.text}, {meaning_of(loss)}{presumed_text(run, loss)}; "
            f"{cause.text if is_still or frozen else moves}."
        ),
        prognosis=(
            "More of the same steps will not change it. Where nothing else is found, check first that the labels "
            "belong to their inputs, and that the inputs hold what the labels ask for."
        ),
        step=step,
    )


def middle_ratio(run: Run) -> float:
    """Late update ratio of the middle layer; nan where none was measured."""
    late = np.array([motion.late_ratio for motion in weight_motions(run)])
    late = late[~np.isnan(late)]
    return float(np.median(late)) if len(late) else math.nan


def is_creeping(run: Run, loss: LossMotion, least_steps: int, most_gain_share: float, slow_ratio: float) -> bool:
    """Whether a loss falls, but has come down little after many steps, and the steps are small."""
    if loss.state != "falling" or loss.gain_share is None or loss.step_count < least_steps:
        return False
    return loss.gain_share < most_gain_share and middle_ratio(run) < slow_ratio


def describe_creeping(run: Run, loss: LossMotion, least_steps: int) -> Finding:
    """The finding on a loss that creeps, in words."""
    ratio = middle_ratio(run)
    is_still = ratio == 0.0
    cause = standing_cause() if is_still else pace_cause(ratio)
    fitting = fitting_cures(cause, is_still=is_still)
    raised = [label for label in fitting if label.startswith("change_learning_rate:x1")]
    return Finding(
        condition="stalled",
        severity="warning",
        layers=(),
        cause=cause,
        evidence=(
            Evidence("fall of the loss", loss.fall_share, "", f"{loss.text}; a constant guess gives {loss.chance:.4g}"),
            Evidence("update ratio", ratio, "", pace_text(ratio)),
        ),
        cures=tuple(dict.fromkeys([*raised, *fitting])),
        summary=f"The loss creeps: {loss.text}, where a constant guess gives {loss.chance:.4g}, and {cause.text}.",
        prognosis=(
            "Weights without a gradient stay as they are, however long the training."
            if is_still
            else "At this pace it takes many times the steps of a usual learning rate."
        ),
        step=loss.first_step + least_steps,
    )


def frozen_text(run: Run) -> str:
    """That no weights of two dimensions or more are there to be trained, in words; empty where some are."""
    frozen = [parameter for parameter in run.parameters if not parameter.is_trainable]
    if not frozen or any(len(parameter.shape) > 1 and parameter.is_trainable for parameter in run.parameters):
        return ""
    return f"all weights are frozen (requires_grad is False for {len(frozen)} of {len(run.parameters)} parameters)"


def pace_text(ratio: float) -> str:
    """How far the middle layer's weights move, in words."""
    return f"the middle layer's weights {moving(ratio)}"


def pace_cause(ratio: float) -> Cause:
    """Steps that are small: the learning rate, with its distance from the usual."""
    text = f"{pace_text(ratio)}, where {format_number(USUAL_RATIO)} is usual"
    return Cause("learning_rate", decibels(ratio / USUAL_RATIO), text)


def standing_cause() -> Cause:
    """No steps at all: nothing that a learning rate could raise."""
    where = "a backward of one's own, a comparison, a sign, a clamp"
    text = f"{pace_text(0.0)}, which no learning rate changes: look for what stops their gradient ({where})"
    return Cause("unknown", None, text)


def fitting_cures(cause: Cause, *, is_still: bool) -> tuple[str, ...]:
    """Cures that fit; no learning rate where nothing moves at all."""
    cures = cures_for("stalled", cause.name)
    return tuple(label for label in cures if not (is_still and label.startswith("change_learning_rate")))


def told_step(loss: LossMotion, least_steps: int) -> int:
    """Step from which on it could be told: after as many steps, or once what was learned had been lost again."""
    earliest = loss.first_step + least_steps
    return max(earliest, loss.turn_step + 1) if loss.state == "relapsed" else earliest


def accuracy_evidence(run: Run) -> tuple[Evidence, ...]:
    """The share of right answers, where it was measured."""
    late = late_median(np.asarray(run.snapshot_columns.get("batch_accuracy", ()), dtype=np.float64))
    if math.isnan(late):
        return ()
    return (Evidence("right answers", late, "", f"{100.0 * late:.0f} % of the answers are right"),)


def severity_of(loss: LossMotion, *, is_presumed: bool) -> Severity:
    """How bad it is; no more than a warning where a little was won or what a constant guess gives is presumed only."""
    if loss.chance is None:
        return "warning" if loss.state == "relapsed" else "info"
    gain = loss.gain_share or 0.0
    is_on_its_way = loss.state == "above" and loss.fall_share > 0.3
    if is_presumed or is_on_its_way or gain > loss.chance_margin or loss.state == "relapsed" and gain > 0.0:
        return "warning"
    return "critical"


def presumed_text(run: Run, loss: LossMotion) -> str:
    """What is presumed about the loss, in words; empty where it is known or not spoken of."""
    output = last_weights(run) if is_unopened(run) and loss.chance is not None else None
    return "" if output is None else f" if it is a cross-entropy over the {output[1]} outputs of {spoken(output[0])}"


def meaning_of(loss: LossMotion) -> str:
    """What the loss' value means."""
    if loss.state == "at_chance":
        return "which is what guessing gives"
    if loss.state == "relapsed":
        return f"though it had been down to {loss.best:.4g}"
    if loss.state == "above":
        return "which is worse than a constant guess"
    if loss.chance is None:
        return "and what a constant guess would give is not known"
    return "which is no better than its noise"
