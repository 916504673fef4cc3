"""Judges trials by the share of wrong answers, where the script's loss says nothing of what a network has learned.

A negative log-likelihood of raw scores has no lower bound, and a softmax along the batch has another one than one along
the classes: neither can be held beside the loss of the same script once it is right. The share of wrong answers on
the training batches can; it is known of the steps that were measured in full.
"""

import math
from dataclasses import replace

import numpy as np

from gradiometer.curing.trials.pairing import FINAL_SHARE, Reading
from gradiometer.schema import Run

FEWEST_MEASUREMENTS = 3
"""Full measurements that the end of a training has at least, where there are as many: one batch tells little."""


def wrong_share(run: Run, step_count: int) -> float:
    """Mean share of wrong answers in the last fifth of some steps.

    Args:
        run: The run.
        step_count: Steps up to which it is looked at.

    Returns:
        The share; nan where no answer was judged, as behind a squared error.
    """
    shares = run.snapshot_columns.get("batch_accuracy", np.zeros(0))
    known = np.flatnonzero(~np.isnan(shares) & (run.snapshot_steps[: len(shares)] < step_count))
    first = step_count - max(1, math.ceil(FINAL_SHARE * step_count))
    late_count = int((run.snapshot_steps[known] >= first).sum())
    last = known[-max(late_count, FEWEST_MEASUREMENTS) :]
    return 1.0 - float(shares[last].mean()) if len(last) else math.nan


def judged_by_answers(reading: Reading) -> Reading:
    """The same trial with the share of wrong answers in the place of its first loss.

    A training that failed has come to nothing, whatever its answers were. Where no answer was judged there is nothing
    to compare: the trial then has no loss.
    """
    if reading.run is None or reading.trial.final_loss is None:
        return reading
    share = wrong_share(reading.run, reading.run.step_count)
    loss = math.inf if reading.trial.status == "failed" else share
    start = wrong_share(reading.run, FEWEST_MEASUREMENTS)
    site = reading.final_losses[0][0] if reading.final_losses else ""
    return replace(
        reading,
        trial=replace(reading.trial, final_loss=None if math.isnan(loss) else loss),
        final_losses=((site, share), *reading.final_losses[1:]),
        start_loss=None if math.isnan(start) else start,
    )
