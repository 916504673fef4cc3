"""How far a network is from one that can learn, told from a few steps that were measured in full."""

from dataclasses import dataclass

import numpy as np

from gradiometer.schema import FloatArray, Run

USUAL_UPDATE_RATIO = 1e-3
"""Update ratio of a healthy layer."""

MOST_DECADES = 6.0
"""Distance from it that counts as not moving at all, or as being thrown about."""

MOST_RANGE_DB = 240.0
"""Difference of levels that counts for a gradient that is zero somewhere."""

CLEAR_DECADES, CLEAR_DB, CLEAR_LOSS_SHARE = 0.25, 6.0, 0.02
"""How much better than the control counts as better at all: a factor of 1.8, a factor of 2, two percent."""

ILL_DECADES, ILL_DB = 1.5, 40.0
"""From where on a control's first steps show that something is wrong; chosen by us on the examples."""


@dataclass(frozen=True, slots=True)
class Strain:
    """What a few steps say of a network.

    Attributes:
        motion_decades: Distance of the worst weight's update ratio from the usual one, decades.
        range_db: Difference between the highest and lowest level on the trunk, dB.
        is_finite: Nothing was NaN or infinite.
    """

    motion_decades: float
    range_db: float
    is_finite: bool

    @property
    def is_ill(self) -> bool:
        """Whether these steps show a fault at all; a training that breaks later looks healthy here."""
        return not self.is_finite or self.motion_decades >= ILL_DECADES or self.range_db >= ILL_DB

    def is_clearly_less_than(self, other: "Strain") -> bool:
        """Whether it is better than another in motion or in balance."""
        if not self.is_finite:
            return False
        return (
            not other.is_finite
            or self.motion_decades <= other.motion_decades - CLEAR_DECADES
            or self.range_db <= other.range_db - CLEAR_DB
        )


def strain_of(run: Run) -> Strain:
    """Judge a run by the later half of its full measurements; a run without any counts as the worst."""
    half = slice(run.snapshot_count // 2, None)
    if run.snapshot_count == 0:
        return Strain(MOST_DECADES, MOST_RANGE_DB, is_finite=has_finite_losses(run))
    return Strain(motion_decades(run, half), range_db(run, half), is_finite=is_finite(run))


def motion_decades(run: Run, part: slice) -> float:
    """Distance of the worst trainable matrix from the usual update ratio; 0 where no ratio was measured."""
    matrices = [index for index, known in enumerate(run.parameters) if len(known.shape) > 1 and known.is_trainable]
    ratios = run.parameter_column("update_ratio")[part][:, matrices]
    ratios = ratios[:, ~np.isnan(ratios).all(axis=0)]
    if ratios.size == 0:
        return 0.0
    middle = np.nanmedian(ratios, axis=0)
    with np.errstate(divide="ignore"):
        distances = np.abs(np.log10(middle / USUAL_UPDATE_RATIO))
    return float(np.minimum(distances, MOST_DECADES).max())


def range_db(run: Run, part: slice) -> float:
    """Median over the measurements of the difference between the trunk's highest and lowest level."""
    levels: FloatArray = np.where(
        np.isnan(run.layer_column("trunk_position")[part]), np.nan, run.layer_column("level_db")[part]
    )
    levels = np.clip(levels, -MOST_RANGE_DB, MOST_RANGE_DB)
    levels = levels[~np.isnan(levels).all(axis=1)]
    if levels.size == 0:
        return 0.0
    return min(float(np.median(np.nanmax(levels, axis=1) - np.nanmin(levels, axis=1))), MOST_RANGE_DB)


def is_finite(run: Run) -> bool:
    """Whether no loss, output, gradient or weight was NaN or infinite."""
    layers = ("output_nonfinite_count", "gradient_nonfinite_count")
    parameters = ("gradient_nonfinite_count", "weight_nonfinite_count")
    counts = [
        *(np.nansum(run.layer_column(name)) for name in layers),
        *(np.nansum(run.parameter_column(name)) for name in parameters),
    ]
    return has_finite_losses(run) and not any(counts)


def has_finite_losses(run: Run) -> bool:
    """Whether every loss that was recorded was finite."""
    return not any(series.nonfinite_counts.any() for series in run.losses)
