"""The gain ladder: a level diagram from the network's output down to its input, each layer's gain by cause."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gradiometer.gain_budget import GainParts, gain_budget
from gradiometer.schema import Finding, Run
from gradiometer.showing.figures.expected_gains import expected_gains
from gradiometer.showing.figures.layer_tree import MOST_ROWS, Block, layer_tree, openness_for, rows_at
from gradiometer.showing.figures.parts import FigureParts, axis, draw, empty_parts, layout, named_rows, shown_name
from gradiometer.showing.layer_rows import snapshot_to_show
from gradiometer.showing.palette import (
    CAUSE_COLOURS,
    CAUSE_WORDS,
    FRONTIER_BAND_COLOUR,
    GRID_COLOUR,
    MARK_COLOUR,
    TEXT_COLOUR,
)
from gradiometer.showing.wording import condition_in_words
from gradiometer.units import format_db

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "Read from the top, where the loss is, down to the input: every bar is one layer's gain, a bar to the left "
    "weakens the gradient, a bar to the right strengthens it, and its colour says why. Layers of a deep network are "
    "taken together as blocks, whose gains are the sums of their layers'. Dotted is the level that theory expects of "
    "random weights of the same size: where the bars leave it, something else is at work than size and slope."
)


LEGEND_LINE = 19
"""Height of a line of the legend, pixels."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One layer of the trunk, or a block of them: the level it meets and the gains it adds, by cause, dB.

    Attributes:
        name: Name of the layer or block.
        start_db: Level at its output side.
        gains: Cause and gain.
        layers: Names of the layers that it holds.
        expected_db: The gain that theory expects, dB, the measured one where it says nothing; None where it says
            nothing of any of them.
    """

    name: str
    start_db: float
    gains: tuple[tuple[str, float], ...]
    layers: tuple[str, ...]
    expected_db: float | None = None

    @property
    def gain_db(self) -> float:
        """Gain of the whole layer, dB."""
        return sum(gain for _, gain in self.gains)

    @property
    def end_db(self) -> float:
        """Level on its input side, dB."""
        return self.start_db + self.gain_db


def gains_of(parts: GainParts) -> tuple[tuple[str, float], ...]:
    """A layer's gain by cause, only the causes it has; none where the gain was not measured.

    What has no colour of its own, residual sums and pooling among it, is shown together.
    """
    shown = {cause: getattr(parts, f"{cause}_db") for cause in CAUSE_COLOURS if cause != "other"}
    rest_db = parts.pooling_db + parts.recurrence_db + parts.skip_db + parts.output_unit_db + parts.other_db
    return tuple((cause, part) for cause, part in {**shown, "other": rest_db}.items() if part != 0.0)


def rungs_of(run: Run, snapshot_index: int) -> list[Rung]:
    """The gain budget's entries at one moment, from the network's output to its input.

    A gain that is not known has no bar. The layer nearest the input has none as a rule: no gradient is asked for at
    the network's input.
    """
    expected = expected_gains(run, snapshot_index)
    return [
        Rung(
            entry.layer,
            entry.level_db,
            gains_of(entry.parts),
            (entry.layer, *entry.members),
            expected.get(entry.layer) if not math.isnan(entry.gain_db) else None,
        )
        for entry in gain_budget(run, snapshot_index).entries
        if not math.isnan(entry.level_db)
    ]


def joined_rungs(run: Run, rungs: list[Rung], frontier: str | None, open_names: Collection[str] | None) -> list[Rung]:
    """The rungs of a deep network by blocks: neighbours in one closed block become one rung, their gains added up.

    Args:
        run: The run.
        rungs: One for each layer of the trunk.
        frontier: The layer that has a rung of its own.
        open_names: Names of the blocks of the run's `layer_tree` that are open; None for all where the rungs fit on a
            screen, else for as many as fit.
    """
    if open_names is None and len(rungs) <= MOST_ROWS:
        return rungs
    tree = layer_tree(run.layers)
    opened = openness_for(run, tree, frontier) if open_names is None else open_names
    return rungs_of_rows(run, rungs, rows_at(tree, opened))


def rungs_of_rows(run: Run, rungs: list[Rung], rows: Sequence[Block]) -> list[Rung]:
    """The rungs of the layers that some rows of a tree hold, those of one row and next to each other as one."""
    owners = {run.layers[column].name: row.name for row in rows for column in row.columns}
    held = [rung for rung in rungs if rung.name in owners]
    neighbours = [list(group) for _, group in groupby(held, key=lambda rung: owners[rung.name])]
    return [group[0] if len(group) == 1 else joined_rung(owners[group[0].name], group) for group in neighbours]


def joined_rung(name: str, rungs: list[Rung]) -> Rung:
    """Neighbouring rungs as one."""
    gains = {cause: [gain for rung in rungs for own, gain in rung.gains if own == cause] for cause in CAUSE_COLOURS}
    added = tuple((cause, sum(parts)) for cause, parts in gains.items() if parts)
    layers = tuple(layer for rung in rungs for layer in rung.layers)
    is_known = any(rung.expected_db is not None for rung in rungs)
    expected_db = sum(expected_or_measured(rung) for rung in rungs) if is_known else None
    return Rung(name, rungs[0].start_db, added, layers, expected_db)


def expected_or_measured(rung: Rung) -> float:
    """The gain that theory expects of a rung, or else the measured one, dB."""
    return rung.gain_db if rung.expected_db is None else rung.expected_db


def describe_gain_ladder(
    run: Run,
    *,
    snapshot_index: int | None = None,
    frontier: str | None = None,
    findings: Sequence[Finding] = (),
    open_names: Collection[str] | None = None,
) -> FigureParts:
    """Describe the gain ladder as plain dictionaries.

    Args:
        run: The run.
        snapshot_index: The full measurement to show; None for the last that holds a finite level.
        frontier: The layer to mark, as a rule the worst finding's first.
        findings: What was found; each is named at the layer at which it sets in.
        open_names: Names of the blocks of the run's `layer_tree` that are open; None for as many as a screen holds.

    Returns:
        The figure's parts; a figure that says so where the trunk was not measured. A level of -inf stands on a floor
        20 dB under the lowest finite level, with a mark.
    """
    index = snapshot_to_show(run) if snapshot_index is None else snapshot_index
    rungs = rungs_of(run, index) if index is not None and "level_db" in run.layer_columns else []
    if index is None or not rungs:
        return empty_parts("No full measurement of the trunk: no ladder to draw.")
    rungs = joined_rungs(run, rungs, frontier, open_names)
    return describe_rungs(rungs, int(run.snapshot_steps[index]), frontier=frontier, findings=findings)


def describe_rungs(
    rungs: list[Rung], step: int, *, frontier: str | None = None, findings: Sequence[Finding] = ()
) -> FigureParts:
    """Describe a ladder of these rungs, at least one; the other arguments as for `describe_gain_ladder`."""
    floor_db = floor_below([level for rung in rungs for level in (rung.start_db, rung.end_db)])
    frontier_row = row_holding(rungs, frontier)
    chosen, texts, height = named_rows([rung.name for rung in rungs], always=frontier_row)
    ticks = {"tickvals": chosen, "ticktext": texts, "range": [len(rungs) - 0.4, -0.6], "showgrid": False}
    axes = {
        "xaxis": axis("level (dB, relative to the output)", side="bottom", zeroline=True, zerolinecolor=TEXT_COLOUR),
        "yaxis": axis("input ← layer ← output", **ticks),
    }
    title = {"text": f"step {step}", "font": {"size": 12}, "x": 1, "xanchor": "right"}
    shapes = [
        row_shape(row, words, is_frontier=row == frontier_row, is_left=is_bar_right(rungs, row, floor_db))
        for row, words in words_by_row(rungs, frontier_row, findings).items()
    ]
    data = [
        *bars_of(rungs, floor_db),
        connector_of(rungs, floor_db),
        *expected_of(rungs, floor_db),
        *marks_of(rungs, floor_db),
    ]
    # On a phone every name in the legend takes a line of its own.
    whole = max(height, 100) + 90 + LEGEND_LINE * len(data)
    return {"data": data, "layout": layout(whole, barmode="overlay", shapes=shapes, title=title, **axes)}


def row_holding(rungs: list[Rung], layer: str | None) -> int | None:
    """The row of a layer, or of the block that holds it; None where none does."""
    exact = [row for row, rung in enumerate(rungs) if rung.name == layer]
    return next(iter(exact or [row for row, rung in enumerate(rungs) if layer in rung.layers]), None)


def words_by_row(rungs: list[Rung], frontier_row: int | None, findings: Sequence[Finding]) -> dict[int, str]:
    """What is written at a row: the findings that set in there, and where the worst one starts."""
    names: dict[int, list[str]] = {}
    for finding in findings:
        row = row_holding(rungs, finding.layers[0]) if finding.layers else None
        if row is not None:
            names.setdefault(row, []).append(condition_in_words(finding.condition))
    words = {row: ", ".join(dict.fromkeys(found)) for row, found in names.items()}
    if frontier_row is not None:
        words[frontier_row] = f"{words.get(frontier_row, '')} starts here".strip()
    return words


def draw_gain_ladder(
    run: Run,
    *,
    snapshot_index: int | None = None,
    frontier: str | None = None,
    findings: Sequence[Finding] = (),
    open_names: Collection[str] | None = None,
) -> "Figure":
    """Draw the gain ladder as a plotly figure; arguments as for `describe_gain_ladder`."""
    return draw(
        describe_gain_ladder(
            run, snapshot_index=snapshot_index, frontier=frontier, findings=findings, open_names=open_names
        )
    )


def floor_below(levels: list[float]) -> float:
    """The level at which -inf is shown: 20 dB under the lowest finite one; and finite ones only bound it."""
    return min((level for level in levels if math.isfinite(level)), default=0.0) - 20.0


def bars_of(rungs: list[Rung], floor_db: float) -> list[dict[str, Any]]:
    """One trace per cause that occurs: a bar from where the cause's share of a layer's gain starts, as long as it."""
    traces = []
    for cause, colour in CAUSE_COLOURS.items():
        bars = [bar for row, rung in enumerate(rungs) for bar in bars_of_rung(row, rung, cause, floor_db)]
        if not bars:
            continue
        rows, starts, lengths, texts = zip(*bars, strict=True)
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": CAUSE_WORDS[cause],
                "y": list(rows),
                "base": list(starts),
                "x": list(lengths),
                "width": 0.8,
                "marker": {"color": colour},
                "hovertext": list(texts),
                "hoverinfo": "text",
            }
        )
    return traces


def bars_of_rung(row: int, rung: Rung, cause: str, floor_db: float) -> list[tuple[int, float, float, str]]:
    """The bars of one layer for one cause: row, start, length, what is said on pointing at it."""
    bars = []
    start_db = rung.start_db
    for name, gain_db in rung.gains:
        end_db = start_db + gain_db
        if name == cause and math.isfinite(start_db):
            shown_end = end_db if math.isfinite(end_db) else floor_db
            text = f"{shown_name(rung.name)}<br>{CAUSE_WORDS[cause]}: {format_db(gain_db)}"
            text += f"<br>{format_db(rung.start_db)} → {format_db(rung.end_db)}"
            bars.append((row, round(start_db, 3), round(shown_end - start_db, 3), text))
        start_db = end_db
    return bars


def connector_of(rungs: list[Rung], floor_db: float) -> dict[str, Any]:
    """The level itself, a line that leads from rung to rung."""
    levels = [*(rung.start_db for rung in rungs), rungs[-1].end_db]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [round(max(level, floor_db), 1) for level in levels],
        "y": [row - 0.5 for row in range(len(levels))],
        # Down to the middle of a row, across to the next level, and down to the row's end.
        "line": {"color": TEXT_COLOUR, "width": 1, "shape": "vhv"},
        "name": "level",
        "hoverinfo": "skip",
    }


def expected_of(rungs: list[Rung], floor_db: float) -> list[dict[str, Any]]:
    """The level that theory expects, a dotted line from the top on; no trace where it says nothing of any rung."""
    if all(rung.expected_db is None for rung in rungs):
        return []
    levels = [rungs[0].start_db]
    for rung in rungs:
        levels.append(levels[-1] + expected_or_measured(rung))
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "level that theory expects",
            "x": [round(max(level, floor_db), 1) for level in levels],
            "y": [row - 0.5 for row in range(len(levels))],
            "line": {"color": MARK_COLOUR, "width": 2, "dash": "dot"},
            "hovertemplate": "expected: %{x} dB<extra></extra>",
        }
    ]


def marks_of(rungs: list[Rung], floor_db: float) -> list[dict[str, Any]]:
    """A mark on the floor for every layer behind which no gradient at all is left; no trace where there is none."""
    rows = [row for row, rung in enumerate(rungs) if rung.end_db == -math.inf]
    if not rows:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "no gradient left (−∞ dB)",
            "x": [floor_db] * len(rows),
            "y": rows,
            "marker": {"symbol": "x", "size": 8, "color": MARK_COLOUR},
            "hovertext": [f"{shown_name(rungs[row].name)}<br>−∞ dB" for row in rows],
            "hoverinfo": "text",
            "cliponaxis": False,
        }
    ]


def is_bar_right(rungs: list[Rung], row: int, floor_db: float) -> bool:
    """Whether a row's bar lies in the right half of the diagram, so that words fit to its left."""
    levels = [max(level, floor_db) for rung in rungs for level in (rung.start_db, rung.end_db)]
    middle = (max(rungs[row].start_db, floor_db) + max(rungs[row].end_db, floor_db)) / 2
    return middle > (min(levels) + max(levels)) / 2


def row_shape(row: int, words: str, *, is_frontier: bool, is_left: bool) -> dict[str, Any]:
    """Words on a row, on the side where no bar is; behind the frontier's a band."""
    return {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": row - 0.5,
        "y1": row + 0.5,
        "fillcolor": FRONTIER_BAND_COLOUR if is_frontier else "rgba(0,0,0,0)",
        "line": {"width": 1 if is_frontier else 0, "color": GRID_COLOUR},
        "layer": "below",
        "label": {
            "text": words,
            "textposition": f"middle {'left' if is_left else 'right'}",
            "font": {"size": 11},
        },
    }
