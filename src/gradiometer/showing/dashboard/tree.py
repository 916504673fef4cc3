"""The layers of a run as the tree of their modules: a block is one row, which opens to its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dash import html

from gradiometer.schema import Run
from gradiometer.showing.dashboard.drawn import frontier_in
from gradiometer.showing.dashboard.shelf import Seen
from gradiometer.showing.dashed_attributes import attributes
from gradiometer.showing.figures.layer_tree import (
    BLOCK_QUANTITIES,
    Block,
    TreeRow,
    blocks_around,
    layer_tree,
    lines_at,
    openness_for,
    values_of,
)
from gradiometer.showing.layer_rows import measured
from gradiometer.units import format_db, format_number, format_share

MOST_MATCHES = 60
"""Layers shown of those whose name has the searched letters; how many more there are is said."""

HEADINGS = ("layer", "kind", "level", "gain", "saturated", "dead", "update ratio")

QUANTITIES = ("level_db", "gain_db", "saturated_share", "dead_share", "update_ratio")
"""Columns of numbers, as `BLOCK_QUANTITIES` names them."""

FORMS = {"dB": format_db, "%": format_share, "": format_number}
"""How a number of each unit is written."""


@dataclass(frozen=True, slots=True)
class Openness:
    """Which blocks of a tree are open.

    Attributes:
        changed: Blocks that the reader has opened (True) or closed (False).
        searched: Letters that the names of the layers shown must have; empty for all layers.
    """

    changed: Mapping[str, bool]
    searched: str = ""


def tree_of(seen: Seen) -> Block:
    """The tree of a run's layers."""
    return seen.once("tree", lambda: layer_tree(seen.run.layers))


def matches(seen: Seen, searched: str) -> list[int]:
    """Columns of the layers whose name has some letters, in any case."""
    wanted = searched.strip().lower()
    return [column for column, layer in enumerate(seen.run.layers) if wanted in layer.name.lower()] if wanted else []


def open_names(seen: Seen, openness: Openness) -> frozenset[str]:
    """Names of the open blocks: as many as a screen holds, changed by the reader, and those around what is searched."""
    tree = tree_of(seen)
    usual = seen.once("openness", lambda: openness_for(seen.run, tree, frontier_in(seen)))
    opened = {name for name, is_open in openness.changed.items() if is_open}
    closed = {name for name, is_open in openness.changed.items() if not is_open}
    around = (blocks_around(tree, column) for column in matches(seen, openness.searched)[:MOST_MATCHES])
    return frozenset((usual | opened) - closed).union(*around)


def tree_table(seen: Seen, moment: int | None, openness: Openness) -> html.Table | None:
    """The tree at one full measurement, the output first as in the figures; None for a run without layers.

    Args:
        seen: The run.
        moment: Rank of the full measurement; None where there is none, which leaves the numbers out.
        openness: Which blocks are open.
    """
    run = seen.run
    if not run.layers:
        return None
    lines = lines_at(tree_of(seen), open_names(seen, openness))
    if openness.searched.strip():
        shown = set(matches(seen, openness.searched)[:MOST_MATCHES])
        lines = [line for line in lines if shown & set(line.block.columns)]
    numbers = numbers_of(run, [line.block for line in lines], moment)
    frontier = frontier_in(seen)
    rows = [
        table_row(run, line, numbers[rank], is_marked=line.block.name == frontier)
        for rank, line in in_reading_order(lines)
    ]
    head = html.Thead(html.Tr([html.Th(name, scope="col") for name in HEADINGS]))
    return html.Table([html.Caption("Layers and blocks of layers", className="unseen"), head, html.Tbody(rows)])


def words_on(seen: Seen, searched: str) -> str:
    """What a search has found; empty without one."""
    if not seen.run.layers:
        return "No layer has been measured yet."
    if not searched.strip():
        return ""
    match_count = len(matches(seen, searched))
    if not match_count:
        return "No layer has these letters in its name."
    more = f", of which {MOST_MATCHES} are shown" if match_count > MOST_MATCHES else ""
    return f"{match_count:,} {'layer' if match_count == 1 else 'layers'} found{more}."


def in_reading_order(lines: Sequence[TreeRow]) -> list[tuple[int, TreeRow]]:
    """Ranks and lines so that the output's come first, and a block's line above those of its parts."""
    return arranged(list(enumerate(lines))) if lines else []


def arranged(lines: list[tuple[int, TreeRow]]) -> list[tuple[int, TreeRow]]:
    """Turn the order of neighbours around at every depth."""
    heads = [place for place, (_, line) in enumerate(lines) if line.depth == lines[0][1].depth]
    groups = [lines[start:end] for start, end in zip(heads, [*heads[1:], len(lines)], strict=True)]
    return [line for group in reversed(groups) for line in (group[0], *(arranged(group[1:]) if len(group) > 1 else []))]


def numbers_of(run: Run, blocks: Sequence[Block], moment: int | None) -> list[list[str]]:
    """What was measured of each block, written with its unit."""
    if moment is None:
        return [[""] * len(QUANTITIES) for _ in blocks]
    columns = [
        [FORMS[BLOCK_QUANTITIES[name].unit](measured(value)) for value in values_of(run, blocks, name, [moment])[0]]
        for name in QUANTITIES
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def table_row(run: Run, line: TreeRow, numbers: Sequence[str], *, is_marked: bool) -> html.Tr:
    """One line of the tree."""
    block = line.block
    kind = f"{len(block.columns)} layers" if block.parts else run.layers[block.columns[0]].kind
    inset = {"paddingLeft": f"{1.1 * line.depth:.1f}em"}
    name = html.Th(branch_button(line) if block.parts else html.Code(block.label), scope="row", style=inset)
    cells = [html.Td(number, className="number") for number in numbers]
    return html.Tr([name, html.Td(kind), *cells], className="marked" if is_marked else None)


def branch_button(line: TreeRow) -> html.Button:
    """A button that opens or closes a block; `assets/dashboard.js` listens to it."""
    sign = "▾" if line.is_open else "▸"
    return html.Button(
        [html.Span(sign, **attributes("aria", hidden="true")), " ", html.Code(line.block.label)],
        className="branch",
        type="button",
        title=line.block.name,
        **attributes("aria", expanded="true" if line.is_open else "false"),
        **attributes("data", branch=line.block.name),
    )
