"""A sound run file, and run files in which every text is meant to do harm."""

import os
import sqlite3
import struct
from pathlib import Path

from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Coverage, Event, Outcome, Ranking, StepStats, Trial
from showing.made_run import made_snapshot, parameters_of, sigmoid_layers

HARM = '<img src=x onerror="harmed=1"><script>harmed=1</script>\'"</script></title></svg>`${1}'
"""Markup that would leave a mark in a page if it were taken for markup."""

ORDERS = "\x1b[2J\x1b[31mHEALTHY\x1b]0;harmed\x07\x9b1m\u202eoops"
"""What a terminal would obey: clear the screen, colour, a title, and writing from right to left."""


def write_harmful_run(path: Path, harm: str = HARM) -> Path:
    """Write a run in which every name and every sentence is meant to do harm."""
    layers = sigmoid_layers(3, f"{harm}.")
    parameters = parameters_of(layers)
    with RunWriter(path) as writer:
        names = ("script", "device", "optimizer", "status", "started_at", "commit", "traceback", "torch", "refusal")
        writer.add_facts(dict.fromkeys(names, harm) | {"arguments": [harm], "root_names": [harm], "command": harm})
        writer.add_facts({"optimizers": [{"kind": harm, "settings": {harm: harm}}], "optimizer_settings": {harm: harm}})
        writer.add_facts({"dear_costs": {harm: {"turn_count": 1, "spent_seconds": 0.1}}, "platform": harm})
        writer.add_facts({"replay": {"step": 3, "operation": {"name": harm, "layer": harm, "call_site": harm}}})
        writer.add_layers(layers)
        writer.add_parameters(parameters)
        for step in range(24):
            if step % 4 == 0:
                writer.add_snapshot(made_snapshot(layers, parameters, step))
            writer.add_step(StepStats(step, losses=((harm, 2.3, 1, 0),), learning_rate=0.1, step_seconds=0.01))
        writer.add_event(Event(5, "note", harm))
        writer.set_coverage(Coverage(3, 4, ((harm, harm),), (harm,)))
        writer.add_trials([Trial((harm,), 1, "trial", harm, "failed", 0.5, 3, 0.1, detail=harm)])
        writer.set_outcome(harmful_outcome(harm))
    assert writer.fault is None
    return path


def harmful_outcome(harm: str) -> Outcome:
    """A proved cure whose words do harm."""
    ranking = Ranking((harm,), "trial", "better", 0.1, -1.0, (-1.1, -0.9), harm, None, None, harm)
    losses = (2.3, 2.4, 2.5)
    return Outcome(
        verdict="better",
        cures=(harm,),
        control=losses,
        treated=tuple(loss - 1.0 for loss in losses),
        difference=-1.0,
        interval=(-1.1, -0.9),
        confidence=0.99,
        is_paired=True,
        control_shows_fault=True,
        ranking=(ranking,),
        snippet=harm,
        detail=harm,
        held_out=None,
        held_out_detail=harm,
        equal_time=None,
        endpoints=(),
    )


def killed_while_writing(folder: Path) -> Path:
    """A copy of a run file and the journal of its open transaction, as a killed process leaves them."""
    path = folder / "open.db"
    with RunWriter(path) as writer:
        writer.add_facts({"seed": 3})
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA cache_size = 5")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO fact VALUES (?, ?)", [(f"f{rank}", f'"{"x" * 500}"') for rank in range(500)])
    copy = folder / "run.db"
    for suffix in ("", "-journal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    connection.close()
    return copy


def name_in_journal(journal: Path, victim: Path) -> None:
    """Have a journal name another file, as a transaction over several databases does.

    Layout: https://www.sqlite.org/fileformat2.html#the_rollback_journal, and pager.c's `writeSuperJournal`.
    """
    name = os.fsencode(victim)
    checksum = sum(byte if byte < 128 else byte - 256 for byte in name) & 0xFFFFFFFF
    with journal.open("ab") as file:
        file.write(struct.pack(">I", 2**30 // 4096 + 1) + name + struct.pack(">II", len(name), checksum))
        file.write(bytes.fromhex("d9d505f920a163d7"))


def with_tree_without_end(content: bytes, table: str, *, depth: int = 6) -> bytes:
    """A database in which a table's tree branches 500 times on each of some levels, and always to the same page.

    Layout: https://www.sqlite.org/fileformat2.html#b_tree_pages
    """
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    connection.close()
    pages = [bytearray(content[place : place + 4096]) for place in range(0, len(content), 4096)]
    leaf = bytes(pages[root - 1])
    for level in range(depth):
        child = len(pages) + 2 if level else len(pages) + 1
        page = inner_page(child)
        if level == 0:
            pages[root - 1] = page
        else:
            pages.append(page)
    pages.append(bytearray(leaf))
    pages[0][28:32] = struct.pack(">I", len(pages))
    return b"".join(pages)


def inner_page(child: int, cell_count: int = 500) -> bytearray:
    """A page of a table's tree, all of whose branches lead to one page."""
    start = 4096 - 5 * cell_count
    head = struct.pack(">BHHHBI", 5, 0, cell_count, start, 0, child)
    places = b"".join(struct.pack(">H", start + 5 * rank) for rank in range(cell_count))
    cells = b"".join(struct.pack(">IB", child, 100) for _ in range(cell_count))
    return bytearray((head + places).ljust(start, b"\0") + cells)
