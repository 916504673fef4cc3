"""Layers as the tree of their modules: blocks that open and close, and what was measured of a block as a whole.

A layer's dotted name is its place in the tree. A block stands for all layers at and below it; where it has too many
parts to be listed, runs of neighbours become blocks of their own, so that a plain chain of 5,000 layers has a tree,
too. A closed block has one value, joined from those of its layers (`values_of`):

- `gain_db`: the sum of the gains of its layers on the trunk, which is the level at its input end less that at its
  output end; nothing for a block without such a layer, because gains of paths side by side do not add up;
- `level_db`: the level at its layer nearest the input: what is left of the gradient at the block's far end;
- `saturated_share`, `dead_share`: the mean over its units, so of each layer weighted by the number of its units;
- `update_ratio`: the norm of the change of all its layers' weights over the norm of these weights.

The whole network as one row has the gain of the whole trunk; with every block open there is a row for each layer, with
the layer's own numbers.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gradiometer.gain_budget.budget import fill_gaps
from gradiometer.schema import FloatArray, Layer, Run
from gradiometer.showing.layer_rows import largest_parameters

MOST_ROWS = 60
"""Rows of a tree that opens itself: about what a screen shows."""

MOST_PARTS = 24
"""Parts that a block lists one by one; above, runs of 10, 100, 1,000 ... neighbours are blocks of their own."""

WHOLE = "*"
"""Name of the block that holds all layers."""


@dataclass(frozen=True, slots=True)
class Block:
    """A layer, or several as one.

    Attributes:
        name: A layer's name; a block's path with `.*` behind it, or its first and last part. No two are the same.
        label: The last piece of the name, to be shown under the block around it.
        columns: Its layers by their rank in `Run.layers`, in the order of execution.
        parts: What it consists of, the input's first; empty for a layer.
    """

    name: str
    label: str
    columns: tuple[int, ...]
    parts: tuple["Block", ...] = ()


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One line of a tree that is partly open.

    Attributes:
        block: The layer or block.
        depth: How many blocks are around it.
        is_open: Its parts follow it.
    """

    block: Block
    depth: int
    is_open: bool = False


@dataclass(slots=True)
class Branch:
    """A block while the tree grows."""

    own: list[int] = field(default_factory=list)
    below: dict[str, "Branch"] = field(default_factory=dict)


def layer_tree(layers: Sequence[Layer]) -> Block:
    """Put layers into the tree of their modules.

    Args:
        layers: The layers of a run.

    Returns:
        The block of all layers; without parts where there are none.

    Example:
        >>> names = ("body.0.conv", "body.0.relu", "head")
        >>> tree = layer_tree([Layer(name, "Linear", "leaf", place) for place, name in enumerate(names)])
        >>> [part.name for part in tree.parts], tree.parts[0].columns
        (['body.*', 'head'], (0, 1))
    """
    whole = Branch()
    for column, layer in enumerate(layers):
        branch = whole
        for piece in pieces_of(layer):
            branch = branch.below.setdefault(piece, Branch())
        branch.own.append(column)
    return grown(whole, "", layers)


def pieces_of(layer: Layer) -> list[str]:
    """The names of the blocks around a layer, and its own."""
    # What runs before a layer in no module of its own (`before body.3`) stands beside that layer.
    before = "before " if layer.kind == "operations" and layer.name.startswith("before ") else ""
    *owners, last = layer.name.removeprefix(before).split(".")
    return [*owners, before + last]


def grown(branch: Branch, path: str, layers: Sequence[Layer]) -> Block:
    """Turn a branch into a block, its parts in the order of execution."""
    label = path.rpartition(".")[2]
    own = [Block(layers[column].name, label, (column,)) for column in branch.own]
    below = [grown(one, f"{path}.{piece}" if path else piece, layers) for piece, one in branch.below.items()]
    if path and len(own) == 1 and not below:
        return own[0]
    parts = sorted([*own, *below], key=lambda part: layers[part.columns[0]].position)
    return joined(f"{path}.{WHOLE}" if path else WHOLE, label or "all layers", grouped(parts, layers), layers)


def joined(name: str, label: str, parts: Sequence[Block], layers: Sequence[Layer]) -> Block:
    """A block of some parts."""
    columns = sorted((column for part in parts for column in part.columns), key=lambda one: layers[one].position)
    return Block(name, label, tuple(columns), tuple(parts))


def grouped(parts: list[Block], layers: Sequence[Layer]) -> list[Block]:
    """Join runs of neighbours where there are too many parts to list."""
    if len(parts) <= MOST_PARTS:
        return parts
    size = 10 ** math.ceil(math.log10(len(parts) / MOST_PARTS))
    runs = [parts[start : start + size] for start in range(0, len(parts), size)]
    return [
        joined(between(run[0].name, run[-1].label), between(run[0].label, run[-1].label), grouped(run, layers), layers)
        if len(run) > 1
        else run[0]
        for run in runs
    ]


def between(first: str, last: str) -> str:
    """Name a run of neighbours.

    Example:
        >>> between("layers.0.*", "9")
        'layers.0 … 9'
    """
    return f"{first.removesuffix(f'.{WHOLE}')} … {last}"


def rows_at(tree: Block, open_names: Collection[str]) -> list[Block]:
    """The rows of a tree at a chosen openness, the input's first: together they hold every layer once.

    Args:
        tree: The tree.
        open_names: Names of the blocks that are open; a block inside a closed one does not show.
    """
    return [line.block for line in lines_at(tree, open_names) if not line.is_open]


def lines_at(tree: Block, open_names: Collection[str], *, depth: int = 0) -> list[TreeRow]:
    """The same rows, and before them a line for each open block: a tree to click on."""
    if not tree.parts or tree.name not in open_names:
        return [TreeRow(tree, depth)]
    below = [line for part in tree.parts for line in lines_at(part, open_names, depth=depth + 1)]
    return [TreeRow(tree, depth, is_open=True), *below]


def default_openness(tree: Block, *, most_rows: int = MOST_ROWS) -> frozenset[str]:
    """Names of the blocks to open at first: as deep as all rows fit, the outermost and the largest blocks first.

    Args:
        tree: The tree.
        most_rows: Rows there may be; the outermost block is open in any case.
    """
    opened = {tree.name}
    waiting = sized(tree.parts)
    row_count = len(tree.parts)
    while waiting:
        alike = [part for part in waiting if len(part.columns) == len(waiting[0].columns)]
        waiting = waiting[len(alike) :]
        more = sum(len(part.parts) - 1 for part in alike)
        # Blocks of one size are opened together or not at all, and none that is smaller than one left closed: a few
        # open ones among their like would mislead.
        if row_count + more > most_rows:
            break
        row_count += more
        opened |= {part.name for part in alike}
        waiting = sized([*waiting, *(inner for part in alike for inner in part.parts)])
    return frozenset(opened)


def sized(parts: Iterable[Block]) -> list[Block]:
    """Those that can be opened, the largest first."""
    return sorted((part for part in parts if part.parts), key=lambda part: -len(part.columns))


def all_open(tree: Block) -> frozenset[str]:
    """Names of all blocks: a row for each layer."""
    return frozenset({tree.name} if tree.parts else ()).union(*(all_open(part) for part in tree.parts))


def blocks_around(tree: Block, column: int) -> tuple[str, ...]:
    """Names of the blocks to open so that a layer has a row of its own, the outermost first."""
    if not tree.parts or column not in tree.columns:
        return ()
    inner = next(part for part in tree.parts if column in part.columns)
    return (tree.name, *blocks_around(inner, column))


def openness_for(run: Run, tree: Block, frontier: str | None, *, most_rows: int = MOST_ROWS) -> frozenset[str]:
    """The default openness, and all that is around one layer open, so that it has a row of its own."""
    columns = [column for column in tree.columns if run.layers[column].name == frontier]
    return default_openness(tree, most_rows=most_rows).union(*(blocks_around(tree, column) for column in columns))


@dataclass(frozen=True, slots=True)
class BlockQuantity:
    """Something measured of layers, and how a block's is joined from its layers'.

    Attributes:
        title: Its name.
        unit: Its unit; empty for a bare ratio, `%` for a share.
        measured: From a run and the rows of some snapshots to an array [snapshot layer], nan where not measured.
        weights: Likewise, to what a layer counts in its block.
        join: From the two, for the layers of one block in the order of execution, to an array [snapshot].
    """

    title: str
    unit: str
    measured: Callable[[Run, NDArray[np.intp]], FloatArray]
    weights: Callable[[Run, NDArray[np.intp]], FloatArray]
    join: Callable[[FloatArray, FloatArray], FloatArray]


def values_of(run: Run, rows: Sequence[Block], quantity: str, moments: Sequence[int] | None = None) -> FloatArray:
    """What was measured of the rows of a tree.

    Args:
        run: The run.
        rows: Layers and blocks.
        quantity: One of `BLOCK_QUANTITIES`.
        moments: Ranks of the snapshots to look at; None for all.

    Returns:
        An array [snapshot row]; nan where nothing was measured, shares from 0 to 1.
    """
    chosen = np.arange(run.snapshot_count) if moments is None else np.asarray(moments, dtype=np.intp)
    return joined_values(layer_values(run, quantity, chosen), rows, quantity)


def layer_values(run: Run, quantity: str, moments: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """What was measured of each layer, and what it counts in its block: arrays [snapshot layer]."""
    kind = BLOCK_QUANTITIES[quantity]
    return kind.measured(run, moments), kind.weights(run, moments)


def joined_values(grids: tuple[FloatArray, FloatArray], rows: Sequence[Block], quantity: str) -> FloatArray:
    """What `values_of` returns, from what `layer_values` gives."""
    measured, weights = grids
    values = np.full((len(measured), len(rows)), np.nan)
    for place, row in enumerate(rows):
        columns = list(row.columns)
        if len(columns) == 1:
            values[:, place] = measured[:, columns[0]]
        elif columns:
            values[:, place] = BLOCK_QUANTITIES[quantity].join(measured[:, columns], weights[:, columns])
    return values


def column_of(name: str) -> Callable[[Run, NDArray[np.intp]], FloatArray]:
    """Read one of a run's columns of layers; nan throughout where it has none."""
    return lambda run, moments: (
        run.layer_columns[name][moments] if name in run.layer_columns else unmeasured(run, moments)
    )


def unmeasured(run: Run, moments: NDArray[np.intp]) -> FloatArray:
    """An array of nan."""
    return np.full((len(moments), len(run.layers)), np.nan)


def trunk_gains(run: Run, moments: NDArray[np.intp]) -> FloatArray:
    """Gains along the trunk, gaps filled as in the gain budget; nan off the trunk."""
    gains = unmeasured(run, moments)
    if not {"trunk_position", "gain_db", "level_db"} <= run.layer_columns.keys():
        return gains
    for place, moment in enumerate(moments.tolist()):
        trunk = list(run.trunk(moment))
        known = (run.layer_columns[name][moment, trunk].tolist() for name in ("level_db", "gain_db"))
        gains[place, trunk] = fill_gaps(*known)[1]
    return gains


def update_ratios(run: Run, moments: NDArray[np.intp]) -> FloatArray:
    """Update ratio of each layer's largest parameter, as a rule its weight."""
    return of_largest_parameters(run, moments, "update_ratio")


def weight_norms(run: Run, moments: NDArray[np.intp]) -> FloatArray:
    """Norm of each layer's largest parameter."""
    roots = np.full(len(run.layers), np.nan)
    columns, owned = largest_of_layers(run)
    roots[columns] = [math.sqrt(run.parameters[index].element_count) for index in owned]
    return roots * of_largest_parameters(run, moments, "weight_rms")


def of_largest_parameters(run: Run, moments: NDArray[np.intp], name: str) -> FloatArray:
    """One of a run's columns of parameters, of each layer's largest; nan for a layer without any."""
    values = unmeasured(run, moments)
    columns, owned = largest_of_layers(run)
    if name in run.parameter_columns and columns:
        values[:, columns] = run.parameter_columns[name][moments][:, owned]
    return values


def largest_of_layers(run: Run) -> tuple[list[int], list[int]]:
    """Columns of the layers that own parameters, and the index of the largest of each."""
    largest = largest_parameters(run.parameters)
    columns = [column for column, layer in enumerate(run.layers) if layer.name in largest]
    return columns, [largest[run.layers[column].name] for column in columns]


def unit_counts(run: Run, moments: NDArray[np.intp]) -> FloatArray:
    """Units of each layer; 1 where they are not known."""
    counts = np.array([layer.unit_count or 1 for layer in run.layers], dtype=np.float64)
    return np.broadcast_to(counts, (len(moments), len(counts)))


def summed(values: FloatArray, _: FloatArray) -> FloatArray:
    """The sum of what was measured; nan where nothing was."""
    return np.where(np.isnan(values).all(axis=1), np.nan, np.nansum(values, axis=1))


def nearest_input(values: FloatArray, _: FloatArray) -> FloatArray:
    """The first that was measured; nan where none was."""
    first = np.argmin(np.isnan(values), axis=1)
    return np.asarray(values[np.arange(len(values)), first])


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The mean of what was measured, each by its weight; nan where nothing was."""
    counted = np.where(np.isnan(values), 0.0, weights)
    total = counted.sum(axis=1)
    return np.asarray(np.nansum(values * counted, axis=1) / np.where(total > 0.0, total, np.nan))


def ratio_of_norms(values: FloatArray, weights: FloatArray) -> FloatArray:
    """The norm of all changes over the norm of all weights, from each layer's ratio and norm; nan where unknown."""
    norms = np.where(np.isnan(values), np.nan, weights)
    whole = np.sqrt(np.nansum(norms**2, axis=1))
    moved = np.sqrt(np.nansum((values * norms) ** 2, axis=1))
    return np.asarray(moved / np.where(whole > 0.0, whole, np.nan))


BLOCK_QUANTITIES: Mapping[str, BlockQuantity] = {
    "level_db": BlockQuantity("level", "dB", column_of("level_db"), unmeasured, nearest_input),
    "gain_db": BlockQuantity("gain", "dB", trunk_gains, unmeasured, summed),
    "update_ratio": BlockQuantity("update ratio", "", update_ratios, weight_norms, ratio_of_norms),
    "saturated_share": BlockQuantity("saturated units", "%", column_of("saturated_share"), unit_counts, weighted_mean),
    "dead_share": BlockQuantity("dead units", "%", column_of("dead_share"), unit_counts, weighted_mean),
}
"""By the name of the number in `LayerRow`."""
