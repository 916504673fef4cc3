"""What trackers are told of a run: a literal table of scalars, and the rows that it makes of a run.

A network of thousands of layers does not become thousands of charts: at most `MOST_CHARTS` layers or blocks are told
of by each quantity. Blocks open as in the report, the outermost and the largest first, and a closed one has the number
that the report gives it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema import FloatArray, OctaveHistogram, Run
from gradiometer.showing.figures.layer_tree import (
    Block,
    default_openness,
    layer_tree,
    rows_at,
    update_ratios,
    values_of,
)

STEP = "gradiometer/step"
"""What charts are over where a tracker has a step of its own: the run's step."""

MOST_CHARTS = 24
"""Layers or blocks with a chart of their own, by quantity: what fits a screen or two of any tracker."""

MOST_STEP_ROWS = 5000
"""Rows of steps between full ones that are told of a finished run; more points no chart draws."""

MOST_HISTOGRAMS = 24
"""Parameters whose histograms are told; of more, evenly spaced ones."""

Moment = Literal["step", "full_step", "look"]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number that trackers are told.

    Attributes:
        name: What its chart is called; a layer's name follows where it is told of each.
        unit: Its unit, empty for a bare ratio or a count.
        moment: When it is known: each recorded `step`, each `full_step`, or once by `look` at the run.
        text: What it is, in words.
        is_by_layer: There is one for each layer or block.
    """

    name: str
    unit: str
    moment: Moment
    text: str
    is_by_layer: bool = False


SCALARS: tuple[Scalar, ...] = (
    Scalar("gradiometer/loss", "", "step", "the loss that backward was called on, at its first call site"),
    Scalar("gradiometer/nonfinite_losses", "", "step", "losses of the step that were NaN or infinite"),
    Scalar("gradiometer/learning_rate", "", "step", "learning rate of the first optimizer's first group"),
    Scalar("gradiometer/gradient_norm", "", "step", "norm of all gradients before clipping, where it was computed"),
    Scalar("gradiometer/level_at_input_db", "dB", "full_step", "level at the trunk's layer nearest the input"),
    Scalar("gradiometer/update_ratio_median", "", "full_step", "median of the layers' update ratios"),
    Scalar("gradiometer/update_ratio_least", "", "full_step", "the least of them"),
    Scalar("gradiometer/update_ratio_greatest", "", "full_step", "the greatest of them"),
    Scalar("gradiometer/saturated_share", "", "full_step", "share of all units that are saturated"),
    Scalar("gradiometer/dead_share", "", "full_step", "share of all units that are dead"),
    Scalar("gradiometer/nonfinite_elements", "", "full_step", "NaN and infinite elements of outputs and gradients"),
    Scalar("gradiometer/batch_accuracy", "", "full_step", "share of the batch's targets that were hit, for classes"),
    Scalar("gradiometer/overhead_fraction", "", "look", "measured cost of measuring, as a share of the training time"),
    Scalar("gradiometer_level_db", "dB", "full_step", "level at the layer's output", is_by_layer=True),
    Scalar("gradiometer_gain_db", "dB", "full_step", "the layer's own gain", is_by_layer=True),
    Scalar("gradiometer_update_ratio", "", "full_step", "update ratio of its largest parameter", is_by_layer=True),
    Scalar("gradiometer_saturated_share", "", "full_step", "share of its units that are saturated", is_by_layer=True),
    Scalar("gradiometer_dead_share", "", "full_step", "share of its units that are dead", is_by_layer=True),
)
"""All that trackers are told as numbers, by step."""

NUMBERS_BY_LAYER: tuple[str, ...] = tuple(scalar.name for scalar in SCALARS if scalar.is_by_layer)


NUMBERS_OF_STEP: int = sum(scalar.moment == "step" for scalar in SCALARS)


@dataclass(frozen=True, slots=True)
class Row:
    """What is told of one step.

    Attributes:
        step: Index of the step.
        values: Finite numbers by the name of their chart.
        histograms: Magnitudes by powers of two, where it was their turn.
    """

    step: int
    values: Mapping[str, float]
    histograms: tuple[OctaveHistogram, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """How much of a growing run a tracker has been told.

    Attributes:
        full_step: The last full step told of, -1 for none.
        step: The last recorded step, likewise.
    """

    full_step: int = -1
    step: int = -1


@dataclass(slots=True)
class Gathering:
    """Rows while they are made: values and histograms by step."""

    values: dict[int, dict[str, float]] = field(default_factory=dict)
    histograms: dict[int, tuple[OctaveHistogram, ...]] = field(default_factory=dict)

    def add(self, steps: Sequence[int], name: str, numbers: FloatArray) -> None:
        """Add one number for each step; what was not measured, or is not finite, is left out."""
        for step, number in zip(steps, numbers.tolist(), strict=True):
            if math.isfinite(number):
                self.values.setdefault(step, {})[name] = number

    def rows(self) -> tuple[Row, ...]:
        """The rows, by step."""
        steps = sorted(self.values.keys() | self.histograms.keys())
        return tuple(Row(step, self.values.get(step, {}), self.histograms.get(step, ())) for step in steps)


def log2_bins(row: Row) -> dict[str, tuple[list[int], list[float]]]:
    """A row's histograms by name: counts, and the edges of their bins, log2 of the absolute value.

    Zeros and what is not finite have no place there; where nothing else was read there is no histogram.
    """
    return {
        f"gradiometer_log2_{one.quantity}/{one.parameter}": (
            list(one.counts),
            [float(one.first_exponent + place) for place in range(len(one.counts) + 1)],
        )
        for one in row.histograms
        if one.counts
    }


def rows_of(
    run: Run,
    told: Told = Told(),  # noqa: B008 - it is frozen
    *,
    most_step_rows: int = MOST_STEP_ROWS,
    most_numbers: int | None = None,
) -> tuple[tuple[Row, ...], Told]:
    """Make rows of what a tracker has not been told yet.

    Args:
        run: The run as it is now.
        told: What was told before.
        most_step_rows: Steps between full ones that are told of at most, evenly spaced, the newest among them.
        most_numbers: About so many numbers at most: half for full steps, half for those between; None for all.

    Returns:
        Rows by step, and what is told with them. Numbers that are not finite are left out: the level of a gradient of
        exactly zero is no number to chart, and a loss that is NaN counts among `nonfinite_losses`.
    """
    gathered = Gathering()
    moments = np.flatnonzero(run.snapshot_steps > told.full_step)
    recorded = np.flatnonzero(run.steps > told.step)
    if most_numbers is not None:
        moments = spaced(moments, max(1, most_numbers // 2 // numbers_of_full_step(run)))
        most_step_rows = min(most_step_rows, max(1, most_numbers // 2 // NUMBERS_OF_STEP))
    if len(moments):
        add_full_steps(gathered, run, moments)
    if len(recorded):
        add_steps(gathered, run, spaced(recorded, most_step_rows))
    overhead = run.facts.get("overhead_measured")
    if gathered.values and isinstance(overhead, int | float):
        gathered.add([max(gathered.values)], "gradiometer/overhead_fraction", np.array([float(overhead)]))
    return gathered.rows(), Told(
        max(told.full_step, *run.snapshot_steps[-1:].tolist()) if len(moments) else told.full_step,
        max(told.step, *run.steps[-1:].tolist()) if len(recorded) else told.step,
    )


def numbers_of_full_step(run: Run) -> int:
    """How many numbers a full step has to tell of at most, histograms left out."""
    of_run = sum(scalar.moment == "full_step" and not scalar.is_by_layer for scalar in SCALARS)
    return of_run + len(NUMBERS_BY_LAYER) * min(len(run.layers), MOST_CHARTS)


def spaced(places: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """Evenly spaced ones where there are too many, the last among them.

    Example:
        >>> spaced(np.arange(10), 4).tolist()
        [0, 3, 6, 9]
    """
    if len(places) <= most:
        return places
    return places[np.unique(np.linspace(len(places) - 1, 0, most).round().astype(np.intp))]


def add_steps(gathered: Gathering, run: Run, places: NDArray[np.intp]) -> None:
    """Add what every recorded step knows."""
    steps = run.steps[places].tolist()
    for column, name in (("learning_rate", "learning_rate"), ("total_norm", "gradient_norm")):
        if column in run.step_columns:
            gathered.add(steps, f"gradiometer/{name}", run.step_columns[column][places])
    if run.loss is None:
        return
    is_wanted = np.isin(run.loss.steps, run.steps[places])
    known = run.loss.steps[is_wanted].tolist()
    gathered.add(known, "gradiometer/loss", run.loss.values[is_wanted])
    gathered.add(known, "gradiometer/nonfinite_losses", run.loss.nonfinite_counts[is_wanted].astype(np.float64))


def add_full_steps(gathered: Gathering, run: Run, moments: NDArray[np.intp]) -> None:
    """Add what full steps know: of the run, of each layer or block, and the histograms."""
    steps = run.snapshot_steps[moments].tolist()
    for name, numbers in numbers_of_run(run, moments).items():
        gathered.add(steps, f"gradiometer/{name}", numbers)
    blocks = charted_blocks(run)
    for name in NUMBERS_BY_LAYER:
        values = values_of(run, blocks, name.removeprefix("gradiometer_"), moments.tolist())
        for place, block in enumerate(blocks):
            gathered.add(steps, f"{name}/{block.name}", values[:, place])
    for step in steps:
        if chosen := chosen_histograms(run.histograms.get(step, ())):
            gathered.histograms[step] = chosen


def charted_blocks(run: Run) -> list[Block]:
    """The layers and blocks that have charts of their own."""
    tree = layer_tree(run.layers)
    return rows_at(tree, default_openness(tree, most_rows=MOST_CHARTS)) if run.layers else []


def numbers_of_run(run: Run, moments: NDArray[np.intp]) -> dict[str, FloatArray]:
    """The run's numbers in some full steps, by the last part of their names: arrays [moment]."""
    whole = [layer_tree(run.layers)] if run.layers else []
    shares = {
        name: values_of(run, whole, name, moments.tolist())[:, 0] if whole else nothing(moments)
        for name in ("saturated_share", "dead_share")
    }
    accuracy = run.snapshot_columns.get("batch_accuracy")
    return {
        "level_at_input_db": np.array([level_at_input(run, moment) for moment in moments.tolist()]),
        **spread(update_ratios(run, moments)),
        **shares,
        "nonfinite_elements": nonfinite_elements(run, moments),
        "batch_accuracy": nothing(moments) if accuracy is None else accuracy[moments],
    }


def nothing(moments: NDArray[np.intp]) -> FloatArray:
    """An array of nan, one for each moment."""
    return np.full(len(moments), np.nan)


def level_at_input(run: Run, moment: int) -> float:
    """Level at the output of the trunk's layer nearest the input, dB; nan where there is no trunk."""
    trunk = run.trunk(moment) if {"trunk_position", "level_db"} <= run.layer_columns.keys() else ()
    return float(run.layer_columns["level_db"][moment, trunk[-1]]) if trunk else math.nan


def spread(ratios: FloatArray) -> dict[str, FloatArray]:
    """Median, least and greatest of the layers' update ratios [moment layer]; nan where none is known."""
    kept = [row[np.isfinite(row)] for row in ratios]
    joins: Mapping[str, Callable[[FloatArray], np.floating]] = {
        "median": np.median,
        "least": np.min,
        "greatest": np.max,
    }
    return {
        f"update_ratio_{word}": np.array([join(row) if len(row) else np.nan for row in kept], dtype=np.float64)
        for word, join in joins.items()
    }


def nonfinite_elements(run: Run, moments: NDArray[np.intp]) -> FloatArray:
    """NaN and infinite elements of all layers' outputs and all parameters' gradients."""
    grids = [
        columns[name][moments]
        for columns, name in (
            (run.layer_columns, "output_nonfinite_count"),
            (run.parameter_columns, "gradient_nonfinite_count"),
        )
        if name in columns
    ]
    return np.asarray(sum((np.nansum(grid, axis=1) for grid in grids), np.zeros(len(moments))))


def chosen_histograms(histograms: Sequence[OctaveHistogram]) -> tuple[OctaveHistogram, ...]:
    """The histograms of evenly spaced parameters, where there are too many to tell of all."""
    names = list(dict.fromkeys(histogram.parameter for histogram in histograms))
    chosen = {names[place] for place in spaced(np.arange(len(names)), MOST_HISTOGRAMS).tolist()}
    return tuple(histogram for histogram in histograms if histogram.parameter in chosen)
