"""Levels along the trunk as the conditions read them: late at a layer, the lowest, and how far they rise."""

import numpy as np

from gradiometer.schema import FloatArray, Run


def level_of(run: Run, layer: str) -> float:
    """Median level at a layer's output over the later half of the measurements that know it, dB; nan for none."""
    names = [known.name for known in run.layers]
    if layer not in names or "level_db" not in run.layer_columns:
        return float("nan")
    levels = run.layer_columns["level_db"][:, names.index(layer)]
    known = levels[~np.isnan(levels)]
    return float(np.median(known[len(known) // 2 :])) if len(known) else float("nan")


def lowest_level(run: Run) -> tuple[str | None, float]:
    """The layer of the trunk with the lowest late level, and that level, dB; None and nan where no trunk was seen."""
    if not run.snapshot_count:
        return None, float("nan")
    names = [run.layers[column].name for column in trunk_columns(run)]
    found = [(level_of(run, name), name) for name in names]
    known = [(level, name) for level, name in found if not np.isnan(level)]
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
    levels, positions = run.layer_columns["level_db"], run.layer_columns["trunk_position"]
    on_trunk = np.where(np.isnan(positions) | ~np.isfinite(levels), -np.inf, levels)
    if on_trunk.shape[1] == 0:
        return np.full(on_trunk.shape[0], np.nan)
    highest = on_trunk.max(axis=1)
    return np.where(np.isfinite(highest), highest, np.nan)
