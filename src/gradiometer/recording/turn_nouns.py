"""Rows back to what dear measurements say; every value is checked.

Nothing else in a run rests on a turn: one that makes no sense is left out and told, and the rest is read.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.recording.distrust import Row
from gradiometer.recording.nouns import (
    Damage,
    as_list,
    as_number_or_none,
    as_text,
    as_whole,
    as_whole_or_none,
)
from gradiometer.recording.turn_rows import (
    EXAMPLE_FIELDS,
    FADE_FIELDS,
    HISTOGRAM_FIELDS,
    MARK_FIELDS,
    TURN_FIELDS,
)
from gradiometer.schema import ExampleStats, OctaveHistogram, TimeFade, Turn, UnitMarks

MAX_TURN_ROWS = 200_000
"""Rows of one of these tables that are read at most, the newest: 1 000 parameters are in 66 turns of histograms."""


def read_turns(connection: sqlite3.Connection, damage: Damage, steps: NDArray[np.int64]) -> dict[int, Turn]:
    """Read whose turn it was, by step."""
    rows = _rows_at(connection, damage, "turn", ("step", *TURN_FIELDS), steps)
    return dict(damage.made("turn", rows, lambda row: (as_whole(row[0]), _turn(row[1:]))))


def read_examples(connection: sqlite3.Connection, damage: Damage, steps: NDArray[np.int64]) -> dict[int, ExampleStats]:
    """Read what was measured of the examples, by step."""
    rows = _rows_at(connection, damage, "example_statistics", ("step", *EXAMPLE_FIELDS), steps)
    return dict(damage.made("example_statistics", rows, lambda row: (as_whole(row[0]), _examples(row[1:]))))


def read_fades(
    connection: sqlite3.Connection, damage: Damage, steps: NDArray[np.int64], layers: Mapping[int, str]
) -> dict[int, tuple[TimeFade, ...]]:
    """Read gradients through time, by step; `layers` are names by id."""
    rows = _rows_at(connection, damage, "through_time", ("step", "layer_id", *FADE_FIELDS), steps)
    return _grouped(damage, "through_time", rows, layers, _fade)


def read_histograms(
    connection: sqlite3.Connection, damage: Damage, steps: NDArray[np.int64], parameters: Mapping[int, str]
) -> dict[int, tuple[OctaveHistogram, ...]]:
    """Read histograms, by step; `parameters` are names by id."""
    rows = _rows_at(connection, damage, "histogram", ("step", "parameter_id", *HISTOGRAM_FIELDS), steps)
    return _grouped(damage, "histogram", rows, parameters, _histogram)


def read_unit_marks(
    connection: sqlite3.Connection, damage: Damage, steps: NDArray[np.int64], layers: Mapping[int, str]
) -> dict[int, tuple[UnitMarks, ...]]:
    """Read which units are saturated or dead, by step; `layers` are names by id."""
    rows = _rows_at(connection, damage, "unit_marks", ("step", "layer_id", *MARK_FIELDS), steps)
    return _grouped(damage, "unit_marks", rows, layers, _marks)


def _rows_at(
    connection: sqlite3.Connection,
    damage: Damage,
    table: str,
    columns: tuple[str, ...],
    steps: NDArray[np.int64],
) -> list[Row]:
    """Rows of the snapshots that are read, in order of their keys; the newest where there are too many."""
    query = (
        f"SELECT {', '.join(columns)} FROM {table} WHERE step IN (SELECT value FROM json_each(?))"
        " ORDER BY step DESC LIMIT ?"
    )
    rows = damage.rows(connection, table, query, (json.dumps(steps.tolist()), MAX_TURN_ROWS))
    return sorted(rows, key=lambda row: as_whole(row[0]))


def _grouped(
    damage: Damage, table: str, rows: Sequence[Row], names: Mapping[int, str], noun: Callable[[str, Row], Any]
) -> dict[int, Any]:
    """Rows as nouns, by step; what belongs to nothing known is left out."""
    known = [row for row in rows if row[1] in names]
    found: dict[int, list[Any]] = {}
    for step, made in damage.made(table, known, lambda row: (as_whole(row[0]), noun(names[row[1]], row[2:]))):
        found.setdefault(step, []).append(made)
    return {step: tuple(nouns) for step, nouns in found.items()}


def _turn(values: Row) -> Turn:
    measurement, seconds, left_out = values
    return Turn(
        measurement=as_text(measurement),
        seconds=as_number_or_none(seconds),
        not_measured=tuple((as_text(what), as_text(reason)) for what, reason in as_list(left_out)),
    )


def _examples(values: Sequence[Any]) -> ExampleStats:
    example_count, measured_share, gradient_squared, trace, nonfinite_count, norms, positions, indices, cosines = values
    counts = {len(as_list(each)) for each in (norms, positions, indices, cosines) if each is not None}
    if len(counts) > 1:
        raise ValueError(f"{sorted(counts)} entries for as many examples")
    return ExampleStats(
        norms=_numbers(norms),
        positions=tuple(as_whole(position) for position in as_list(positions)),
        data_indices=None if indices is None else tuple(as_whole_or_none(index) for index in as_list(indices)),
        example_count=as_whole(example_count),
        measured_share=as_number_or_none(measured_share),
        gradient_squared=as_number_or_none(gradient_squared),
        trace=as_number_or_none(trace),
        nonfinite_count=as_whole(nonfinite_count),
        cosines=None if cosines is None else _numbers(cosines),
    )


def _fade(layer: str, values: Row) -> TimeFade:
    inner, is_reverse, state, step_count, stride, half_life, nonfinite_count, example_count, norms, gains = values
    return TimeFade(
        layer=layer,
        inner_layer=as_whole(inner),
        is_reverse=bool(is_reverse),
        state=as_text(state),
        step_count=as_whole(step_count),
        stride=as_whole(stride),
        norms=_numbers(norms),
        gains=_numbers(gains),
        half_life_steps=as_number_or_none(half_life),
        nonfinite_count=as_whole(nonfinite_count),
        example_count=as_whole_or_none(example_count),
    )


def _histogram(parameter: str, values: Row) -> OctaveHistogram:
    quantity, first_exponent, counts, *others = values
    zero_count, nonfinite_count, subnormal_count, sample_size, element_count = map(as_whole, others)
    return OctaveHistogram(
        parameter=parameter,
        quantity=as_text(quantity),
        first_exponent=as_whole(first_exponent),
        counts=tuple(as_whole(count) for count in as_list(counts)),
        zero_count=zero_count,
        nonfinite_count=nonfinite_count,
        subnormal_count=subnormal_count,
        sample_size=sample_size,
        element_count=element_count,
    )


def _marks(layer: str, values: Row) -> UnitMarks:
    unit_count, window_examples, saturated_count, dead_count, saturated, dead = values
    return UnitMarks(
        layer=layer,
        unit_count=as_whole(unit_count),
        window_examples=as_whole(window_examples),
        saturated_count=as_whole_or_none(saturated_count),
        dead_count=as_whole_or_none(dead_count),
        saturated=tuple(as_whole(rank) for rank in as_list(saturated)),
        dead=tuple(as_whole(rank) for rank in as_list(dead)),
    )


def _numbers(text: Any) -> tuple[float | None, ...]:
    return tuple(as_number_or_none(value) for value in as_list(text))
