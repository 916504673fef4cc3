"""What dear measurements say, as rows: the columns of each table, and the values in their order."""

import json
from collections.abc import Callable
from typing import Any

from gradiometer.schema import ExampleStats, OctaveHistogram, Snapshot, TimeFade, UnitMarks

TURN_FIELDS = ("measurement", "seconds", "not_measured_json")
EXAMPLE_FIELDS = (
    *("example_count", "measured_share", "gradient_squared", "trace", "nonfinite_count"),
    *("norms_json", "positions_json", "data_indices_json", "cosines_json"),
)
FADE_FIELDS = (
    *("inner_layer", "is_reverse", "state", "step_count", "stride", "half_life_steps", "nonfinite_count"),
    *("example_count", "norms_json", "gains_json"),
)
HISTOGRAM_FIELDS = (
    *("quantity", "first_exponent", "counts_json", "zero_count", "nonfinite_count", "subnormal_count"),
    *("sample_size", "element_count"),
)
MARK_FIELDS = ("unit_count", "window_examples", "saturated_count", "dead_count", "saturated_json", "dead_json")

FLOAT_TEXT_BYTES, INTEGER_TEXT_BYTES = 22, 8
"""What a number of a list takes, written as JSON."""

ROW_BYTES = 100
"""What the other columns of a row take."""

Row = tuple[Any, ...]

Table = tuple[str, tuple[str, ...], list[Row]]
"""A table, the columns of its rows, and the rows."""


def turn_tables(snapshot: Snapshot, layer_id: Callable[[str], int], parameter_id: Callable[[str], int]) -> list[Table]:
    """What a snapshot's dear measurement becomes; empty where none had its turn.

    Args:
        snapshot: The snapshot.
        layer_id: Gives a layer's id for its name.
        parameter_id: Gives a parameter's id for its name.
    """
    step, turn, examples = snapshot.step, snapshot.turn, snapshot.examples
    tables: list[Table] = []
    if turn is not None:
        row = (step, turn.measurement, turn.seconds, json.dumps(turn.not_measured))
        tables.append(("turn", ("step", *TURN_FIELDS), [row]))
    if examples is not None:
        tables.append(("example_statistics", ("step", *EXAMPLE_FIELDS), [(step, *example_values(examples))]))
    if snapshot.fades:
        rows = [(step, layer_id(fade.layer), *fade_values(fade)) for fade in snapshot.fades]
        tables.append(("through_time", ("step", "layer_id", *FADE_FIELDS), rows))
    if snapshot.histograms:
        rows = [(step, parameter_id(one.parameter), *histogram_values(one)) for one in snapshot.histograms]
        tables.append(("histogram", ("step", "parameter_id", *HISTOGRAM_FIELDS), rows))
    if snapshot.unit_marks:
        rows = [(step, layer_id(marks.layer), *mark_values(marks)) for marks in snapshot.unit_marks]
        tables.append(("unit_marks", ("step", "layer_id", *MARK_FIELDS), rows))
    return tables


def turn_row_count(snapshot: Snapshot) -> int:
    """How many rows they are."""
    single = (snapshot.turn is not None) + (snapshot.examples is not None)
    return single + len(snapshot.fades) + len(snapshot.histograms) + len(snapshot.unit_marks)


def turn_byte_count(snapshot: Snapshot) -> int:
    """About how many bytes they take at most: most of it is lists of numbers, written as text."""
    examples = snapshot.examples
    size = ROW_BYTES * turn_row_count(snapshot)
    if examples is not None:
        indices = examples.data_indices or ()
        size += FLOAT_TEXT_BYTES * (len(examples.norms) + len(examples.cosines or ()))
        size += INTEGER_TEXT_BYTES * (len(examples.positions) + len(indices))
    size += sum(FLOAT_TEXT_BYTES * (len(fade.norms) + len(fade.gains)) for fade in snapshot.fades)
    size += sum(INTEGER_TEXT_BYTES * len(one.counts) for one in snapshot.histograms)
    return size + sum(INTEGER_TEXT_BYTES * (len(marks.saturated) + len(marks.dead)) for marks in snapshot.unit_marks)


def example_values(stats: ExampleStats) -> Row:
    """A row's values, in the order of `EXAMPLE_FIELDS`."""
    indices = None if stats.data_indices is None else json.dumps(stats.data_indices)
    return (
        *(stats.example_count, stats.measured_share, stats.gradient_squared, stats.trace, stats.nonfinite_count),
        *(json.dumps(stats.norms), json.dumps(stats.positions), indices),
        None if stats.cosines is None else json.dumps(stats.cosines),
    )


def fade_values(fade: TimeFade) -> Row:
    """A row's values, in the order of `FADE_FIELDS`."""
    return (
        *(fade.inner_layer, fade.is_reverse, fade.state, fade.step_count, fade.stride, fade.half_life_steps),
        *(fade.nonfinite_count, fade.example_count, json.dumps(fade.norms), json.dumps(fade.gains)),
    )


def histogram_values(found: OctaveHistogram) -> Row:
    """A row's values, in the order of `HISTOGRAM_FIELDS`."""
    return (
        *(found.quantity, found.first_exponent, json.dumps(found.counts), found.zero_count, found.nonfinite_count),
        *(found.subnormal_count, found.sample_size, found.element_count),
    )


def mark_values(marks: UnitMarks) -> Row:
    """A row's values, in the order of `MARK_FIELDS`."""
    return (
        *(marks.unit_count, marks.window_examples, marks.saturated_count, marks.dead_count),
        *(json.dumps(marks.saturated), json.dumps(marks.dead)),
    )
