"""Reads a run file into a `Run`: read-only, also while it is written, also what a killed process left.

A file may come from anywhere. Nothing in it is run, sizes are bounded, and what is damaged is said: parts that can't
be read are left out and named in the coverage line; where the core is lost, a sentence says what to do.
"""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from gradiometer.errors import NotARunFileError
from gradiometer.recording.migrations import MIGRATIONS
from gradiometer.recording.nouns import (
    Damage,
    read_coverage,
    read_events,
    read_facts,
    read_layers,
    read_outcome,
    read_parameters,
    read_trials,
)
from gradiometer.recording.opening import explain_database_error, opened_for_reading
from gradiometer.recording.series import choose_snapshots, read_grid, read_losses, read_snapshots, read_steps
from gradiometer.recording.turn_nouns import read_examples, read_fades, read_histograms, read_turns, read_unit_marks
from gradiometer.schema import LAYER_COLUMNS, PARAMETER_COLUMNS, Coverage, Run

MAX_SNAPSHOTS = 1000
"""Full measurements that are read at most: a report shows no more, and opens in under a second."""

MAX_STEPS = 100_000
"""Steps that are read at most, evenly spaced beyond that."""


def read_run(path: Path | str, *, max_snapshots: int = MAX_SNAPSHOTS, max_steps: int = MAX_STEPS) -> Run:
    """Read a run file, which another process may be writing.

    Args:
        path: The file.
        max_snapshots: Full measurements to read at most: the first 20, the last 50, spaced ones between.
        max_steps: Steps of the every-step watch to read at most: both ends, evenly spaced ones between.

    Returns:
        The run up to the last commit.

    Raises:
        NotARunFileError: The file is something else, or too damaged to be read.
        NewerRunFileError: A later version of gradiometer wrote it.
        RunFileError: It is not there, not readable, or held by another program.
    """
    path = Path(path)
    with opened_for_reading(path, MIGRATIONS) as connection:
        try:
            return run_from(connection, max_snapshots=max_snapshots, max_steps=max_steps)
        except sqlite3.DatabaseError as error:
            raise explain_database_error(error, path) from error
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, MemoryError) as error:
            raise NotARunFileError(
                f"{path} is damaged (a value in it makes no sense: {str(error)[:200]}): "
                "copy it again from where it came from, or record it again."
            ) from error


def run_from(connection: sqlite3.Connection, *, max_snapshots: int = MAX_SNAPSHOTS, max_steps: int = MAX_STEPS) -> Run:
    """Read the run behind a connection, all of it as of one moment.

    Args:
        connection: A connection outside of any transaction, to tables of today's version.
        max_snapshots: As in `read_run`.
        max_steps: As in `read_run`.
    """
    connection.execute("BEGIN")
    try:
        return _read_tables(connection, max_snapshots, max_steps)
    finally:
        connection.execute("ROLLBACK")


def follow(path: Path | str, poll_seconds: float = 0.5, *, max_snapshots: int = MAX_SNAPSHOTS) -> Iterator[Run]:
    """Read a run again and again while it goes on, for a live view.

    Args:
        path: The run file.
        poll_seconds: Time between two looks.
        max_snapshots: As in `read_run`.

    Yields:
        The run, once per look; the very same object where nothing was written since the last one, so that a caller
        can tell a run that has died without a word. The last one yielded is a run that is over.

    Raises:
        RunFileError: As `read_run`.
    """
    path = Path(path)
    seen = _change_marks(path)
    run = read_run(path, max_snapshots=max_snapshots)
    while run.facts.get("status", "running") == "running":
        yield run
        time.sleep(poll_seconds)
        marks = _change_marks(path)
        if marks != seen:
            seen = marks
            run = read_run(path, max_snapshots=max_snapshots)
    yield run


def _change_marks(path: Path) -> tuple[tuple[int, int], ...]:
    """Times and sizes of a run file and its log, which change with every commit."""
    marks = []
    for companion in (path, path.with_name(path.name + "-wal")):
        try:
            found = companion.stat()
        except OSError:
            continue
        marks.append((found.st_mtime_ns, found.st_size))
    return tuple(marks)


def _read_tables(connection: sqlite3.Connection, max_snapshots: int, max_steps: int) -> Run:
    damage = Damage()
    facts = read_facts(connection, damage)
    layer_ids, layers = read_layers(connection)
    parameter_ids, parameters = read_parameters(connection)
    snapshot_steps = choose_snapshots(connection, damage, max_snapshots, max(len(layers), len(parameters), 1))
    steps, step_columns, fingerprints = read_steps(connection, damage, max_steps)
    layer_names = {int(key): layer.name for key, layer in zip(layer_ids, layers, strict=True)}
    parameter_names = {int(key): one.name for key, one in zip(parameter_ids, parameters, strict=True)}
    return Run(
        facts=facts,
        layers=layers,
        parameters=parameters,
        snapshot_steps=snapshot_steps,
        snapshot_columns=read_snapshots(connection, damage, snapshot_steps),
        layer_columns=read_grid(
            connection, damage, ("layer_statistics", "layer_id"), LAYER_COLUMNS, (snapshot_steps, layer_ids)
        ),
        parameter_columns=read_grid(
            connection,
            damage,
            ("parameter_statistics", "parameter_id"),
            PARAMETER_COLUMNS,
            (snapshot_steps, parameter_ids),
        ),
        turns=read_turns(connection, damage, snapshot_steps),
        examples=read_examples(connection, damage, snapshot_steps),
        fades=read_fades(connection, damage, snapshot_steps, layer_names),
        histograms=read_histograms(connection, damage, snapshot_steps, parameter_names),
        unit_marks=read_unit_marks(connection, damage, snapshot_steps, layer_names),
        steps=steps,
        step_columns=step_columns,
        losses=read_losses(connection, damage, max_steps),
        fingerprints=fingerprints,
        events=read_events(connection, damage),
        trials=read_trials(connection, damage),
        outcome=read_outcome(connection, damage),
        coverage=_with_damage(read_coverage(connection, damage), damage),
    )


def _with_damage(coverage: Coverage, damage: Damage) -> Coverage:
    """The coverage line, with what could not be read."""
    notes = (*coverage.notes, *(f"the run file is damaged: {text}" for text in damage.texts))
    return Coverage(coverage.seen_count, coverage.total_count, coverage.unseen, notes)
