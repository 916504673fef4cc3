"""AUTOTRAINER's symptoms, seen while a training goes on: it looks at every third epoch and stops at the first symptom.

Thresholds and order are those of its source. Where it counts epochs, a twentieth of the run is one; it knows no
symptom of numbers that are predicted but a loss that is not a number, since accuracy is what it goes by.

Source:
    Zhang et al., "AUTOTRAINER: an automatic DNN training problem detection and repair system", ICSE 2021; monitor.py.
"""

import numpy as np

from benchmarks.truth.collecting import Collected
from benchmarks.truth.rules import EPOCHS, first_over_last, is_any, windows_of

CHECKED_EPOCHS = 3
"""Epochs from one look to the next."""

JUDGED_FROM = 0.3
"""Share of the epochs before which nothing is judged but a loss that is not a number."""

THETA, BETA_1, BETA_2, BETA_3, GAMMA, ZETA, ETA, DELTA = 0.7, 1e-3, 1e-4, 70.0, 0.7, 0.03, 0.2, 0.01
"""Its parameters, by the names of the paper."""

GREATEST_LOSS = 1e3
"""A loss above counts as not a number."""


def is_checked(step: int, steps: int) -> bool:
    """Whether it looks after this step: at the end of every third epoch, and of the last."""
    ends = [round(epoch * steps / EPOCHS) for epoch in range(1, EPOCHS + 1)]
    return step + 1 in (*ends[::CHECKED_EPOCHS], ends[-1])


def symptom_of(seen: Collected, steps: int) -> str:
    """The symptom that is treated first.

    Args:
        seen: What was collected so far.
        steps: Steps of the whole training.

    Returns:
        `explode`, `relu`, `vanish`, `not_converge`, `unstable`, or nothing where there is none.
    """
    with np.errstate(all="ignore"):
        if is_any(np.isnan(seen.losses)) or is_any(seen.losses > GREATEST_LOSS) or is_any(seen.nonfinite):
            return "explode"
        epochs = max(1, round(EPOCHS * len(seen.losses) / steps))
        accuracies = windows_of(seen.accuracies, epochs)
        if epochs < JUDGED_FROM * EPOCHS or np.isnan(accuracies).any():
            return ""
        is_poor, is_slow = accuracies.max() < THETA, np.diff(accuracies).max(initial=0.0) < DELTA
        gradient = gradient_symptom(seen) if is_poor or is_slow else ""
        if gradient or (is_poor and is_slow):
            return gradient or "not_converge"
        return "unstable" if is_oscillating(accuracies) else ""


def gradient_symptom(seen: Collected) -> str:
    """What is wrong with the gradient, if anything."""
    ratios = first_over_last(seen)
    if is_any(seen.layers["gradient_zeros"] >= GAMMA):
        return "relu"
    if is_any(ratios > BETA_3):
        return "explode"
    return "vanish" if is_any((ratios < BETA_1) & (seen.layers["gradient_norm"][:, 0] < BETA_2)) else ""


def is_oscillating(accuracies: np.ndarray) -> bool:
    """Whether peaks of the accuracy stand above valleys by `ZETA`, as often as `ETA` of the epochs."""
    before, here, after = accuracies[:-2], accuracies[1:-1], accuracies[2:]
    peaks = here[(here >= before) & (here >= after)]
    valleys = here[(here <= before) & (here <= after)]
    count = min(len(peaks), len(valleys))
    return bool((peaks[:count] - valleys[:count] >= ZETA).sum() >= ETA * len(accuracies))
