"""Rows to columns: snapshots, layer and parameter statistics, steps and losses as arrays."""

import json
import sqlite3
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradiometer.recording.nouns import Damage
from gradiometer.recording.spacing import choose_spaced
from gradiometer.schema import SNAPSHOT_COLUMNS, STEP_COLUMNS, FloatArray, LossSeries

MAX_CELL_COUNT = 4_000_000
"""Snapshots times layers that are read at most, some 400 MB as arrays: the largest networks get fewer snapshots."""

LEAST_SNAPSHOT_COUNT = 70
"""Snapshots that even the largest network keeps."""

TURN_COLUMNS = frozenset(
    {
        "output_similarity",
        "output_rank",
        "gradient_similarity",
        "gradient_rank",
        "similarity_example_count",
        "gradient_subnormal_share",
        "twin_share",
    }
)
"""Columns of dear measurements, empty in most rows: they are read by themselves, from the rows that have them."""

MAX_SITE_COUNT = 1000
"""Call sites of `backward` that are read at most."""

END_STEP_COUNT = 1000
"""Steps at either end that are always read."""


def choose_snapshots(
    connection: sqlite3.Connection, damage: Damage, max_snapshots: int, layer_count: int
) -> NDArray[np.int64]:
    """Steps of the snapshots to read, ascending.

    Args:
        connection: Where to read.
        damage: Takes what can't be read.
        max_snapshots: How many at most.
        layer_count: Layers or parameters of the run, whichever are more.
    """
    rows = damage.rows(connection, "snapshot", "SELECT step FROM snapshot ORDER BY step")
    steps: NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(-1)
    bound = min(max_snapshots, max(LEAST_SNAPSHOT_COUNT, MAX_CELL_COUNT // layer_count))
    return steps[choose_spaced(steps, bound)]


def read_snapshots(connection: sqlite3.Connection, damage: Damage, steps: NDArray[np.int64]) -> dict[str, FloatArray]:
    """Read for each of `SNAPSHOT_COLUMNS` an array [snapshot]."""
    query = f"SELECT step, {', '.join(SNAPSHOT_COLUMNS)} FROM snapshot WHERE step IN (SELECT value FROM json_each(?))"
    arguments = (json.dumps(steps.tolist()),)
    values = damage.numbers(connection, "snapshot", query, 1 + len(SNAPSHOT_COLUMNS), arguments)
    columns = np.full((len(SNAPSHOT_COLUMNS), len(steps)), np.nan)
    places, is_known = _places(steps, values[:, 0])
    columns[:, places[is_known]] = values[is_known, 1:].T
    return dict(zip(SNAPSHOT_COLUMNS, columns, strict=True))


def read_grid(
    connection: sqlite3.Connection,
    damage: Damage,
    source: tuple[str, str],
    names: Sequence[str],
    axes: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> dict[str, FloatArray]:
    """Read statistics of layers or parameters; nan where one was not measured.

    Args:
        connection: Where to read.
        damage: Takes what can't be read.
        source: The table, and its column of ids.
        names: Columns to read.
        axes: Steps of the snapshots [snapshot], ascending, and ids [layer].

    Returns:
        For each name an array [snapshot layer].
    """
    steps, ids = axes
    grid = np.full((len(names), len(steps), len(ids)), np.nan)
    by_turns = [name in TURN_COLUMNS for name in names]
    for is_turn, condition in ((False, ""), (True, " AND coalesce({columns}) IS NOT NULL")):
        chosen = [index for index, takes_turns in enumerate(by_turns) if takes_turns == is_turn]
        if grid.size and chosen:
            columns = [names[index] for index in chosen]
            # SQL's coalesce takes two arguments at least.
            condition = condition.format(columns=", ".join([*columns, "NULL"]))
            values, snapshots, places = _read_cells(connection, damage, source, columns, axes, condition)
            for index, column in zip(chosen, values.T, strict=True):
                grid[index, snapshots, places] = column
    return dict(zip(names, grid, strict=True))


def _read_cells(
    connection: sqlite3.Connection,
    damage: Damage,
    source: tuple[str, str],
    names: Sequence[str],
    axes: tuple[NDArray[np.int64], NDArray[np.int64]],
    condition: str,
) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a grid: values [row name], and of each row its place along both axes."""
    (table, key), (steps, ids) = source, axes
    query = (
        f"SELECT step, {key}, {', '.join(names)} FROM {table} WHERE step IN (SELECT value FROM json_each(?)){condition}"
    )
    values = damage.numbers(connection, table, query, 2 + len(names), (json.dumps(steps.tolist()),))
    order = np.argsort(ids)
    places, is_layer = _places(ids[order], values[:, 1])
    snapshots, is_snapshot = _places(steps, values[:, 0])
    is_known = is_layer & is_snapshot
    return values[is_known, 2:], snapshots[is_known], order[places[is_known]]


def _places(known: NDArray[np.int64], numbers: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where numbers stand among those that are known, ascending, and which of them do; a damaged file has others."""
    whole = _whole_numbers(numbers)
    places = np.searchsorted(known, whole).clip(0, max(len(known) - 1, 0))
    return places, known[places] == whole if len(known) else np.zeros(len(whole), dtype=np.bool_)


def read_steps(
    connection: sqlite3.Connection, damage: Damage, max_steps: int
) -> tuple[NDArray[np.int64], dict[str, FloatArray], dict[int, str]]:
    """Read what the every-step watch saw.

    Args:
        connection: Where to read.
        damage: Takes what can't be read.
        max_steps: How many steps at most, about.

    Returns:
        Steps [step], ascending; for each of `STEP_COLUMNS` an array [step]; digest of the batch by step.
    """
    query = f"SELECT step, {', '.join(STEP_COLUMNS)} FROM step WHERE {_spaced_condition(connection, damage, max_steps)}"
    values = damage.numbers(connection, "step", query, 1 + len(STEP_COLUMNS))
    order = np.argsort(values[:, 0])
    steps = _whole_numbers(values[order, 0])
    columns = {name: values[order, index + 1].copy() for index, name in enumerate(STEP_COLUMNS)}
    query = "SELECT step, batch_fingerprint FROM step WHERE batch_fingerprint IS NOT NULL LIMIT ?"
    fingerprints = damage.rows(connection, "step", query, (max_steps,))
    return steps, columns, {int(step): str(fingerprint) for step, fingerprint in fingerprints}


def read_losses(connection: sqlite3.Connection, damage: Damage, max_steps: int) -> tuple[LossSeries, ...]:
    """Read one series per call site of `backward`, the first seen first; where NaN began is always among the steps."""
    sites = damage.rows(connection, "loss_site", f"SELECT site_id, site FROM loss_site LIMIT {MAX_SITE_COUNT}")
    condition = _spaced_condition(connection, damage, max_steps)
    query = (
        f"SELECT step, site_id, mean_loss, nonfinite_count FROM loss WHERE {condition}"
        " OR step = (SELECT min(step) FROM loss WHERE nonfinite_count > 0)"
    )
    values = damage.numbers(connection, "loss", query, 4)
    values = values[np.argsort(values[:, 0], kind="stable")]
    site_ids = _whole_numbers(values[:, 1])
    series = []
    for site_id, site in sorted(sites):
        rows = values[site_ids == site_id]
        series.append(
            LossSeries(
                site=str(site),
                steps=_whole_numbers(rows[:, 0]),
                values=rows[:, 2].copy(),
                nonfinite_counts=_whole_numbers(rows[:, 3]),
            )
        )
    return tuple(series)


def _spaced_condition(connection: sqlite3.Connection, damage: Damage, max_steps: int) -> str:
    """SQL that holds for about this many steps at most: both ends, evenly spaced ones between."""
    for count, first, last in damage.rows(connection, "step", "SELECT count(*), min(step), max(step) FROM step"):
        if count > max_steps:
            end_count = min(END_STEP_COUNT, max_steps // 4)
            stride = -(-(last - first + 1) // max(1, max_steps - 2 * end_count))
            return f"(step % {stride} = 0 OR step < {first + end_count} OR step > {last - end_count})"
    return "1"


def _whole_numbers(values: FloatArray) -> NDArray[np.int64]:
    """Steps, ids or counts from floats; ValueError where they are none."""
    if not np.all(np.isfinite(values)) or not np.all(np.abs(values) < 2.0**53):
        raise ValueError("a step, id or count is no whole number")
    return values.astype(np.int64)
