"""The loss goes nowhere, whatever the cause.

What it finds:
    A loss that after three hundred steps and more has not fallen by more than its noise and 3 %, sits where a constant
    guess would be, or has gone back to where it came from; and is not low already.

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

from gradiometer.diagnosing.learning import LossLimits, LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.unopened import is_unopened, last_weights
from gradiometer.diagnosing.weight_motion import weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity


def find_stalled(run: Run, *, least_steps: int = 300) -> list[Finding]:
    """Find a loss that goes nowhere.

    Args:
        run: The run.
        least_steps: Steps below which a loss that lies still says nothing; see `LossLimits`.

    Returns:
        One finding or none. `info` where nobody can tell a loss that lies still because it is as low as it gets from
        one that never fell: a mean squared error has no known value for a constant guess.
    """
    loss = judge_loss(run, LossLimits(least_steps=least_steps))
    if loss.state not in {"flat", "at_chance", "relapsed"}:
        return []
    severity = severity_of(loss, is_presumed=is_unopened(run))
    cause = Cause("unknown", None, "the loss alone does not say why")
    moves = "the weights move" if weight_motions(run) else "whether the weights move was not measured"
    return [
        Finding(
            condition="stalled",
            severity=severity,
            layers=(),
            cause=cause,
            evidence=(
                Evidence("fall of the loss", loss.fall_share, "", loss.text),
                Evidence("noise of the loss", loss.noise, "", f"a single loss is {loss.noise:.2g} off its trend"),
            ),
            cures=cures_for("stalled", cause.name),
            summary=f"The loss goes nowhere: {loss.text}, {meaning_of(loss)}{presumed_text(run, loss)}; {moves}.",
            prognosis="More of the same steps will not change it.",
            step=loss.first_step + least_steps,
        )
    ]


def severity_of(loss: LossMotion, *, is_presumed: bool) -> Severity:
    """How bad it is; no more than a warning where what a constant guess gives is presumed only."""
    if is_presumed and loss.chance is not None:
        return "warning"
    if loss.state == "at_chance" or (loss.state == "flat" and loss.chance is not None):
        return "critical"
    return "warning" if loss.state == "relapsed" else "info"


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
    if loss.chance is None:
        return "and what a constant guess would give is not known"
    return "which is no better than its noise"
