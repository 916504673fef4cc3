"""The loss grows: from the start, or after it had fallen.

What it finds:
    A loss that ends well above where it began, or that had come down and has climbed back above what a constant guess
    gives, by more than its noise can; or that has lost a third of what it could have won, and stays there. Jumps that
    it comes back from are no finding, nor is a loss near zero that bounces on a logarithmic scale.

Why it matters:
    Every further step makes it worse: what was learned is undone, and the end is a number that is none.

What cures it:
    A smaller learning rate, or a schedule that does not rise as far; a bound on the gradient's norm; a warm-up; for a
    loss that grows under small steps, a look at its sign and at the data from that step on.

Source:
    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, section 5: gradient descent diverges above twice the
    inverse of the greatest curvature. neurolens flags three times the best loss, which restarts and batches of one
    reach in good health; that it must last, and be worse than guessing, is ours.
"""

import math

import numpy as np

from gradiometer.diagnosing.chance import is_turned
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.loss_windows import Stretches, finite_losses, sigmas_between, stretches_of
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.step_sizes import StepSizes, cause_of_steps, evidence_of_steps, step_sizes
from gradiometer.diagnosing.weight_motion import weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity


def find_diverging(
    run: Run, *, least_steps: int = 30, most_start: float = 3.0, lost_share: float = 0.33, least_sigmas: float = 4.0
) -> list[Finding]:
    """Find a loss that grows.

    Args:
        run: The run.
        least_steps: Steps below which a rise counts only where the loss has grown to `most_start` times its start:
            momentum and the first steps of Adam throw healthy losses up for about twenty.
        most_start: That factor.
        lost_share: Share of what a constant guess gives that a loss has to have lost since its best, where it is
            still below that guess: a third, more than cycles and restarts of a learning rate cost over a fifth of a
            run.
        least_sigmas: Standard errors by which the end has to be above the best then.

    Returns:
        One finding or none; a `warning` where the loss is still better than a constant guess.
    """
    loss = judge_loss(run)
    is_told = loss.step_count >= least_steps or loss.nonfinite_step is not None
    if len(run.losses) == 1 and is_turned(run) and is_told and weight_motions(run):
        return [describe_turned(loss)]
    if len(run.losses) != 1 or not has_diverged(loss):
        severity: Severity | None = "warning" if has_slipped(run, loss, lost_share, least_sigmas) else None
    else:
        is_early = loss.step_count < least_steps and loss.end < most_start * abs(loss.start)
        severity = None if is_early else "critical"
    return [] if severity is None else [describe(run, loss, severity)]


def has_diverged(loss: LossMotion) -> bool:
    """Whether a loss ends far above its start, or has come back from below to above a constant guess."""
    if loss.state == "diverging":
        return True
    if loss.state != "relapsed":
        return False
    reference = 1.1 * loss.start if loss.chance is None else max(1.1, 1.0 + loss.chance_margin) * loss.chance
    return loss.end > reference


def has_slipped(run: Run, loss: LossMotion, lost_share: float, least_sigmas: float) -> bool:
    """Whether a loss that is still better than a constant guess has lost much of what it had won, and stays there."""
    if len(run.losses) != 1 or loss.chance is None or not loss.best <= loss.end <= loss.chance:
        return False
    if loss.step_count < 300 or loss.end - loss.best < lost_share * loss.chance:
        return False
    stretches = stretches_of(*finite_losses(run.losses[0]))
    is_lasting = np.median(stretches.tail) > np.quantile(stretches.best, 0.9) and stays(stretches, loss)
    return bool(is_lasting and sigmas_between(stretches.tail, stretches.best) >= least_sigmas)


def stays(stretches: Stretches, loss: LossMotion) -> bool:
    """Whether the end is no lower than the fifth before it by a tenth of what was lost."""
    if not len(stretches.middle):
        return False
    return loss.end >= float(stretches.middle.mean()) - 0.1 * (loss.end - loss.best)


def describe(run: Run, loss: LossMotion, severity: Severity) -> Finding:
    """The finding in words."""
    has_fallen = loss.best < 0.8 * abs(loss.start) and loss.turn_step > loss.first_step
    turn_step = loss.turn_step if has_fallen else loss.first_step
    sizes = step_sizes(run, loss.best_step if has_fallen else turn_step, turn_step)
    cause = cause_of_steps(sizes)
    return Finding(
        condition="diverging",
        severity=severity,
        layers=sizes.layers,
        cause=cause,
        evidence=(Evidence("end of the loss", loss.end, "", loss.text), *evidence_of_steps(sizes)),
        cures=cures_of(cause.name, sizes),
        summary=f"The loss grows: {course_of(loss, turn_step, has_fallen=has_fallen)}{worst_layer(sizes)}. "
        f"The cause: {cause.text}.",
        prognosis="It keeps growing or stays that bad; what was learned is lost, and it may end in NaN.",
        step=turn_step,
    )


def describe_turned(loss: LossMotion) -> Finding:
    """The finding on a loss whose sign is turned, in words."""
    cause = Cause("unknown", None, "the loss is multiplied by a negative number before its backward")
    return Finding(
        condition="diverging",
        severity="critical",
        layers=(),
        cause=cause,
        evidence=(Evidence("end of the loss", loss.end, "", loss.text),),
        cures=cures_for("diverging", cause.name),
        summary=f"The sign of the loss is turned: {cause.text}, so each step makes the network worse; {loss.text}.",
        prognosis="The loss falls below zero without end while the answers get worse. Take the minus away.",
        step=loss.first_step,
    )


def cures_of(cause: str, sizes: StepSizes) -> tuple[str, ...]:
    """Cures that fit; for the learning rate the cut that its excess asks for comes first."""
    cures = cures_for("diverging", cause)
    if cause != "learning_rate" or math.isnan(sizes.ratio):
        return cures
    return tuple(dict.fromkeys([f"change_learning_rate:x{sizes.cut:g}", *cures]))


def course_of(loss: LossMotion, turn_step: int, *, has_fallen: bool) -> str:
    """How the loss went, in words."""
    if not has_fallen:
        return loss.text
    beside = "" if loss.chance is None else f" (a constant guess gives {loss.chance:.4g})"
    return (
        f"it was down to {loss.best:.4g} by step {loss.best_step}, turned at step {turn_step} and ends at "
        f"{loss.end:.4g}{beside}"
    )


def worst_layer(sizes: StepSizes) -> str:
    """The layer whose steps grew most, in words; empty where none is known."""
    if not sizes.layers or math.isnan(sizes.healthy_ratio):
        return ""
    return f", and since then the steps grew most at {spoken(sizes.layers[0])}"
