"""Nouns to rows: each class of noun has one function that writes it into its tables.

Rows are written many to a statement: Python's lock is given back once per statement, so a statement per row would
wake the training thread's competitor once per row.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar

from gradiometer.recording.turn_rows import turn_byte_count, turn_row_count, turn_tables
from gradiometer.schema import (
    LAYER_COLUMNS,
    PARAMETER_COLUMNS,
    SNAPSHOT_COLUMNS,
    STEP_COLUMNS,
    Coverage,
    Event,
    Layer,
    Outcome,
    Parameter,
    Snapshot,
    StepStats,
    Trial,
)

MAX_TEXT_LENGTH = 1_000_000
"""Longest text written, characters; a traceback or a message beyond it is cut."""

MAX_EVENT_COUNT = 10_000
"""Events beyond this many are not written: what happens every step is no event."""

VALUE_BYTES = 9
"""A number in the file, with what says that it is one."""

ROWS_AT_ONCE = (48, 8, 1)
"""Rows per statement, tried in this order; few sizes, so that prepared statements are found again. SQLite before
3.32 takes 999 values in a statement: 48 rows of 20 columns stay below."""

LAYER_FIELDS = (
    "name",
    "kind",
    "role",
    "position",
    "call_site",
    "activation",
    "greatest_slope",
    "unit_count",
    "fan_in",
    "fan_out",
    "dropped_share",
)
PARAMETER_FIELDS = ("name", "layer", "dtype", "is_trainable", "is_optimized", "optimizer")
TRIAL_FIELDS = (
    "seed",
    "sieve",
    "run_file",
    "status",
    "final_loss",
    "step_count",
    "elapsed_seconds",
    "is_paired",
    "detail",
)


PLAIN_TYPES = frozenset({int, float, str, bool, type(None)})
"""What SQLite takes as it is. A numpy scalar of another type than float64 would be stored as its bytes."""


def encode_json(value: Any) -> str:
    """Write a value as JSON; what JSON does not know becomes a plain number, or its text.

    Infinity and NaN are written as Python's json module reads them.

    Example:
        >>> encode_json({"rate": float("inf"), "shape": (2, 3)})
        '{"rate": Infinity, "shape": [2, 3]}'
    """
    try:
        return json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(str(type(value)))


def encode_fact(value: Any) -> str:
    """Write a fact as JSON; one that is far too long is cut and becomes text."""
    text = encode_json(value)
    return text if len(text) <= MAX_TEXT_LENGTH else json.dumps(str(value)[: MAX_TEXT_LENGTH // 6])


def _plain(value: Any) -> Any:
    """Turn a numpy scalar into Python's number and anything else into text."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else str(value)


def _storable(value: Any) -> Any:
    """Turn a value that SQLite refused into one that it takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, int):
        return value if abs(value) < 2**63 else float(value)
    return value if value is None or isinstance(value, float) else _plain(value)


@cache
def _insert_statement(table: str, columns: tuple[str, ...], row_count: int) -> str:
    """SQL that inserts this many rows, in place of those with the same key."""
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * row_count)}"


def insert_rows(
    connection: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert rows, each in place of the one with the same key.

    Args:
        connection: A connection within a transaction.
        table: Name of the table.
        columns: Names of the columns.
        rows: A value per column in each; numpy scalars are taken too.
    """
    start = 0
    for size in ROWS_AT_ONCE:
        statement = _insert_statement(table, columns, size)
        while len(rows) - start >= size:
            values = list(chain.from_iterable(rows[start : start + size]))
            if not PLAIN_TYPES.issuperset(map(type, values)):
                values = [_storable(value) for value in values]
            try:
                connection.execute(statement, values)
            except (OverflowError, UnicodeEncodeError):
                connection.execute(statement, [_storable(value) for value in values])
            start += size


STEP_FIELDS = attrgetter("step", "losses", *STEP_COLUMNS, "batch_fingerprint")
"""A step as a tuple, in which the every-step watch hands it over."""


def row_count_of(item: Any) -> int:
    """About how many rows an item becomes."""
    if type(item) is tuple:
        return 1 + len(item[1])
    if isinstance(item, Snapshot):
        return 1 + len(item.layers) + len(item.parameters) + turn_row_count(item)
    return 1 + len(item.losses) if isinstance(item, StepStats) else 1


def byte_count_of(item: Any) -> int:
    """About how many bytes of the file an item takes at most."""
    if isinstance(item, Snapshot):
        layers = len(item.layers) * (2 + len(LAYER_COLUMNS))
        parameters = len(item.parameters) * (2 + len(PARAMETER_COLUMNS))
        return VALUE_BYTES * (1 + len(SNAPSHOT_COLUMNS) + layers + parameters) + turn_byte_count(item)
    if isinstance(item, dict):
        return sum(map(len, item.values()))
    text_length = len(item.text) if isinstance(item, Event) else 0
    return VALUE_BYTES * len(STEP_COLUMNS) * row_count_of(item) + text_length


@dataclass(frozen=True, slots=True)
class Renaming:
    """A parameter is known by another name now.

    Attributes:
        old: The name that it was recorded under.
        new: The name that its root gives it.
    """

    old: str
    new: str


class RowWriter:
    """Writes nouns into the tables behind one connection, and remembers the ids it gave to names.

    Args:
        connection: A connection to a database that has the tables of today.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._layer_ids = self._ids("layer", "layer_id", "name")
        self._parameter_ids = self._ids("parameter", "parameter_id", "name")
        self._site_ids = self._ids("loss_site", "site_id", "site")
        self._event_count = int(connection.execute("SELECT count(*) FROM event").fetchone()[0])
        self._steps: list[tuple[Any, ...]] = []

    def write(self, items: Sequence[Any]) -> None:
        """Write items in their order, within the transaction that the caller has begun.

        Args:
            items: Nouns, mappings of a fact's name to its JSON, and steps as tuples of their fields.
        """
        for item in items:
            self._WRITERS[type(item)](self, item)
        self._write_steps()

    def _ids(self, table: str, key: str, name: str) -> dict[str, int]:
        return {text: row_id for row_id, text in self._connection.execute(f"SELECT {key}, {name} FROM {table}")}

    def _insert(self, table: str, columns: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> None:
        insert_rows(self._connection, table, columns, rows)

    def _write_facts(self, facts: Mapping[str, str]) -> None:
        self._insert("fact", ("name", "value_json"), list(facts.items()))

    def _write_layer(self, layer: Layer) -> None:
        layer_id = self._layer_ids.setdefault(layer.name, len(self._layer_ids))
        row = (layer_id, *attrgetter(*LAYER_FIELDS)(layer), encode_json(layer.parameters))
        self._insert("layer", ("layer_id", *LAYER_FIELDS, "parameters_json"), [row])

    def _write_parameter(self, parameter: Parameter) -> None:
        parameter_id = self._parameter_ids.setdefault(parameter.name, len(self._parameter_ids))
        row = (parameter_id, *attrgetter(*PARAMETER_FIELDS)(parameter), encode_json(parameter.shape))
        self._insert("parameter", ("parameter_id", *PARAMETER_FIELDS, "shape_json"), [row])

    def _layer_id(self, name: str) -> int:
        """Id of a layer; one that was measured before it was described gets a line of its own."""
        if name not in self._layer_ids:
            self._write_layer(Layer(name=name, kind="unknown", role="leaf", position=len(self._layer_ids)))
        return self._layer_ids[name]

    def _rename_parameter(self, names: Renaming) -> None:
        if names.old in self._parameter_ids and names.new not in self._parameter_ids:
            parameter_id = self._parameter_ids[names.new] = self._parameter_ids.pop(names.old)
            self._connection.execute("UPDATE parameter SET name = ? WHERE parameter_id = ?", (names.new, parameter_id))

    def _parameter_id(self, name: str) -> int:
        if name not in self._parameter_ids:
            self._write_parameter(Parameter(name=name, layer=None, shape=(), dtype="unknown"))
        return self._parameter_ids[name]

    def _write_snapshot(self, snapshot: Snapshot) -> None:
        step = snapshot.step
        self._insert("snapshot", ("step", *SNAPSHOT_COLUMNS), [(step, *attrgetter(*SNAPSHOT_COLUMNS)(snapshot))])
        values_of = attrgetter(*LAYER_COLUMNS)
        layers = [(step, self._layer_id(stats.layer), *values_of(stats)) for stats in snapshot.layers]
        self._insert("layer_statistics", ("step", "layer_id", *LAYER_COLUMNS), layers)
        values_of = attrgetter(*PARAMETER_COLUMNS)
        parameters = [(step, self._parameter_id(stats.parameter), *values_of(stats)) for stats in snapshot.parameters]
        self._insert("parameter_statistics", ("step", "parameter_id", *PARAMETER_COLUMNS), parameters)
        for table, columns, rows in turn_tables(snapshot, self._layer_id, self._parameter_id):
            self._insert(table, columns, rows)

    def _site_id(self, site: str) -> int:
        if site not in self._site_ids:
            self._site_ids[site] = len(self._site_ids)
            self._insert("loss_site", ("site_id", "site"), [(self._site_ids[site], site)])
        return self._site_ids[site]

    def _write_steps(self) -> None:
        columns = ("step", *STEP_COLUMNS, "batch_fingerprint")
        self._insert("step", columns, [(row[0], *row[2:]) for row in self._steps])
        losses = [
            (row[0], self._site_id(site), mean, call_count, nonfinite_count)
            for row in self._steps
            for site, mean, call_count, nonfinite_count in row[1]
        ]
        self._insert("loss", ("step", "site_id", "mean_loss", "call_count", "nonfinite_count"), losses)
        self._steps.clear()

    def _write_event(self, event: Event) -> None:
        if self._event_count < MAX_EVENT_COUNT:
            self._event_count += 1
            self._insert("event", ("step", "kind", "text"), [(event.step, event.kind, event.text[:MAX_TEXT_LENGTH])])

    def _write_coverage(self, coverage: Coverage) -> None:
        row = (1, coverage.seen_count, coverage.total_count, encode_json(coverage.unseen), encode_json(coverage.notes))
        self._insert("coverage", ("coverage_id", "seen_count", "total_count", "unseen_json", "notes_json"), [row])

    def _write_trial(self, trial: Trial) -> None:
        row = (encode_json(trial.cures), *attrgetter(*TRIAL_FIELDS)(trial))
        self._insert("trial", ("cures_json", *TRIAL_FIELDS), [row])

    def _write_outcome(self, outcome: Outcome) -> None:
        self._insert("outcome", ("outcome_id", "outcome_json"), [(1, encode_json(asdict(outcome)))])

    def _write_step(self, stats: StepStats) -> None:
        self._steps.append(STEP_FIELDS(stats))

    def _keep_step(self, fields: tuple[Any, ...]) -> None:
        self._steps.append(fields)

    # A table of the class: one of bound methods in each writer would be a circle, and keep its connection open.
    _WRITERS: ClassVar[Mapping[type, Callable[["RowWriter", Any], None]]] = {
        dict: _write_facts,
        Layer: _write_layer,
        Parameter: _write_parameter,
        Renaming: _rename_parameter,
        Snapshot: _write_snapshot,
        StepStats: _write_step,
        tuple: _keep_step,
        Event: _write_event,
        Coverage: _write_coverage,
        Trial: _write_trial,
        Outcome: _write_outcome,
    }
    """Type of an item to what writes it."""
