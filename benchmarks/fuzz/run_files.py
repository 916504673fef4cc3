"""Run files that are damaged, foreign or made to do harm, and what stands in the place of one."""

import os
import random
import sqlite3
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.fuzz.values import damaged_bytes, hostile_json, hostile_scalar, hostile_text, hostile_value

PAGE_BYTES = 4096

FOREIGN = (
    "CREATE VIEW evil AS SELECT load_extension('evil')",
    "CREATE TRIGGER evil AFTER INSERT ON fact BEGIN DELETE FROM step; END",
    "CREATE INDEX evil ON step (abs(total_norm))",
    "CREATE TABLE evil (a, b AS (hex(a)))",
    "CREATE TABLE evil (a DEFAULT (hex(randomblob(9))), CHECK (a > 1))",
    "CREATE TABLE 'evil\"name' (a)",
    "CREATE VIRTUAL TABLE evil USING fts5 (a)",
    "DROP TABLE step; CREATE VIEW step AS SELECT 1 AS step",
    "DROP TABLE step; CREATE VIEW step AS"
    " WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT * FROM n",
    "DROP TABLE event; CREATE TABLE event AS SELECT 1 AS step, 'note' AS kind",
    "ALTER TABLE fact RENAME TO facts",
    "ALTER TABLE step ADD COLUMN extra",
    "PRAGMA user_version = {number}",
    "PRAGMA application_id = {number}",
    "PRAGMA encoding = 'UTF-16le'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = {text} WHERE name = 'step'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABLE step (step, ' || {text} || ')'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = abs(random()) % 40 WHERE type = 'table'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET type = 'view' WHERE name = 'loss'",
    "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'sqlite_autoindex_layer_1'",
)
"""Statements that leave something in a file that could run, or a schema that is none of ours."""

Alteration = Callable[[random.Random, bytes], bytes]


def with_connection(content: bytes, alter: Callable[[sqlite3.Connection], None]) -> bytes:
    """A database with something done to it in memory; as far as that went where SQLite refused."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.deserialize(content)
        with suppress(sqlite3.Error, OverflowError, ValueError):  # what a database refuses to hold is no input
            alter(connection)
        return connection.serialize()
    finally:
        connection.close()


def tables_of(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Names of the tables, each with its columns."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: [row[1] for row in connection.execute(f"PRAGMA table_info({name})")] for name in sorted(names)}


def alter_cells(source: random.Random, content: bytes) -> bytes:
    """Put hostile values into a few cells, or columns."""

    def alter(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        tables = tables_of(connection)
        for _ in range(source.choice((1, 1, 2, 4))):
            table = source.choice(list(tables))
            column = source.choice(tables[table])
            value = (
                hostile_scalar(source)
                if source.random() < 0.85
                else source.choice((None, b"", b"\x00\xff", b"x" * 999))
            )
            places = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            where = "" if source.random() < 0.4 or not places else f" LIMIT 1 OFFSET {source.randrange(places)}"
            keys = ", ".join(key for key in tables[table][:3])
            statement = (
                f"UPDATE OR REPLACE {table} SET {column} = ? WHERE ({keys}) IN (SELECT {keys} FROM {table}{where})"
            )
            connection.execute(statement, (value,))

    return with_connection(content, alter)


def alter_json(source: random.Random, content: bytes) -> bytes:
    """Change the JSON in a few cells, facts most often."""

    def alter(connection: sqlite3.Connection) -> None:
        tables = {
            name: [one for one in columns if one.endswith("_json")] for name, columns in tables_of(connection).items()
        }
        for _ in range(source.choice((1, 1, 2, 5))):
            table = (
                "fact"
                if source.random() < 0.6 and "fact" in tables
                else source.choice([name for name, columns in tables.items() if columns])
            )
            column = source.choice(tables[table])
            rows = connection.execute(f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
            if rows:
                before = source.choice(rows)[0]
                after = hostile_json(source, before)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (after, before))

    return with_connection(content, alter)


def alter_rows(source: random.Random, content: bytes) -> bytes:
    """Leave rows out, move them to other steps and owners, or say them many times over."""

    def alter(connection: sqlite3.Connection) -> None:
        tables = tables_of(connection)
        table = source.choice(list(tables))
        number = source.choice((0, 1, -1, 7, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)))
        key = source.choice(tables[table][:2])
        connection.execute(
            source.choice(
                (
                    f"DELETE FROM {table}",
                    f"DELETE FROM {table} WHERE abs(random()) % 2",
                    f"UPDATE OR REPLACE {table} SET {key} = {key} + {number}",
                    f"UPDATE OR REPLACE {table} SET {key} = {number}",
                    f"UPDATE OR IGNORE {table} SET {key} = {key} * {number}",
                    f"DROP TABLE {table}",
                    f"ALTER TABLE {table} DROP COLUMN {tables[table][-1]}",
                )
            )
        )

    return with_connection(content, alter)


def alter_names(source: random.Random, content: bytes) -> bytes:
    """Give layers, parameters, sites, events and facts hostile names, everywhere the same."""
    name = hostile_text(source)

    def alter(connection: sqlite3.Connection) -> None:
        table, column = source.choice(
            (
                ("layer", "name"),
                ("layer", "kind"),
                ("layer", "call_site"),
                ("layer", "activation"),
                ("parameter", "name"),
                ("parameter", "layer"),
                ("parameter", "dtype"),
                ("loss_site", "site"),
                ("event", "text"),
                ("event", "kind"),
                ("turn", "measurement"),
                ("fact", "name"),
                ("trial", "cures_json"),
            )
        )
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ? || rowid", (name,))
        if (table, column) == ("layer", "name"):
            connection.execute("UPDATE OR IGNORE parameter SET layer = ? || rowid", (name,))

    return with_connection(content, alter)


def alter_facts(source: random.Random, content: bytes) -> bytes:
    """Give a few facts another value of any kind."""
    import json

    def alter(connection: sqlite3.Connection) -> None:
        names = [name for (name,) in connection.execute("SELECT name FROM fact ORDER BY name")]
        for name in source.sample(names, min(len(names), source.choice((1, 2, 6)))):
            text = json.dumps(hostile_value(source))
            connection.execute("UPDATE fact SET value_json = ? WHERE name = ?", (text, name))

    return with_connection(content, alter)


def alter_schema(source: random.Random, content: bytes) -> bytes:
    """Leave something in the file that could run, or a schema that is none of ours."""
    number = source.choice((0, 1, 2, 3, 5, 99, -1, 2**31 - 1))
    text = "'" + hostile_text(source).replace("'", "''").replace("\x00", "") + "'"
    statement = source.choice(FOREIGN).format(number=number, text=text)
    return with_connection(content, lambda connection: void(connection.executescript(statement)))


def void(_: Any) -> None:
    """Nothing, of anything."""


def alter_bytes(source: random.Random, content: bytes) -> bytes:
    """Change bytes anywhere."""
    return damaged_bytes(source, content)


def alter_head(source: random.Random, content: bytes) -> bytes:
    """Change bytes of the file's head and of its first tables' pages."""
    return damaged_bytes(source, content[:PAGE_BYTES], most=4) + content[PAGE_BYTES:]


def alter_pages(source: random.Random, content: bytes) -> bytes:
    """Put pages in each other's place, so that trees share branches or run in circles."""
    pages = [content[place : place + PAGE_BYTES] for place in range(0, len(content), PAGE_BYTES)]
    for _ in range(source.choice((1, 1, 3, 8))):
        first, second = source.randrange(1, len(pages)), source.randrange(1, len(pages))
        draw = source.random()
        if draw < 0.5:
            pages[first] = pages[second]
        elif draw < 0.8:
            pages[first], pages[second] = pages[second], pages[first]
        else:
            pages[first] = with_pointers(source, pages[first], len(pages))
    return b"".join(pages)


def with_pointers(source: random.Random, page: bytes, page_count: int) -> bytes:
    """A page made an inner node of a tree whose children are pages of the file, itself perhaps among them.

    Layout: https://www.sqlite.org/fileformat2.html#b_tree_pages
    """
    cell_count = source.choice((1, 20, 400))
    children = [source.randrange(1, page_count + 1) for _ in range(cell_count + 1)]
    start = PAGE_BYTES - 5 * cell_count
    head = struct.pack(">BHHHBI", 5, 0, cell_count, start, 0, children[-1])
    pointers = b"".join(struct.pack(">H", start + 5 * rank) for rank in range(cell_count))
    cells = b"".join(struct.pack(">IB", child, min(rank, 127)) for rank, child in enumerate(children[:-1]))
    return (head + pointers).ljust(start, b"\0")[:start] + cells


def alter_length(source: random.Random, content: bytes) -> bytes:
    """Cut the file, or let something follow it."""
    draw = source.random()
    if draw < 0.6:
        return content[: source.randrange(len(content))]
    if draw < 0.8:
        return content + source.randbytes(source.choice((1, 4096, 100_000)))
    place = source.randrange(0, len(content), 512)
    return content[:place] + bytes(512) + content[place + 512 :]


ALTERATIONS: Mapping[str, tuple[float, Alteration]] = {
    "cells": (0.2, alter_cells),
    "json": (0.2, alter_json),
    "facts": (0.14, alter_facts),
    "names": (0.1, alter_names),
    "rows": (0.1, alter_rows),
    "schema": (0.06, alter_schema),
    "bytes": (0.07, alter_bytes),
    "head": (0.04, alter_head),
    "pages": (0.05, alter_pages),
    "length": (0.04, alter_length),
}
"""What is done to a sound file: how often, and how."""


def hostile_file(source: random.Random, content: bytes) -> tuple[str, bytes]:
    """What was done to a sound run file, and what came of it."""
    names = list(ALTERATIONS)
    count = 1 if source.random() < 0.8 else 2
    done = source.choices(names, [ALTERATIONS[name][0] for name in names], k=count)
    for name in done:
        content = ALTERATIONS[name][1](source, content)
    return "+".join(done), content


def journal_of_others(victim: Path) -> bytes:
    """A rollback journal that names a super-journal, which SQLite deletes once it has played the journal back.

    Layout: https://www.sqlite.org/fileformat2.html#the_rollback_journal
    """
    name = os.fsencode(victim)
    checksum = sum(byte if byte < 128 else byte - 256 for byte in name) & 0xFFFFFFFF
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 0, 0, 1, 512, PAGE_BYTES)
    ending = struct.pack(">II", len(name), checksum) + bytes.fromhex("d9d505f920a163d7")
    return header.ljust(512, b"\0") + struct.pack(">I", 2**30 // PAGE_BYTES + 1) + name + ending


def put_journal(source: random.Random, path: Path, content: bytes) -> None:
    """A run file beside which lies a journal that names somebody's file, or bytes of any kind."""
    path.write_bytes(content)
    victim = path.parent.parent / "outside" / "thesis.txt"
    journal = journal_of_others(victim) if source.random() < 0.7 else source.randbytes(9000)
    path.with_name(f"{path.name}-journal").write_bytes(journal)


def put_log(source: random.Random, path: Path, content: bytes) -> None:
    """A run file beside which lies a write-ahead log of any bytes, or a link to somebody's file."""
    path.write_bytes(content)
    log = path.with_name(f"{path.name}-{source.choice(('wal', 'shm'))}")
    if source.random() < 0.5:
        log.symlink_to(path.parent.parent / "outside" / "thesis.txt")
    else:
        log.write_bytes(source.randbytes(9000))


def put_device(source: random.Random, path: Path, _: bytes) -> None:
    """A link to a device."""
    path.symlink_to(source.choice(("/dev/zero", "/dev/random", "/dev/full", "/proc/self/mem")))


def put_link(source: random.Random, path: Path, content: bytes) -> None:
    """A link: to a run file, to nothing, in a circle."""
    path.with_name("other").write_bytes(content)
    path.symlink_to(path.with_name(source.choice(("other", "nothing", path.name))))


def put_text(source: random.Random, path: Path, _: bytes) -> None:
    """A file of text."""
    path.write_bytes(hostile_text(source).encode("utf-8", "surrogatepass"))


Placing = Callable[[random.Random, Path, bytes], None]

PLACES: Mapping[str, Placing] = {
    "folder": lambda _, path, __: path.mkdir(),
    "pipe": lambda _, path, __: os.mkfifo(path),
    "empty file": lambda _, path, __: path.touch(),
    "device": put_device,
    "link": put_link,
    "text": put_text,
    "journal": put_journal,
    "log": put_log,
}
"""What may stand where a run file is looked for."""


def place_of_no_file(source: random.Random, path: Path, content: bytes) -> str:
    """Put something else where a run file is looked for; says what."""
    kind = source.choice(list(PLACES))
    PLACES[kind](source, path, content)
    return kind
