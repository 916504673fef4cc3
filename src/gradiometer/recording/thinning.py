"""Keeps a run file below its bound: older steps and full measurements are thinned to a log-spaced set."""

import sqlite3
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import RunFileError
from gradiometer.recording.rows import insert_rows
from gradiometer.recording.spacing import Mask, Steps, choose_spaced, spread_kinds
from gradiometer.units import format_bytes

FULL_SHARE = 0.75
"""Share of the bound at which thinning begins; the rest is room for the next batch and for the write-ahead log."""

THINNED_SHARE = 0.55
"""Share of the bound at which thinning ends, so that it is rare: each time it rewrites much of the file."""

SLICE_SHARE = 0.03
"""Share of the bound that is looked at in one transaction, so that the write-ahead log stays small."""

MOST_SLICE_BYTES = 2 * 2**20
"""Bytes looked at in one transaction at most, however large the file: nobody who reads it waits for long."""

SAMPLED_STEPS = 32
"""Steps whose size is looked up to know what the others take."""

LISTED_STEPS = 10_000
"""Steps that are listed at once: Python's lock is held while they are taken over, a millisecond."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Tables that are thinned together, by the step that they share; the first has a row for every step."""

    tables: tuple[str, ...]
    least_count: int


STEP_GROUP = _Group(("step", "loss"), 64)
SNAPSHOT_GROUP = _Group(
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
    began; of full measurements about as many for each dear measurement, and with none. Each slice is a transaction of
    its own; a process killed amid thinning leaves a sound file.

    Args:
        connection: A connection outside of any transaction.
        max_bytes: Bound of the file.

    Raises:
        RunFileError: Nothing is left that could be thinned; the bound is too small for this network.
    """
    if used_bytes(connection) <= FULL_SHARE * max_bytes:
        return
    slice_bytes = min(MOST_SLICE_BYTES, SLICE_SHARE * max_bytes)
    while used_bytes(connection) > THINNED_SHARE * max_bytes:
        if not _halve_largest(connection, slice_bytes):
            if used_bytes(connection) <= FULL_SHARE * max_bytes:
                return
            raise RunFileError(f"{format_bytes(max_bytes)} are too small for this network; allow more with max_bytes")


def _halve_largest(connection: sqlite3.Connection, slice_bytes: float) -> bool:
    """Halve the group that takes most; whether there was one to be halved."""
    listed = {
        STEP_GROUP: _sorted_kinds([_list_steps(connection, "SELECT step FROM main.step")]),
        SNAPSHOT_GROUP: _sorted_kinds(_list_snapshots(connection)),
    }
    step_bytes = {
        group: _bytes_per_step(connection, group, steps)
        for group, (steps, _) in listed.items()
        if len(steps) > 2 * group.least_count
    }
    for group in sorted(step_bytes, key=lambda group: step_bytes[group] * len(listed[group][0]), reverse=True):
        steps, kinds = listed[group]
        mask = _choose_half(steps, kinds)
        mask |= np.isin(steps, [step for (step,) in connection.execute(FIRST_NONFINITE) if step is not None])
        if not mask.all():
            _delete_others(connection, group, steps, mask, slice_count=max(1, int(slice_bytes / step_bytes[group])))
            return True
    return False


def _list_snapshots(connection: sqlite3.Connection) -> list[Steps]:
    """Steps of full measurements, those without a dear measurement and those of each one's turns apart."""
    names = [name for (name,) in connection.execute("SELECT DISTINCT measurement FROM turn ORDER BY measurement")]
    without = "SELECT step FROM main.snapshot WHERE step NOT IN (SELECT step FROM main.turn)"
    of_one = "SELECT step FROM main.snapshot WHERE step IN (SELECT step FROM main.turn WHERE measurement = ?)"
    return [_list_steps(connection, without), *(_list_steps(connection, of_one, name) for name in names)]


def _sorted_kinds(parts: list[Steps]) -> tuple[Steps, NDArray[np.int64]]:
    """Steps of several kinds in their order, and the kind of each."""
    steps = np.concatenate(parts)
    kinds = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    order = np.argsort(steps, kind="stable")
    return steps[order], kinds[order]


def _list_steps(connection: sqlite3.Connection, selection: str, *values: str) -> Steps:
    """Steps that a statement selects, ascending.

    Many come in one row: a row for each would give Python's lock back and ask the training for it again.
    """
    page = f"SELECT step FROM ({selection}) WHERE step > ? ORDER BY step LIMIT {LISTED_STEPS}"
    found = [np.zeros(0, dtype=np.int64)]
    last = -1
    while text := connection.execute(f"SELECT group_concat(step) FROM ({page})", (*values, last)).fetchone()[0]:
        found.append(np.sort(np.fromstring(text, dtype=np.int64, sep=",")))
        last = int(found[-1][-1])
    return np.concatenate(found)


def _bytes_per_step(connection: sqlite3.Connection, group: _Group, steps: Steps) -> float:
    """About how many bytes of rows a step of a group takes, by some that are evenly spaced.

    The words are the same each time: Python keeps the last 128 statements of a connection, 10 KiB each.
    """
    places = np.linspace(0, len(steps) - 1, min(SAMPLED_STEPS, len(steps))).astype(np.int64)
    sample = [*steps[places].tolist(), *[None] * (SAMPLED_STEPS - len(places))]
    found = 0.0
    for table in group.tables:
        columns = [str(row[1]) for row in connection.execute(f"PRAGMA main.table_info({table})")]
        row_bytes = " + ".join(f"CASE typeof({name}) WHEN 'text' THEN length({name}) ELSE 8 END" for name in columns)
        statement = f"SELECT total({row_bytes}) FROM main.{table} WHERE step IN ({', '.join('?' * SAMPLED_STEPS)})"
        found += float(connection.execute(statement, sample).fetchone()[0])
    return found / len(places)


def _choose_half(steps: Steps, kinds: NDArray[np.int64]) -> Mask:
    """Half of some steps, both ends among them, and of each kind some."""
    keep_count = len(steps) // 2
    first_count, last_count = min(20, keep_count // 4), keep_count // 4
    mask = choose_spaced(steps, keep_count, first_count=first_count, last_count=last_count)
    return spread_kinds(mask, kinds, first_count=first_count, last_count=last_count)


def _delete_others(
    connection: sqlite3.Connection, group: _Group, steps: Steps, kept: Mask, *, slice_count: int
) -> None:
    """Delete the rows of a group's steps but for some, so many steps in each transaction."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS kept_step (step INTEGER PRIMARY KEY)")
    others = "step BETWEEN ? AND ? AND step NOT IN (SELECT step FROM temp.kept_step)"
    for start in range(0, len(steps), slice_count):
        part = slice(start, start + slice_count)
        if kept[part].all():
            continue
        ends = (int(steps[part][0]), int(steps[part][-1]))
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM temp.kept_step")
        insert_rows(connection, "temp.kept_step", ("step",), [(step,) for step in steps[part][kept[part]].tolist()])
        for table in group.tables:
            connection.execute(f"DELETE FROM main.{table} WHERE {others}", ends)
        connection.execute("COMMIT")
