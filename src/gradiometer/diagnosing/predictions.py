"""Which one change would balance what is out of balance, and what it would give."""

import math
from collections.abc import Sequence

from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import USUAL_RATIO
from gradiometer.forecasting import BALANCED_DB, best_change
from gradiometer.gain_budget import GainBudget
from gradiometer.schema import Prediction, Run
from gradiometer.units import format_db, format_number

UNUSUAL = 10.0
"""An update ratio is balanced within this factor of the usual one."""


def predict_level(run: Run, snapshot_index: int, budget: GainBudget, cures: Sequence[str]) -> Prediction | None:
    """Foretell the level at the trunk's far end after the first of some cures that would balance it.

    Args:
        run: The run.
        snapshot_index: The full measurement that a finding rests on.
        budget: Its gain budget.
        cures: Labels, best first.

    Returns:
        The prediction; None where none of them can be foretold, or none brings the level halfway to the output's.
    """
    now_db, found = budget.gain_db, best_change(run, snapshot_index, cures)
    if found is None or abs(now_db) <= BALANCED_DB:
        return None
    label, foretold = found
    if abs(foretold.level_db) > max(BALANCED_DB, 0.5 * abs(now_db)):
        return None
    layer = budget.entries[-1].layer
    text = f"the level at {spoken(layer)} would go from {format_db(now_db)} to about {format_db(foretold.level_db)}"
    return Prediction(label, "level", layer, now_db, foretold.level_db, text)


def predict_update(layer: str, ratio: float, cures: Sequence[str]) -> Prediction | None:
    """Foretell the update ratio after the first of some cures that multiply the learning rate and bring it near 1e-3.

    Args:
        layer: The layer that it was measured at.
        ratio: What it is.
        cures: Labels, best first.

    Returns:
        The prediction; None where no multiple of the learning rate among them brings it within a factor of ten.
    """
    for label in cures:
        name, _, setting = label.partition(":x")
        if name != "change_learning_rate" or not setting or not ratio > 0.0:
            continue
        foretold = ratio * float(setting)
        if abs(math.log10(foretold / USUAL_RATIO)) <= math.log10(UNUSUAL) + 1e-9:
            text = (
                f"a step would change the weights of {spoken(layer)} by about {format_number(foretold)} of their size "
                f"instead of {format_number(ratio)}"
            )
            return Prediction(label, "update_ratio", layer, ratio, foretold, text)
    return None
