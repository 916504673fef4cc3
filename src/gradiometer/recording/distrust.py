"""What a run file that came from anywhere may not do: run something, name other files, take all time or memory.

Damage and malice look alike here. A tree of pages may share branches or run in circles, so that a small file has
rows without end; what is read is therefore bounded by rows, by bytes of text, and by time.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from gradiometer.errors import NotARunFileError

MAX_VALUE_BYTES = 16 * 2**20
"""Longest text or blob that is read from a file: more is a hostile file, none that we wrote."""

MAX_TEXT_LETTERS = 512 * 2**20
"""Text and blobs that one query may give in all: a run file has 256 MiB unless told otherwise, numbers and all."""

MAX_NUMBERS_BYTES = 2**20
"""Longest row where only numbers belong, and longest list of steps that they are asked for by."""

ROWS_IN_BLOCK = 256
"""Rows of numbers that are read at once: few enough to be held whatever stands in the place of numbers."""

MAX_ROWS = 8_000_000
"""Rows that one query may give: 70 snapshots of the 100 000 layers that are read at most, and some to spare."""

MAX_READING_SECONDS = 120.0
"""How long reading may take: the largest files take seconds, over a slow network a minute."""

INSTRUCTIONS_BETWEEN_LOOKS = 100_000
"""SQLite's own instructions between two looks at the clock: some milliseconds."""

JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
"""Begins a rollback journal; ends one that belongs to a transaction over several databases."""

Row = tuple[Any, ...]


def rows_of(
    connection: sqlite3.Connection,
    query: str,
    arguments: tuple[Any, ...] = (),
    *,
    most_rows: int = MAX_ROWS,
    most_letters: int = MAX_TEXT_LETTERS,
) -> Iterator[Row]:
    """Run a query and give its rows, as many as there may be.

    Args:
        connection: Where to read.
        query: SQL.
        arguments: Its values.
        most_rows: Rows that there may be.
        most_letters: Letters of text, and bytes, that they may hold in all.

    Raises:
        ValueError: There are more, or they hold more text, than any file that we write.
        sqlite3.Error: As SQLite has it.
    """
    letters = 0
    for count, row in enumerate(connection.execute(query, arguments)):
        letters += sum(len(value) for value in row if isinstance(value, str | bytes))
        if count >= most_rows or letters > most_letters:
            raise ValueError(f"more than {most_rows} rows, or {most_letters} letters, in one table")
        yield row


def blocks_of(connection: sqlite3.Connection, query: str, arguments: tuple[Any, ...] = ()) -> Iterator[list[Row]]:
    """Run a query for numbers, many rows of which are read: a few at a time, without a look at each value.

    Raises:
        ValueError: There are more rows than any file that we write has.
        sqlite3.Error: As SQLite has it; the rows before that were given.
    """
    before = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_NUMBERS_BYTES)
    try:
        cursor, count = connection.execute(query, arguments), 0
        while True:
            rows: list[Row] = []
            try:
                rows.extend(islice(cursor, ROWS_IN_BLOCK))
            except sqlite3.Error:
                yield rows
                raise
            if not rows:
                return
            count += len(rows)
            if count > MAX_ROWS:
                raise ValueError(f"more than {MAX_ROWS} rows in one table")
            yield rows
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, before)


def is_interrupted(error: sqlite3.Error) -> bool:
    """Whether a query ended because its time was over."""
    return getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT"


@contextmanager
def bounded_in_time(connection: sqlite3.Connection, seconds: float = MAX_READING_SECONDS) -> Iterator[None]:
    """Interrupt what a connection does for longer than this, and all that it is asked behind that.

    Args:
        connection: The connection; it must not be closed in here.
        seconds: From now on.
    """
    deadline = time.monotonic() + seconds
    is_done = threading.Event()

    def interrupt() -> None:
        # Counting a table's rows looks at no clock, only for this.
        if not is_done.wait(seconds):
            while not is_done.wait(0.05):
                connection.interrupt()

    watch = threading.Thread(target=interrupt, name="gradiometer-reading", daemon=True)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, INSTRUCTIONS_BETWEEN_LOOKS)
    watch.start()
    try:
        yield
    finally:
        is_done.set()
        watch.join()
        connection.set_progress_handler(None, 0)


def refuse_foreign_journal(path: Path) -> None:
    """Refuse a run file beside which lies a journal that names another file.

    SQLite ends such a journal's transaction by deleting the file that it names, whatever that is. Ours never name one:
    that takes a transaction over several databases. https://www.sqlite.org/atomiccommit.html, section 5

    Raises:
        NotARunFileError: There is one.
    """
    # SQLite looks beside the file itself, not beside a link to it.
    real = Path(os.path.realpath(path))
    journal = real.with_name(real.name + "-journal")
    if not journal.is_file():
        return
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - len(JOURNAL_MAGIC)))
        if file.read(len(JOURNAL_MAGIC)) == JOURNAL_MAGIC:
            raise NotARunFileError(
                f"{path} is no run file that gradiometer wrote (its journal names another file, to be deleted): "
                f"delete {journal.name} if you trust the run file itself."
            )


def refuse_foreign_objects(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse views, triggers, virtual tables, computed columns and tables of others: they could run something.

    Raises:
        NotARunFileError: There is one, or the list of tables is lost.
    """
    for kind, name, statement in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        is_table = kind == "table" and str(statement).upper().startswith("CREATE TABLE")
        is_automatic_index = kind == "index" and statement is None
        if kind is None:
            raise NotARunFileError(
                f"{path} is damaged (its list of tables is lost): copy it again, or record it again."
            )
        if not (is_table or is_automatic_index):
            raise NotARunFileError(
                f"{path} is no run file that gradiometer wrote (it has a {kind} {str(name)[:40]!r})."
            )
        if is_table:
            quoted = str(name).replace('"', '""')
            if any(row[6] for row in connection.execute(f'PRAGMA table_xinfo("{quoted}")')):
                raise NotARunFileError(f"{path} is no run file that gradiometer wrote (it has computed columns).")
