"""The table of layers of a deep network: blocks of layers as one row each, where there are too many layers to list."""

import math

from gradiometer.schema import Run
from gradiometer.showing.figures.layer_tree import BLOCK_QUANTITIES, Block, layer_tree, openness_for, rows_at, values_of
from gradiometer.showing.layer_rows import LayerRow, measured, rows_of_run

MOST_TABLE_ROWS = 400
"""Layers that are listed one by one; a page with thousands of lines is neither read nor small."""


def rows_or_blocks(run: Run, snapshot_index: int | None, frontier: str | None = None) -> tuple[LayerRow, ...]:
    """One row per layer, or in a deep network per layer or block, in order of execution.

    Args:
        run: The run.
        snapshot_index: The full measurement to show; None where there is none, which leaves the numbers empty.
        frontier: A layer that has a row of its own.

    Returns:
        The rows; what was measured of a block is joined as `layer_tree` says.
    """
    listed = rows_of_run(run, snapshot_index)
    if len(listed) <= MOST_TABLE_ROWS:
        return listed
    tree = layer_tree(run.layers)
    blocks = rows_at(tree, openness_for(run, tree, frontier, most_rows=MOST_TABLE_ROWS))
    moments = [] if snapshot_index is None else [snapshot_index]
    columns = {name: values_of(run, blocks, name, moments) for name in BLOCK_QUANTITIES}
    numbers = {name: column[0].tolist() if moments else [math.nan] * len(blocks) for name, column in columns.items()}
    return tuple(
        row_of_block(block, {name: column[place] for name, column in numbers.items()})
        if block.parts
        else listed[block.columns[0]]
        for place, block in enumerate(blocks)
    )


def row_of_block(block: Block, numbers: dict[str, float]) -> LayerRow:
    """The row of a block."""
    return LayerRow(
        name=block.name,
        kind=f"{len(block.columns)} layers",
        level_db=measured(numbers["level_db"]),
        gain_db=measured(numbers["gain_db"]),
        saturated_share=measured(numbers["saturated_share"]),
        dead_share=measured(numbers["dead_share"]),
        update_ratio=measured(numbers["update_ratio"]),
    )
