"""Whether a network has learned what there is to learn, so that a fault in its program has cost it nothing."""

import math
from collections.abc import Sequence

import numpy as np

from gradiometer.diagnosing.learning import LossMotion
from gradiometer.diagnosing.weight_motion import late_median
from gradiometer.schema import FloatArray, Run, Severity

REGRESSIONS: tuple[str, ...] = ("squared_error", "absolute_error", "smooth_absolute_error")
"""Kinds of loss whose targets are numbers."""


def snapshot_column(run: Run, name: str) -> FloatArray:
    """One of a run's snapshot columns; all nan where it was not recorded."""
    known = run.snapshot_columns.get(name)
    return np.full(run.snapshot_count, np.nan) if known is None else known


def late_accuracy(run: Run) -> float:
    """Median share of right answers over the later half of the full measurements; nan where it is not known."""
    return late_median(snapshot_column(run, "batch_accuracy"))


def newest_accuracy(run: Run, loss: LossMotion) -> tuple[int, float] | None:
    """Step and share of right answers of the newest full measurement that knows it; None where none does.

    Full measurements grow rare as a training goes on, so the median of the later half of them tells of early steps.

    Args:
        run: The run.
        loss: What its loss does; what follows a loss that is no number says nothing.
    """
    accuracies = snapshot_column(run, "batch_accuracy")
    end = math.inf if loss.nonfinite_step is None else loss.nonfinite_step
    known = np.flatnonzero(np.isfinite(accuracies) & (run.snapshot_steps < end))
    return (int(run.snapshot_steps[known[-1]]), float(accuracies[known[-1]])) if len(known) else None


def constant_loss(run: Run) -> float:
    """What the best constant guess gives, from all targets seen; nan where it is not known."""
    known = snapshot_column(run, "constant_loss")
    known = known[np.isfinite(known)]
    return float(known[-1]) if len(known) else math.nan


def is_learned_well(run: Run, loss: LossMotion, *, least_accuracy: float = 0.98, settled_share: float = 0.05) -> bool:
    """Whether next to nothing is left to learn.

    Args:
        run: The run.
        loss: What its loss does.
        least_accuracy: Share of right answers that is as good as all: one in fifty is what labels themselves get wrong.
        settled_share: Share of a constant guess' loss, or of its start, to which a loss has come down then.

    Returns:
        By the share of right answers where it is known, else by the loss; False for a loss that is not learned.
    """
    if not loss.is_learning:
        return False
    accuracy = late_accuracy(run)
    if not math.isnan(accuracy):
        return accuracy >= least_accuracy
    known = constant_loss(run)
    reference = loss.start if math.isnan(known) or known <= 0.0 else known
    return loss.end <= settled_share * reference


def has_learned_well(run: Run, loss: LossMotion, *, least_accuracy: float = 0.98) -> bool:
    """The same, told from the newest measurement as well: a network that lay still at first is judged by its end.

    Args:
        run: The run.
        loss: What its loss does.
        least_accuracy: Share of right answers that is as good as all.
    """
    newest = newest_accuracy(run, loss)
    is_right = newest is not None and loss.is_learning and newest[1] >= least_accuracy
    return is_right or is_learned_well(run, loss, least_accuracy=least_accuracy)


def severity_of_fault(run: Run, loss: LossMotion) -> Severity:
    """How bad a certain fault of the program is: what it costs decides between all three."""
    if loss.is_harmed:
        return "critical"
    return "info" if is_learned_well(run, loss) else "warning"


def success_text(run: Run, loss: LossMotion) -> str:
    """What a network has learned, in half a sentence."""
    newest = newest_accuracy(run, loss)
    if newest is None:
        return loss.text
    step, accuracy = newest
    return f"{loss.text}, with {100.0 * accuracy:.0f} % of the answers right at step {step}"


def listed(names: Sequence[str], *, most: int = 3) -> str:
    """Some names in a sentence, the rest counted.

    Example:
        >>> listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
        ('a', 'a and b', 'a, b, c and 2 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))
