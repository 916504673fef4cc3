"""A run as tables: columns of equal length, each with its unit in its name.

What was not measured is `nan` in a column of numbers and None elsewhere. A table without rows is left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from gradiometer.schema import (
    LAYER_COLUMNS,
    PARAMETER_COLUMNS,
    SNAPSHOT_COLUMNS,
    STEP_COLUMNS,
    Diagnosis,
    Finding,
    FloatArray,
    Layer,
    Parameter,
    Ranking,
    Run,
    Trial,
)

Columns = dict[str, list[Any]]
"""A table: column name to values, one for each row."""

INTERVAL_NAMES = ("interval_low", "interval_high")


def tables_of(run: Run, diagnosis: Diagnosis) -> dict[str, Columns]:
    """Put a run into tables.

    Args:
        run: The run.
        diagnosis: What was found in it.

    Returns:
        The tables of `TABLES` that have rows, by name.
    """
    made = {name: make(run, diagnosis) for name, make in TABLES.items()}
    return {name: table for name, table in made.items() if row_count(table)}


def row_count(table: Columns) -> int:
    """Rows of a table."""
    return len(next(iter(table.values()), ()))


def table_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Turn rows into columns; all rows have the same keys.

    Example:
        >>> table_of([{"step": 1, "kind": "jump"}, {"step": 4, "kind": "note"}])
        {'step': [1, 4], 'kind': ['jump', 'note']}
    """
    names = list(rows[0]) if rows else []
    return {name: [row[name] for row in rows] for name in names}


def nouns_table(nouns: Iterable[Any], kind: type, *, left_out: frozenset[str] = frozenset()) -> Columns:
    """One row for each noun of a class, one column for each of its fields."""
    names = [spec.name for spec in fields(kind) if spec.name not in left_out]
    return table_of([{name: getattr(noun, name) for name in names} for noun in nouns])


def statistics_table(
    run: Run, names: Sequence[str], owners: tuple[str, Sequence[str]], columns: Mapping[str, FloatArray]
) -> Columns:
    """One row for each full measurement and owner (layer or parameter) of which anything was measured in it.

    Args:
        run: The run.
        names: The columns, in their order.
        owners: How the owner's column is called, and the owners' names.
        columns: For each name an array [snapshot owner].
    """
    title, owner_names = owners
    known = {name: columns[name] for name in names if name in columns}
    if not known or not owner_names or not run.snapshot_count:
        return {}
    # What was not finite is counted with 0 also where nothing was measured.
    is_measured = np.logical_or.reduce(
        [grid > 0.0 if name.endswith("nonfinite_count") else ~np.isnan(grid) for name, grid in known.items()]
    )
    rows, places = np.nonzero(is_measured)
    return {
        "step": run.snapshot_steps[rows].tolist(),
        title: [owner_names[place] for place in places.tolist()],
        **{name: grid[rows, places].tolist() for name, grid in known.items()},
    }


def series_table(steps: Any, columns: Mapping[str, FloatArray], names: Sequence[str]) -> Columns:
    """One row for each step, with those columns that are there."""
    if not len(steps):
        return {}
    return {"step": steps.tolist(), **{name: columns[name].tolist() for name in names if name in columns}}


def losses_table(run: Run) -> Columns:
    """One row for each recorded step of each `backward` call site."""
    table: Columns = {"step": [], "site": [], "loss": [], "nonfinite_count": []}
    for series in run.losses:
        table["step"] += series.steps.tolist()
        table["site"] += [series.site] * len(series.steps)
        table["loss"] += series.values.tolist()
        table["nonfinite_count"] += series.nonfinite_counts.tolist()
    return table


def all_findings(diagnosis: Diagnosis) -> list[tuple[Finding, str]]:
    """Findings and what follows from each, with the condition that it follows from; empty for a root."""
    found = []
    for finding in diagnosis.findings:
        found.append((finding, ""))
        found += [(entry, finding.condition) for entry in finding.consequences]
    return found


def findings_table(diagnosis: Diagnosis) -> Columns:
    """One row for each finding, and for each of its consequences."""
    return table_of(
        [
            {
                "condition": finding.condition,
                "severity": finding.severity,
                "follows_from": root,
                "step": finding.step,
                "layers": finding.layers,
                "cause": finding.cause.name,
                "cause_share_db": finding.cause.share_db,
                "cause_text": finding.cause.text,
                "cures": finding.cures,
                "summary": finding.summary,
                "prognosis": finding.prognosis,
            }
            for finding, root in all_findings(diagnosis)
        ]
    )


def evidence_table(diagnosis: Diagnosis) -> Columns:
    """One row for each number behind a finding."""
    return table_of(
        [
            {
                "condition": finding.condition,
                "name": entry.name,
                "value": entry.value,
                "unit": entry.unit,
                "text": entry.text,
            }
            for finding, _ in all_findings(diagnosis)
            for entry in finding.evidence
        ]
    )


def ranking_table(run: Run) -> Columns:
    """One row for each cure that was tried."""
    ranking = run.outcome.ranking if run.outcome is not None else ()
    table = nouns_table(ranking, Ranking, left_out=frozenset({"interval"}))
    for place, name in enumerate(INTERVAL_NAMES) if ranking else ():
        table[name] = [entry.interval[place] if entry.interval is not None else None for entry in ranking]
    return table


def examples_table(run: Run) -> Columns:
    """One row for each example whose gradient norm was measured."""
    return table_of(
        [
            {
                "step": step,
                "position": position,
                "data_index": stats.data_indices[place] if stats.data_indices is not None else None,
                "gradient_norm": stats.norms[place],
                "cosine_with_batch": stats.cosines[place] if stats.cosines is not None else None,
            }
            for step, stats in sorted(run.examples.items())
            for place, position in enumerate(stats.positions)
        ]
    )


def through_time_table(run: Run) -> Columns:
    """One row for each time step of each measured way back through time."""
    return table_of(
        [
            {
                "step": step,
                "layer": fade.layer,
                "inner_layer": fade.inner_layer,
                "is_reverse": fade.is_reverse,
                "state": fade.state,
                "half_life_time_steps": fade.half_life_steps,
                "time_steps_back": place * fade.stride,
                "gain_ratio": gain,
            }
            for step, fades in sorted(run.fades.items())
            for fade in fades
            for place, gain in enumerate(fade.gains)
        ]
    )


def magnitudes_table(run: Run) -> Columns:
    """One row for each filled bin of each histogram: values from 2^exponent up to, not including, twice that."""
    return table_of(
        [
            {
                "step": step,
                "parameter": entry.parameter,
                "quantity": entry.quantity,
                "exponent": entry.first_exponent + place,
                "count": count,
                "sample_size": entry.sample_size,
            }
            for step, entries in sorted(run.histograms.items())
            for entry in entries
            for place, count in enumerate(entry.counts)
            if count
        ]
    )


UNIT_NAMES = ("layer", "unit_count", "window_examples", "saturated_count", "dead_count")


def units_table(run: Run) -> Columns:
    """One row for each layer in each measurement that judged its units."""
    return table_of(
        [
            {"step": step, **{name: getattr(marks, name) for name in UNIT_NAMES}}
            for step, listed in sorted(run.unit_marks.items())
            for marks in listed
        ]
    )


TABLES: Mapping[str, Callable[[Run, Diagnosis], Columns]] = {
    "facts": lambda run, _: table_of([{"name": name, "value": value} for name, value in run.facts.items()]),
    "layers": lambda run, _: nouns_table(run.layers, Layer),
    "parameters": lambda run, _: nouns_table(run.parameters, Parameter),
    "snapshots": lambda run, _: series_table(run.snapshot_steps, run.snapshot_columns, SNAPSHOT_COLUMNS),
    "layer_statistics": lambda run, _: statistics_table(
        run, LAYER_COLUMNS, ("layer", [layer.name for layer in run.layers]), run.layer_columns
    ),
    "parameter_statistics": lambda run, _: statistics_table(
        run, PARAMETER_COLUMNS, ("parameter", [one.name for one in run.parameters]), run.parameter_columns
    ),
    "steps": lambda run, _: series_table(run.steps, run.step_columns, STEP_COLUMNS),
    "losses": lambda run, _: losses_table(run),
    "events": lambda run, _: table_of(
        [{"step": event.step, "kind": event.kind, "text": event.text} for event in run.events]
    ),
    "not_seen": lambda run, _: table_of([{"layer": name, "reason": why} for name, why in run.coverage.unseen]),
    "findings": lambda _, diagnosis: findings_table(diagnosis),
    "evidence": lambda _, diagnosis: evidence_table(diagnosis),
    "trials": lambda run, _: nouns_table(run.trials, Trial),
    "ranking": lambda run, _: ranking_table(run),
    "examples": lambda run, _: examples_table(run),
    "through_time": lambda run, _: through_time_table(run),
    "magnitudes": lambda run, _: magnitudes_table(run),
    "units": lambda run, _: units_table(run),
}
"""By name, in the order in which they are listed."""
