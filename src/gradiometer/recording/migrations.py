"""The run file's version: its tables of today, and numbered steps that bring older files to them.

A run file carries an application id, so that another SQLite file is told at once, and its version in
`PRAGMA user_version`. Today's tables are `tables.sql`. When they change, `SCHEMA_VERSION` grows by one and `MIGRATIONS`
gains the SQL that leads there from the version before, a file `version_N_to_M.sql`, which is never changed again once
it was released.
"""

import sqlite3
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from gradiometer.errors import NewerRunFileError, NotARunFileError

APPLICATION_ID = int.from_bytes(b"grdm", "big")
"""Marks a SQLite file as a run file."""

SCHEMA_VERSION = 4
"""Version that this gradiometer writes."""


@cache
def read_sql(name: str) -> str:
    """The statements in one of this folder's files."""
    return files("gradiometer.recording").joinpath(name).read_text(encoding="utf-8")


MIGRATIONS: Mapping[int, str] = {
    1: read_sql("version_1_to_2.sql"),
    2: read_sql("version_2_to_3.sql"),
    3: read_sql("version_3_to_4.sql"),
}
"""Version of a file to the SQL that brings it to the next one."""


def tables_sql() -> str:
    """The statements that create today's tables."""
    return read_sql("tables.sql")


def create_tables(connection: sqlite3.Connection) -> None:
    """Create today's tables in an empty database, all or none of them.

    Args:
        connection: A connection in autocommit mode to an empty database.
    """
    connection.executescript(
        f"BEGIN IMMEDIATE;\n{tables_sql()}\n"
        f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
    )


def version_of(connection: sqlite3.Connection) -> int:
    """Version of the run file behind a connection."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(
    connection: sqlite3.Connection, migrations: Mapping[int, str] = MIGRATIONS, target_version: int = SCHEMA_VERSION
) -> None:
    """Bring a run file to today's version, one numbered step at a time; each step happens whole or not at all.

    Args:
        connection: A connection in autocommit mode that may write.
        migrations: Version to the SQL that leads to the next.
        target_version: Version to end at; a file that has it is left alone.

    Raises:
        NewerRunFileError: The file is newer than the target.
        NotARunFileError: No step leads on from the file's version.
    """
    version = version_of(connection)
    if version > target_version:
        raise NewerRunFileError(
            f"The run file has version {version}, this gradiometer reads up to {target_version}: "
            "update gradiometer (pip install -U gradiometer)."
        )
    while version < target_version:
        if version not in migrations:
            raise NotARunFileError(
                f"No way is known from run-file version {version} to {version + 1}; record it again."
            )
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{migrations[version]};\nPRAGMA user_version = {version + 1};\nCOMMIT;"
        )
        version += 1


@cache
def expected_columns() -> Mapping[str, frozenset[str]]:
    """Tables of today's version, each with the names of its columns."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create_tables(connection)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            table: frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({table})")) for table in tables
        }
    finally:
        connection.close()
