"""What makes an update as large as it is: the second ledger, as exact as that of the level.

How far the update ratio of a layer's weights is above the usual one is split, in dB and without remainder, into the
gradient that came to them (relative to their size), what clipping took from it, the learning rate (against the rate
that is usual for the optimizer, so that its share is what would be gone at that rate), and what the optimizer made of
these: momentum, the scaling of adaptive optimizers, weight decay.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

from gradiometer.diagnosing.weight_motion import USUAL_RATIO, WeightMotion, late_median
from gradiometer.schema import Run
from gradiometer.units import decibels

USUAL_RATES: dict[str, float] = {
    "SGD": 0.1,
    "ASGD": 0.1,
    "Adam": 1e-3,
    "AdamW": 1e-3,
    "SparseAdam": 1e-3,
    "RAdam": 1e-3,
    "NAdam": 2e-3,
    "Adamax": 2e-3,
    "RMSprop": 1e-3,
    "Adagrad": 1e-2,
    "Adadelta": 1.0,
    "Rprop": 1e-2,
    "LBFGS": 1.0,
    "Lion": 1e-4,
    "Muon": 2e-2,
}
"""Class of an optimizer to the learning rate that is usual for it.

Source:
    SGD: He, Zhang, Ren, Sun, "Deep residual learning", CVPR 2016 (0.1). Adam 0.001 and Adamax 0.002: Kingma and Ba,
    ICLR 2015, algorithms 1 and 2. RMSprop 0.001: Hinton, Coursera lecture 6e, 2012. Adadelta: Zeiler 2012 has no rate.
    Lion: Chen et al. 2023, three to ten times below AdamW's. Muon: Jordan 2024. The others: torch's defaults.
"""

USUAL_MOMENTA: dict[str, float] = {"SGD": 0.9}
"""Class of an optimizer to the momentum that its usual rate goes with, where it is not zero; source as above."""

DESCENTS: frozenset[str] = frozenset({"SGD", "ASGD"})
"""Optimizers whose steps are as large as the gradient makes them."""

USUAL_GRADIENT = USUAL_RATIO / USUAL_RATES["SGD"]
"""Gradient relative to the weights with which plain descent at its usual rate moves them by the usual ratio."""


@dataclass(frozen=True, slots=True)
class UpdateShares:
    """Where an update ratio comes from; the shares add up to its distance from the usual one, dB.

    Attributes:
        gradient_db: The gradient relative to the weights, against a hundredth.
        clipping_db: What clipping took from the gradient.
        learning_rate_db: The learning rate, against the one that is usual for the optimizer.
        optimizer_db: What the optimizer made of these: momentum, its scaling, weight decay; 0 for plain descent.
    """

    gradient_db: float = 0.0
    clipping_db: float = 0.0
    learning_rate_db: float = 0.0
    optimizer_db: float = 0.0

    @property
    def ratio_db(self) -> float:
        """The shares together, dB: the update ratio relative to the usual one."""
        return float(sum(getattr(self, spec.name) for spec in fields(self)))


def shares_of_update(run: Run, motion: WeightMotion, snapshot_index: int) -> UpdateShares:
    """Split one layer's update ratio in one full measurement.

    Args:
        run: The run.
        motion: The layer's updates.
        snapshot_index: Which full measurement.

    Returns:
        The shares. What was not measured has a share of 0 and is then in the optimizer's; -inf stands where there was
        no gradient, or no learning rate, and so no update; all 0 where the ratio itself was not measured.
    """
    ratio = float(motion.ratios[snapshot_index])
    if math.isnan(ratio):
        return UpdateShares()
    column = next(rank for rank, parameter in enumerate(run.parameters) if parameter.name == motion.parameter)

    def value(name: str) -> float:
        numbers = run.parameter_columns.get(name)
        return math.nan if numbers is None else float(numbers[snapshot_index, column])

    gradient, clipped, weights = value("gradient_rms"), value("clipped_gradient_rms"), value("weight_rms")
    usual_rate = USUAL_RATES.get(optimizer_of(run, column))
    gradient_db = share_db(gradient, weights * USUAL_GRADIENT)
    clipping_db = share_db(clipped, gradient)
    learning_rate_db = share_db(value("learning_rate"), usual_rate or math.nan)
    if ratio == 0.0:
        return standing(gradient_db, clipping_db, learning_rate_db)
    known = [share if math.isfinite(share) else 0.0 for share in (gradient_db, clipping_db, learning_rate_db)]
    return UpdateShares(known[0], known[1], known[2], decibels(ratio / USUAL_RATIO) - sum(known))


def share_db(number: float, reference: float) -> float:
    """A number relative to another, dB; 0 where one of them is not known, or the reference is zero."""
    if math.isnan(number) or not reference > 0.0:
        return 0.0
    return decibels(number / reference)


def standing(gradient_db: float, clipping_db: float, learning_rate_db: float) -> UpdateShares:
    """The shares of weights that did not move at all: without gradient or rate that is why, else the optimizer's own.

    An update below the last digit of the weights' number format is lost there: that too is the optimizer's.
    """
    is_explained = -math.inf in (gradient_db, clipping_db, learning_rate_db)
    return UpdateShares(gradient_db, clipping_db, learning_rate_db, 0.0 if is_explained else -math.inf)


def rate_excess(run: Run, motion: WeightMotion) -> float:
    """How many times the usual a layer's learning rate is, with what momentum and clipping make of it.

    Momentum m adds up steps that agree to 1/(1-m) times one of them, so the two count together; a gradient that is
    clipped to a tenth bears ten times the rate, unless the optimizer scales its steps by itself.

    Args:
        run: The run.
        motion: The layer's updates.

    Returns:
        The factor, by the median rate of the later measurements; nan where rate or optimizer are not known.

    Source:
        The sum of the steps: Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 8.3.2.
    """
    column = next(rank for rank, parameter in enumerate(run.parameters) if parameter.name == motion.parameter)
    kind = optimizer_of(run, column)
    usual = USUAL_RATES.get(kind, math.nan) / (1.0 - USUAL_MOMENTA.get(kind, 0.0))
    rate = late_median(motion.learning_rates) / max(1.0 - momentum_of(run, kind), 1e-6)
    return rate / usual * (clipped_share(run, column) if kind in DESCENTS else 1.0)


def clipped_share(run: Run, column: int) -> float:
    """Median share of a parameter's gradient that clipping leaves in the later measurements; 1 where not known."""
    clipped = run.parameter_columns.get("clipped_gradient_rms")
    if clipped is None:
        return 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = late_median(clipped[:, column] / run.parameter_columns["gradient_rms"][:, column])
    return share if math.isfinite(share) else 1.0


def momentum_of(run: Run, kind: str) -> float:
    """Momentum of the first optimizer of a class; 0 where it has none or its settings were not noted."""
    noted = run.facts.get("optimizers") or ()
    settings = next((one.get("settings") or {} for one in noted if one.get("kind") == kind), {})
    momentum = settings.get("momentum")
    # An optimizer of one's own may call anything by that name.
    return float(momentum) if isinstance(momentum, int | float) else 0.0


def optimizer_of(run: Run, column: int) -> str:
    """Class of the optimizer that holds a parameter; empty where it is not known."""
    return run.parameters[column].optimizer or str(run.facts.get("optimizer") or "")


def telling_snapshot(motion: WeightMotion, ratio: float) -> int:
    """Index of the full measurement whose update ratio is nearest to one that was concluded from several.

    Args:
        motion: The layer's updates.
        ratio: The ratio, a median as a rule.

    Returns:
        Of several as near the last; the last full measurement where no ratio was measured.
    """
    distances = np.where(np.isfinite(motion.ratios), np.abs(motion.ratios - ratio), math.inf)
    return int(np.flatnonzero(distances == distances.min())[-1])
