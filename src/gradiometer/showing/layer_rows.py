"""One row per layer, as the live view, the terminal and the report's table show it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradiometer.schema import Layer, Parameter, Run, Snapshot
from gradiometer.units import ratio_of


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What one full measurement says of one layer, ready to be shown; None for what was not measured.

    Attributes:
        name: Path in the model.
        kind: Class of the module or name of the function.
        call_site: `file:line` of its call.
        level_db: Level at its output, dB; -inf for a gradient of exactly zero.
        gain_db: Own gain, dB.
        slope: Root-mean-square slope that the gradient met; activations only, where it is the gain as a ratio.
        saturated_share: Share of its units that are saturated.
        dead_share: Share of its units that are dead.
        update_ratio: Update ratio of its largest parameter.
    """

    name: str
    kind: str
    call_site: str | None = None
    level_db: float | None = None
    gain_db: float | None = None
    slope: float | None = None
    saturated_share: float | None = None
    dead_share: float | None = None
    update_ratio: float | None = None


def measured(value: float | None) -> float | None:
    """The number, or None where it was not measured (None or nan)."""
    return None if value is None or math.isnan(value) else float(value)


def row_of(layer: Layer, numbers: Mapping[str, float | None], update_ratio: float | None) -> LayerRow:
    """Make one row from a layer's numbers by name of `LayerStats`."""
    gain_db = measured(numbers.get("gain_db"))
    is_activation = layer.activation is not None
    return LayerRow(
        name=layer.name,
        kind=layer.kind,
        call_site=layer.call_site,
        level_db=measured(numbers.get("level_db")),
        gain_db=gain_db,
        slope=ratio_of(gain_db) if is_activation and gain_db is not None else None,
        saturated_share=measured(numbers.get("saturated_share")),
        dead_share=measured(numbers.get("dead_share")),
        update_ratio=measured(update_ratio),
    )


SHOWN_COLUMNS = ("level_db", "gain_db", "saturated_share", "dead_share")


def rows_of_run(run: Run, snapshot_index: int | None) -> tuple[LayerRow, ...]:
    """One row per layer of a run, in order of execution.

    Args:
        run: The run.
        snapshot_index: The full measurement to show; None where there is none, which leaves the numbers empty.
    """
    if snapshot_index is None:
        return tuple(row_of(layer, {}, None) for layer in run.layers)
    columns = {name: run.layer_columns[name][snapshot_index] for name in SHOWN_COLUMNS if name in run.layer_columns}
    ratios = run.parameter_columns.get("update_ratio")
    largest = largest_parameters(run.parameters)
    rows = []
    for column, layer in enumerate(run.layers):
        numbers = {name: float(values[column]) for name, values in columns.items()}
        owned = largest.get(layer.name)
        ratio = float(ratios[snapshot_index, owned]) if ratios is not None and owned is not None else None
        rows.append(row_of(layer, numbers, ratio))
    return tuple(rows)


def rows_of_snapshot(
    layers: Sequence[Layer], parameters: Sequence[Parameter], snapshot: Snapshot
) -> tuple[LayerRow, ...]:
    """One row per layer of a single measurement, while a run goes on; the same rows as `rows_of_run` gives later."""
    stats = {entry.layer: entry for entry in snapshot.layers}
    ratios = {entry.parameter: entry.update_ratio for entry in snapshot.parameters}
    largest = largest_parameters(parameters)
    rows = []
    for layer in layers:
        entry = stats.get(layer.name)
        numbers = {name: getattr(entry, name) for name in SHOWN_COLUMNS} if entry is not None else {}
        owned = largest.get(layer.name)
        rows.append(row_of(layer, numbers, ratios.get(parameters[owned].name) if owned is not None else None))
    return tuple(rows)


def largest_parameters(parameters: Sequence[Parameter]) -> dict[str, int]:
    """For each layer the index of its parameter with the most elements, as a rule its weight."""
    largest: dict[str, int] = {}
    for index, parameter in enumerate(parameters):
        if parameter.layer is None:
            continue
        held = largest.get(parameter.layer)
        if held is None or parameter.element_count > parameters[held].element_count:
            largest[parameter.layer] = index
    return largest


def snapshot_to_show(run: Run, step: int | None = None) -> int | None:
    """Choose the full measurement that a picture of a single moment shows.

    Args:
        run: The run.
        step: The step that matters, for example the first at which a finding could be told; None for the end.

    Returns:
        Index of the first measurement at or after that step that holds a finite level; where there is none, the last
        before it that does; failing that the last measurement, None for a run without any.
    """
    if run.snapshot_count == 0:
        return None
    levels = run.layer_columns.get("level_db")
    if levels is None or levels.size == 0:
        return run.snapshot_count - 1
    usable = np.flatnonzero(np.isfinite(levels).any(axis=1))
    if not len(usable):
        return run.snapshot_count - 1
    later = usable[run.snapshot_steps[usable] >= step] if step is not None else usable[-1:]
    return int(later[0]) if len(later) else int(usable[-1])
