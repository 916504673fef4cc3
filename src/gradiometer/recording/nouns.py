"""Rows back to nouns: facts, layers, parameters, events, coverage, trials, outcome; every value is checked."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from gradiometer.recording.distrust import Row, blocks_of, is_interrupted, rows_of
from gradiometer.recording.fact_shapes import fits
from gradiometer.recording.plain_json import parse_json
from gradiometer.recording.rows import LAYER_FIELDS, MAX_EVENT_COUNT, TRIAL_FIELDS
from gradiometer.schema import (
    Contrast,
    Coverage,
    Endpoint,
    Event,
    Layer,
    Outcome,
    OutcomeVerdict,
    Parameter,
    Ranking,
    Role,
    Trial,
)

Noun = TypeVar("Noun")

MAX_LAYER_COUNT = 100_000
"""Layers or parameters that are read at most; more is a hostile file that wants memory."""

MAX_TRIAL_COUNT = 100_000
"""Trials that are read at most, for the same reason."""


class Damage:
    """Collects which parts of a file could not be read.

    Attributes:
        texts: One sentence part per damaged table.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []

    def rows(
        self, connection: sqlite3.Connection, table: str, query: str, arguments: tuple[Any, ...] = ()
    ) -> list[Row]:
        """Run a query and keep the rows that come before any damage.

        Args:
            connection: Where to read.
            table: Table that the query reads, for the sentence.
            query: SQL.
            arguments: Its values.
        """
        rows: list[Row] = []
        try:
            for row in rows_of(connection, query, arguments):
                rows.append(row)
        except sqlite3.DatabaseError as error:
            self._note(table, error)
        return rows

    def numbers(
        self, connection: sqlite3.Connection, table: str, query: str, width: int, arguments: tuple[Any, ...] = ()
    ) -> NDArray[np.float64]:
        """Run a query for numbers and keep the rows that come before any damage.

        Args:
            connection: Where to read.
            table: Table that the query reads, for the sentence.
            query: SQL.
            width: Columns that it gives.
            arguments: Its values.

        Returns:
            An array [row column], None as nan.

        Raises:
            ValueError: A value is no number.
        """
        blocks: list[NDArray[np.float64]] = [np.empty((0, width))]
        try:
            for rows in blocks_of(connection, query, arguments):
                blocks.append(np.array(rows, dtype=np.float64).reshape(len(rows), width))
        except sqlite3.DatabaseError as error:
            self._note(table, error)
        return np.concatenate(blocks)

    def made(self, table: str, rows: Iterable[Row], noun: Callable[[Row], Noun]) -> list[Noun]:
        """Make nouns of rows that nothing else rests on: one that makes no sense is left out, and that is told.

        Args:
            table: Where they come from, for the sentence.
            rows: The rows.
            noun: Makes one of them; what it raises says what is wrong with the row.
        """
        nouns: list[Noun] = []
        reasons: list[str] = []
        for row in rows:
            try:
                nouns.append(noun(row))
            except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
                reasons.append(str(error)[:200])
        if reasons:
            count = "a row" if len(reasons) == 1 else f"{len(reasons)} rows"
            self.texts.append(f"{count} of its table '{table}' made no sense ({reasons[0]})")
        return nouns

    def _note(self, table: str, error: sqlite3.DatabaseError) -> None:
        if is_interrupted(error):
            raise error
        self.texts.append(f"its table '{table}' could not be read to the end ({error})")


def read_facts(connection: sqlite3.Connection, damage: Damage) -> dict[str, Any]:
    """Read the facts, by name; one that makes no sense is left out."""
    rows = rows_of(connection, "SELECT name, value_json FROM fact LIMIT 10000")
    facts = {as_text(name): parse_json(as_text(value)) for name, value in rows}
    senseless = sorted(name for name, value in facts.items() if not fits(name, value))
    damage.texts += [f"its fact '{name[:40]}' makes no sense" for name in senseless]
    return {name: value for name, value in facts.items() if name not in senseless}


def read_layers(connection: sqlite3.Connection) -> tuple[NDArray[np.int64], tuple[Layer, ...]]:
    """Read the layers in order of first execution.

    Returns:
        Their ids [layer], and they.
    """
    query = (
        f"SELECT layer_id, parameters_json, {', '.join(LAYER_FIELDS)} FROM layer ORDER BY position, layer_id LIMIT ?"
    )
    rows = list(rows_of(connection, query, (MAX_LAYER_COUNT + 1,)))
    return _ids(rows), tuple(_layer(row) for row in rows)


def read_parameters(connection: sqlite3.Connection) -> tuple[NDArray[np.int64], tuple[Parameter, ...]]:
    """Read the parameters in the order in which they became known.

    Returns:
        Their ids [parameter], and they.
    """
    query = (
        "SELECT parameter_id, name, layer, shape_json, dtype, is_trainable, is_optimized, optimizer FROM parameter"
        " ORDER BY parameter_id LIMIT ?"
    )
    rows = list(rows_of(connection, query, (MAX_LAYER_COUNT + 1,)))
    return _ids(rows), tuple(
        Parameter(
            name=as_text(name),
            layer=_text_or_none(layer),
            shape=tuple(as_whole(size) for size in as_list(shape)),
            dtype=as_text(dtype),
            is_trainable=bool(is_trainable),
            is_optimized=bool(is_optimized),
            optimizer=_text_or_none(optimizer),
        )
        for _, name, layer, shape, dtype, is_trainable, is_optimized, optimizer in rows
    )


def read_events(connection: sqlite3.Connection, damage: Damage) -> tuple[Event, ...]:
    """Read the events, in order."""
    query = "SELECT step, kind, text FROM event ORDER BY event_id LIMIT ?"
    rows = damage.rows(connection, "event", query, (MAX_EVENT_COUNT,))
    return tuple(Event(step=as_whole(step), kind=as_text(kind), text=as_text(text)) for step, kind, text in rows)


def read_coverage(connection: sqlite3.Connection, damage: Damage) -> Coverage:
    """Read what was seen; an empty coverage where nothing was said yet."""
    query = "SELECT seen_count, total_count, unseen_json, notes_json FROM coverage LIMIT 1"
    for seen_count, total_count, unseen, notes in damage.rows(connection, "coverage", query):
        return Coverage(
            seen_count=as_whole(seen_count),
            total_count=as_whole(total_count),
            unseen=tuple((as_text(name), as_text(reason)) for name, reason in as_list(unseen)),
            notes=_texts(as_list(notes)),
        )
    return Coverage()


def read_trials(connection: sqlite3.Connection, damage: Damage) -> tuple[Trial, ...]:
    """Read the trials in the order in which they were added."""
    query = f"SELECT cures_json, {', '.join(TRIAL_FIELDS)} FROM trial ORDER BY trial_id LIMIT ?"
    return tuple(_trial(row) for row in damage.rows(connection, "trial", query, (MAX_TRIAL_COUNT,)))


def read_outcome(connection: sqlite3.Connection, damage: Damage) -> Outcome | None:
    """Read what the trials proved; None where none was run."""
    for (text,) in damage.rows(connection, "outcome", "SELECT outcome_json FROM outcome LIMIT 1"):
        return _outcome(parse_json(as_text(text)))
    return None


def _ids(rows: list[Row]) -> NDArray[np.int64]:
    if len(rows) > MAX_LAYER_COUNT:
        raise ValueError(f"more than {MAX_LAYER_COUNT} layers or parameters")
    return np.array([row[0] for row in rows], dtype=np.int64)


def _layer(row: Row) -> Layer:
    _, parameters, name, kind, role, position, call_site, activation, greatest_slope, *counts, dropped_share = row
    unit_count, fan_in, fan_out = map(as_whole_or_none, counts)
    if role not in get_args(Role):
        raise ValueError(f"role {role!r}")
    if any(count is not None and count < 0 for count in (unit_count, fan_in, fan_out)):
        raise ValueError("a count below zero")
    return Layer(
        name=as_text(name),
        kind=as_text(kind),
        role=role,
        position=as_whole(position),
        call_site=_text_or_none(call_site),
        activation=_text_or_none(activation),
        greatest_slope=as_number_or_none(greatest_slope),
        unit_count=unit_count,
        fan_in=fan_in,
        fan_out=fan_out,
        parameters=_texts(as_list(parameters)),
        dropped_share=as_number_or_none(dropped_share),
    )


def _trial(row: Row) -> Trial:
    cures, seed, sieve, run_file, status, final_loss, step_count, elapsed_seconds, is_paired, detail = row
    return Trial(
        cures=_texts(as_list(cures)),
        seed=as_whole(seed),
        sieve=as_text(sieve),
        run_file=as_text(run_file),
        status=as_text(status),
        final_loss=as_number_or_none(final_loss),
        step_count=as_whole(step_count),
        elapsed_seconds=as_number_or_none(elapsed_seconds),
        is_paired=None if is_paired is None else bool(is_paired),
        detail=as_text(detail),
    )


def _outcome(fields: Mapping[str, Any]) -> Outcome:
    return Outcome(
        verdict=_verdict(fields["verdict"]),
        cures=_texts(fields["cures"]),
        control=tuple(float(loss) for loss in fields["control"]),
        treated=tuple(float(loss) for loss in fields["treated"]),
        difference=as_number_or_none(fields["difference"]),
        interval=_interval(fields["interval"]),
        confidence=float(fields["confidence"]),
        is_paired=bool(fields["is_paired"]),
        control_shows_fault=bool(fields["control_shows_fault"]),
        ranking=tuple(_ranking(line) for line in fields["ranking"]),
        snippet=as_text(fields["snippet"]),
        detail=as_text(fields["detail"]),
        # Older files do not have the rest.
        held_out=None if fields.get("held_out") is None else tuple(_contrast(line) for line in fields["held_out"]),
        held_out_detail=as_text(fields.get("held_out_detail", "")),
        equal_time=None if fields.get("equal_time") is None else _contrast(fields["equal_time"]),
        endpoints=tuple(_endpoint(line) for line in fields.get("endpoints", ())),
    )


def _contrast(fields: Mapping[str, Any]) -> Contrast:
    return Contrast(
        verdict=_verdict(fields["verdict"]),
        site=as_text(fields["site"]),
        control=tuple(float(loss) for loss in fields["control"]),
        treated=tuple(float(loss) for loss in fields["treated"]),
        moments=tuple(float(moment) for moment in fields["moments"]),
        difference=as_number_or_none(fields["difference"]),
        interval=_interval(fields["interval"]),
        confidence=float(fields["confidence"]),
        detail=as_text(fields["detail"]),
    )


def _endpoint(fields: Mapping[str, Any]) -> Endpoint:
    return Endpoint(
        name=as_text(fields["name"]),
        control=tuple(float(value) for value in fields["control"]),
        treated=tuple(float(value) for value in fields["treated"]),
        difference=as_number_or_none(fields["difference"]),
        interval=_interval(fields["interval"]),
        verdict=_verdict(fields["verdict"]),
        text=as_text(fields["text"]),
        confidence=float(fields["confidence"]),
    )


def _ranking(fields: Mapping[str, Any]) -> Ranking:
    return Ranking(
        cures=_texts(fields["cures"]),
        sieve=as_text(fields["sieve"]),
        verdict=None if fields["verdict"] is None else _verdict(fields["verdict"]),
        final_loss=as_number_or_none(fields["final_loss"]),
        difference=as_number_or_none(fields["difference"]),
        interval=_interval(fields["interval"]),
        detail=as_text(fields["detail"]),
        forecast_db=as_number_or_none(fields.get("forecast_db")),
        range_db=as_number_or_none(fields.get("range_db")),
        reason=as_text(fields.get("reason", "")),
    )


def _verdict(value: Any) -> OutcomeVerdict:
    for verdict in get_args(OutcomeVerdict):
        if value == verdict:
            return verdict  # type: ignore[no-any-return] # get_args knows no literal types
    raise ValueError(f"verdict {value!r}")


def _interval(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    low, high = value
    return float(low), float(high)


def as_text(value: Any) -> str:
    """A value that has to be text; ValueError where it is none, as in the checks below."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} where text belongs")
    return value


def _text_or_none(value: Any) -> str | None:
    return None if value is None else as_text(value)


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(as_text(value) for value in values)


def as_list(text: Any) -> list[Any]:
    """A JSON list."""
    values = parse_json(as_text(text))
    if not isinstance(values, list):
        raise ValueError(f"{text!r:.40} where a list belongs")
    return values


def as_whole(value: Any) -> int:
    """A whole number."""
    if not isinstance(value, int):
        raise ValueError(f"{value!r:.40} where a whole number belongs")
    return value


def as_whole_or_none(value: Any) -> int | None:
    """A whole number, or nothing."""
    return None if value is None else as_whole(value)


def as_number_or_none(value: Any) -> float | None:
    """A number, or nothing."""
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r:.40} where a number belongs")
    return float(value)
