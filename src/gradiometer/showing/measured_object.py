"""What the dear measurements found, and what is known of the loss, as the compact object `measured` of `--json`."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from gradiometer.schema import Diagnosis, FloatArray, Run
from gradiometer.showing.newest_turns import (
    SIMILARITY_COLUMNS,
    late_noise_scale,
    median_norm,
    newest,
    newest_similarity,
    outliers_of,
)


def measured_object(run: Run) -> dict[str, Any]:
    """Gather the newest turn of each dear measurement, and what all of them cost.

    Args:
        run: The run.

    Returns:
        By name of the measurement an object with its `step`, None for one that found nothing; and `costs`.

    Example:
        >>> measured_object(Run())["examples"] is None
        True
    """
    costs = run.facts.get("dear_costs")
    return {
        "similarity": similarity_object(run),
        "through_time": through_time_object(run),
        "examples": examples_object(run),
        "histograms": histograms_object(run),
        "units": units_object(run),
        "loss": loss_object(run),
        "costs": dict(costs) if isinstance(costs, Mapping) else {},
    }


LOSS_COLUMNS = ("constant_loss", "batch_accuracy", "target_mean", "target_rms", "target_greatest")
"""What a full step tells of the loss."""


def loss_object(run: Run) -> dict[str, Any] | None:
    """How the loss is made, and what the newest full step that read its targets says of them."""
    path = run.facts.get("loss_path")
    columns = {name: run.snapshot_columns[name] for name in LOSS_COLUMNS if name in run.snapshot_columns}
    known = [row for row in range(run.snapshot_count) if any(not np.isnan(column[row]) for column in columns.values())]
    if not isinstance(path, Mapping) or not known:
        return None
    figures = {name: number_at(columns[name], known[-1]) if name in columns else None for name in LOSS_COLUMNS}
    return {"step": int(run.snapshot_steps[known[-1]]), "path": dict(path), **figures}


def diagnosis_object(run: Run, diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis as `--json` prints it, what was measured of its run beside it."""
    said = {spec.name: getattr(diagnosis, spec.name) for spec in fields(diagnosis)}
    return {**said, "measured": measured_object(run)}


def similarity_object(run: Run) -> dict[str, Any] | None:
    """Similarity and effective rank of every layer that has either."""
    row = newest_similarity(run)
    if row is None:
        return None
    names = (*SIMILARITY_COLUMNS, "similarity_example_count")
    columns = {name: run.layer_columns[name][row] for name in names}
    layers = [
        {"layer": layer.name, **{name: number_at(columns[name], place) for name in names}}
        for place, layer in enumerate(run.layers)
        if any(not np.isnan(columns[name][place]) for name in SIMILARITY_COLUMNS)
    ]
    return {"step": int(run.snapshot_steps[row]), "layers": layers}


def number_at(column: FloatArray, place: int) -> float | None:
    """One number of a column, None where it was not measured."""
    return none_for_nan(float(column[place]))


def through_time_object(run: Run) -> dict[str, Any] | None:
    """Half-life and farthest gain of every layer, direction and state."""
    found = newest(run.fades)
    if found is None:
        return None
    kept = ("layer", "inner_layer", "is_reverse", "state", "step_count", "half_life_steps", "nonfinite_count")
    fades = [
        {**{name: getattr(fade, name) for name in kept}, "farthest_gain": fade.gains[-1] if fade.gains else None}
        for fade in found[1]
    ]
    return {"step": found[0], "fades": fades}


def examples_object(run: Run) -> dict[str, Any] | None:
    """Median norm and outliers of the newest measured batch, and the noise scale of the later half."""
    found = newest(run.examples)
    if found is None:
        return None
    step, stats = found
    scale = late_noise_scale(run)
    return {
        "step": step,
        "example_count": stats.example_count,
        "measured_count": len(stats.norms),
        "measured_share": stats.measured_share,
        "median_norm": median_norm(stats),
        "outliers": outliers_of(stats),
        "noise_scale": {
            "examples": none_for_nan(scale.examples),
            "examples_error": none_for_nan(scale.examples_error),
            "step_count": scale.step_count,
        },
    }


def none_for_nan(value: float) -> float | None:
    """The number, None where it is not known."""
    return None if np.isnan(value) else value


def histograms_object(run: Run) -> dict[str, Any] | None:
    """The parameters' values that are not what the format is made for: below its normal range, or not finite."""
    found = newest(run.histograms)
    if found is None:
        return None
    kept = ("parameter", "quantity", "subnormal_share", "nonfinite_count", "sample_size")
    suspicious = [
        {name: getattr(entry, name) for name in kept}
        for entry in found[1]
        if entry.subnormal_count or entry.nonfinite_count
    ]
    return {"step": found[0], "histogram_count": len(found[1]), "suspicious": suspicious}


def units_object(run: Run) -> dict[str, Any] | None:
    """Saturated and dead units of every layer in which they were judged, counted."""
    found = newest(run.unit_marks)
    if found is None:
        return None
    kept = ("layer", "unit_count", "window_examples", "saturated_count", "dead_count")
    return {"step": found[0], "layers": [{name: getattr(marks, name) for name in kept} for marks in found[1]]}
