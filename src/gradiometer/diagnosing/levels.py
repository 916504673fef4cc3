"""Levels as the conditions read them: late at each layer, the lowest, and how far they rise.

Where layers were not opened, the gradients of the weights stand in: their norm relative to that of the output's
weights. It is no level (what a layer is fed counts too), but where a gradient vanishes or explodes it follows it.
"""

import numpy as np

from gradiometer.diagnosing.unopened import gradient_levels, is_unopened
from gradiometer.diagnosing.weight_motion import late_medians
from gradiometer.schema import FloatArray, Run


def late_levels(run: Run) -> dict[str, float]:
    """Median level at each layer's output over the later half of the measurements that know it, dB; nan for none."""
    if is_unopened(run):
        names, levels = gradient_levels(run)
        return dict(zip(names, late_medians(levels).tolist(), strict=True))
    levels = run.layer_columns.get("level_db", np.zeros((0, len(run.layers))))
    is_known = ~np.isnan(levels)
    late = np.full(len(run.layers), np.nan)
    whole = is_known.all(axis=0) if len(levels) else np.zeros(len(run.layers), dtype=bool)
    late[whole] = np.median(levels[len(levels) // 2 :, whole], axis=0) if whole.any() else np.nan
    for column in np.flatnonzero(is_known.any(axis=0) & ~whole):
        known = levels[is_known[:, column], column]
        late[column] = np.median(known[len(known) // 2 :])
    return {layer.name: float(level) for layer, level in zip(run.layers, late, strict=True)}


def lowest_level(run: Run) -> tuple[str | None, float]:
    """The layer of the trunk with the lowest late level, and that level, dB; None and nan where no trunk was seen."""
    if not run.snapshot_count:
        return None, float("nan")
    levels = late_levels(run)
    names = list(levels) if is_unopened(run) else [run.layers[column].name for column in trunk_columns(run)]
    known = [(levels[name], name) for name in names if not np.isnan(levels[name])]
    if not known:
        return None, float("nan")
    level, name = min(known)
    return name, level


def trunk_columns(run: Run) -> tuple[int, ...]:
    """Columns of the layers on the trunk, output first, in the last measurement that found one."""
    for index in range(run.snapshot_count - 1, -1, -1):
        trunk = run.trunk(index)
        if trunk:
            return trunk
    return ()


def growth_of(run: Run) -> FloatArray:
    """Highest finite level on the trunk in each full measurement, dB; nan where no level is known."""
    if is_unopened(run):
        levels = gradient_levels(run)[1]
        return np.asarray(np.where(np.isfinite(levels), levels, -np.inf).max(axis=1, initial=-np.inf))
    levels, positions = run.layer_columns["level_db"], run.layer_columns["trunk_position"]
    on_trunk = np.where(np.isnan(positions) | ~np.isfinite(levels), -np.inf, levels)
    if on_trunk.shape[1] == 0:
        return np.full(on_trunk.shape[0], np.nan)
    highest = on_trunk.max(axis=1)
    return np.where(np.isfinite(highest), highest, np.nan)
