"""Keeps a run file below its bound: older steps and full measurements are thinned to a log-spaced set."""

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import RunFileError
from gradiometer.recording.rows import insert_rows
from gradiometer.recording.spacing import choose_spaced
from gradiometer.units import format_bytes

FULL_SHARE = 0.8
"""Share of the bound at which thinning begins; the rest is room for the next batch and for the write-ahead log."""

THINNED_SHARE = 0.55
"""Share of the bound at which thinning ends, so that it is rare: each time it rewrites much of the file."""

SLICE_ROW_COUNT = 20_000
"""Rows looked at per transaction, so that the write-ahead log stays small."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Tables that are thinned together, by the step that they share."""

    table: str
    tables: tuple[str, ...]
    least_count: int


STEP_GROUP = _Group("step", ("step", "loss"), 64)
SNAPSHOT_GROUP = _Group(
    "snapshot",
    (
        *("snapshot", "layer_statistics", "parameter_statistics"),
        *("turn", "example_statistics", "through_time", "histogram", "unit_marks"),
    ),
    4,
)

FIRST_NONFINITE = """
    SELECT min(step) FROM loss WHERE nonfinite_count > 0
    UNION ALL
    SELECT min(step) FROM layer_statistics WHERE output_nonfinite_count > 0 OR gradient_nonfinite_count > 0
    UNION ALL
    SELECT min(step) FROM parameter_statistics WHERE gradient_nonfinite_count > 0 OR weight_nonfinite_count > 0
"""
"""Where NaN or infinity began: the one step that no thinning may take."""


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the database that hold something; free pages are used again before the file grows."""
    page_size, page_count, free_count = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page_size * (page_count - free_count)


def make_room(connection: sqlite3.Connection, max_bytes: int) -> None:
    """Thin what is old where the file comes near its bound.

    Kept are the first 20 steps, the newest quarter, a log-spaced set between, and the step at which NaN or infinity
    began. Each slice is a transaction of its own; a process killed amid thinning leaves a sound file.

    Args:
        connection: A connection outside of any transaction.
        max_bytes: Bound of the file.

    Raises:
        RunFileError: Nothing is left that could be thinned; the bound is too small for this network.
    """
    if used_bytes(connection) <= FULL_SHARE * max_bytes:
        return
    while used_bytes(connection) > THINNED_SHARE * max_bytes:
        counts = {group: _count(connection, group.table) for group in (STEP_GROUP, SNAPSHOT_GROUP)}
        able = {group: count for group, count in counts.items() if count > 2 * group.least_count}
        if not able:
            if used_bytes(connection) <= FULL_SHARE * max_bytes:
                return
            raise RunFileError(f"{format_bytes(max_bytes)} are too small for this network; allow more with max_bytes")
        _halve(connection, max(able, key=lambda group: able[group] * _rows_per_step(connection, group)))


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def _rows_per_step(connection: sqlite3.Connection, group: _Group) -> int:
    """About how many rows one step of a group has, which is what it costs."""
    if group is STEP_GROUP:
        return 1 + _count(connection, "loss_site")
    return 1 + _count(connection, "layer") + _count(connection, "parameter")


def _halve(connection: sqlite3.Connection, group: _Group) -> None:
    """Keep half of a group's steps."""
    rows = connection.execute(f"SELECT step FROM {group.table} ORDER BY step").fetchall()
    steps: NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(-1)
    keep_count = len(steps) // 2
    mask = choose_spaced(steps, keep_count, first_count=min(20, keep_count // 4), last_count=keep_count // 4)
    nonfinite_steps = [step for (step,) in connection.execute(FIRST_NONFINITE) if step is not None]
    mask |= np.isin(steps, nonfinite_steps)
    slice_count = max(1, SLICE_ROW_COUNT // _rows_per_step(connection, group))
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS kept_step (step INTEGER PRIMARY KEY)")
    for start in range(0, len(steps), slice_count):
        part = slice(start, start + slice_count)
        if not mask[part].all():
            _delete_others(connection, group, steps[part], steps[part][mask[part]])


def _delete_others(
    connection: sqlite3.Connection, group: _Group, steps: NDArray[np.int64], kept: NDArray[np.int64]
) -> None:
    """Delete a range of steps but for some, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM temp.kept_step")
    insert_rows(connection, "temp.kept_step", ("step",), [(int(step),) for step in kept])
    for table in group.tables:
        connection.execute(
            f"DELETE FROM main.{table} WHERE step BETWEEN ? AND ? AND step NOT IN (SELECT step FROM temp.kept_step)",
            (int(steps[0]), int(steps[-1])),
        )
    connection.execute("COMMIT")
