"""Drill-down in the report: for each closed block of a deep network the same figures once more, its layers alone.

They are chosen below a figure's heading. The page keeps them deflated, and unpacks them on the first choice: thousands
of layers fit beside plotly.js into a few megabytes.
"""

import base64
import html
import json
import zlib
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.figure_words import alternative_of
from gradiometer.showing.figures.gain_ladder import describe_rungs, rungs_of, rungs_of_rows
from gradiometer.showing.figures.layer_heatmap import describe_rows
from gradiometer.showing.figures.layer_tree import (
    Block,
    default_openness,
    joined_values,
    layer_tree,
    layer_values,
    openness_for,
    rows_at,
)
from gradiometer.showing.figures.parts import FigureParts, spread_chosen
from gradiometer.showing.layer_rows import snapshot_to_show
from gradiometer.showing.wording import frontier_of, worst_finding

MOST_DETAIL_ROWS = 120
"""Rows of a block that is looked into; a larger one opens as far as that."""

MOST_CELLS = 60_000
"""Coloured cells of all blocks: with more, a deep network's page would pass its six megabytes."""

LEAST_COLUMNS, MOST_COLUMNS = 4, 60
"""Measurements shown of a block: as many as the cells allow."""

HEAT_MAPS: Mapping[str, str] = {
    "layer_heatmap": "level_db",
    "update_heatmap": "update_ratio",
    "saturated_heatmap": "saturated_share",
    "dead_heatmap": "dead_share",
}
"""Figure of the report to the quantity that it shows."""


def details_of(run: Run, diagnosis: Diagnosis, titles: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """What a report holds beside its figures, so that closed blocks can be looked into.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        titles: The report's figures by name, with their titles.

    Returns:
        By figure the choice of a block, and the details of all; both HTML, and empty where no block is closed.
    """
    blocks = closed_blocks(run, diagnosis)
    details = detail_figures(run, diagnosis, titles, blocks) if blocks else {}
    return {name: chooser(name, blocks, details) for name in titles}, packed(details)


def closed_blocks(run: Run, diagnosis: Diagnosis) -> list[Block]:
    """The blocks that a run's figures show as one row each; none for a network that fits on a screen."""
    tree = layer_tree(run.layers)
    frontier = frontier_of(worst_finding(diagnosis))
    return [row for row in rows_at(tree, openness_for(run, tree, frontier)) if row.parts]


def detail_figures(
    run: Run, diagnosis: Diagnosis, titles: Mapping[str, str], blocks: Sequence[Block]
) -> dict[str, dict[str, object]]:
    """Describe every block of every figure.

    Args:
        run: The run.
        diagnosis: What is wrong with it.
        titles: The report's figures that can be looked into, by name, with their titles.
        blocks: What `closed_blocks` gives.

    Returns:
        `name/rank of the block` to the figure's parts, and `words` for those who can't see it. Blocks of which nothing
        was measured are left out.
    """
    described = {
        name: partial(heat_maps_of, run, HEAT_MAPS[name]) if name in HEAT_MAPS else partial(ladders_of, run, diagnosis)
        for name in titles
        if name in HEAT_MAPS or name == "gain_ladder"
    }
    return {
        f"{name}/{rank}": {**parts, "words": alternative_of(f"{titles[name]}: {blocks[rank].name}", parts)}
        for name, describe in described.items()
        for rank, parts in describe(blocks).items()
    }


def heat_maps_of(run: Run, quantity: str, blocks: Sequence[Block]) -> dict[int, FigureParts]:
    """The heat map of each block, by its rank."""
    share = MOST_CELLS // max(len(HEAT_MAPS) * len(run.layers), 1)
    moments = spread_chosen(run.snapshot_steps, min(max(share, LEAST_COLUMNS), MOST_COLUMNS))
    steps = run.snapshot_steps[moments].tolist()
    grids = layer_values(run, quantity, np.asarray(moments, dtype=np.intp))
    maps = {}
    for rank, block in enumerate(blocks):
        rows = rows_within(block)
        maps[rank] = describe_rows(joined_values(grids, rows, quantity), rows, steps, quantity)
    return {rank: parts for rank, parts in maps.items() if parts["data"]}


def rows_within(block: Block) -> list[Block]:
    """The rows of a block that is looked into."""
    return rows_at(block, default_openness(block, most_rows=MOST_DETAIL_ROWS))


def ladders_of(run: Run, diagnosis: Diagnosis, blocks: Sequence[Block]) -> dict[int, FigureParts]:
    """The ladder of each block that has a layer on the trunk, by its rank."""
    finding = worst_finding(diagnosis)
    index = snapshot_to_show(run, finding.step if finding else None)
    whole = rungs_of(run, index) if index is not None else []
    ladders = {}
    for rank, block in enumerate(blocks):
        rungs = rungs_of_rows(run, whole, rows_within(block))
        if rungs and index is not None:
            step = int(run.snapshot_steps[index])
            ladders[rank] = describe_rungs(rungs, step, findings=diagnosis.findings)
    return ladders


def chooser(name: str, blocks: Sequence[Block], details: Mapping[str, object]) -> str:
    """The choice of a block below a figure's heading; nothing where there is none to look into."""
    options = "".join(
        f'<option value="{name}/{rank}">{html.escape(block.name)} ({len(block.columns)} layers)</option>'
        for rank, block in reversed(list(enumerate(blocks)))
        if f"{name}/{rank}" in details
    )
    if not options:
        return ""
    return (
        f'<p class="choice"><label for="into-{name}">Look into</label> <select id="into-{name}" data-into="{name}">'
        f'<option value="{name}">the whole network, block by block</option>{options}</select></p>'
    )


def packed(details: Mapping[str, object]) -> str:
    """The details as a block of the page that a script unpacks; nothing where there are none."""
    if not details:
        return ""
    text = json.dumps(details, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = base64.b64encode(zlib.compress(text.encode("utf-8"), level=9)).decode("ascii")
    return f'<script type="application/octet-stream" id="detail-data">{data}</script>'
