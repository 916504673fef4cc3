"""What an experiment of the lab hands to whoever shows it: text, figures and tables, and published beside measured."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from gradiometer.schema.run import FloatArray

Standing = Literal["seen", "second_hand", "remembered", "own", "exact"]
"""How a published figure is known: seen in the source's own text or data, in somebody's copy or summary of it, from
the field's memory alone, from runs of our own, or computed and in need of no source."""

RowVerdict = Literal["within", "outside", "not run"]
Scale = Literal["linear", "log"]
LineStyle = Literal["line", "dashes", "points", "bars"]


@dataclass(frozen=True, slots=True)
class Row:
    """One published figure beside the measured one.

    Attributes:
        name: What is claimed, in words, with its setting.
        published: The figure as its source prints it.
        low: Least value that is accepted, in `unit`; -inf for none.
        high: Greatest value that is accepted; inf for none.
        source: Author, work, place.
        standing: How the published figure is known.
        unit: Unit of the three numbers; empty for plain ones.
        needs: What it takes to be run: `digits`, which are bundled, or `mnist`.
        measured: What was measured, the mean over the seeds; None where it was not run.
        spread: Least and greatest over the seeds; None for one seed.
        seeds: How many seeds it was measured with.
        reason: Why it was not run, or why it is missed.
    """

    name: str
    published: str
    low: float
    high: float
    source: str
    standing: Standing
    unit: str = ""
    needs: Literal["digits", "mnist"] = "digits"
    measured: float | None = None
    spread: tuple[float, float] | None = None
    seeds: int = 0
    reason: str = ""

    @property
    def verdict(self) -> RowVerdict:
        """Whether what was measured lies in the accepted band, its ends included; NaN lies outside."""
        if self.measured is None:
            return "not run"
        return "within" if self.low <= self.measured <= self.high else "outside"

    def filled(self, measured: float, *, spread: tuple[float, float] | None = None, seeds: int = 1) -> "Row":
        """The row with what was measured."""
        return replace(self, measured=float(measured), spread=spread, seeds=seeds)

    def filled_from(self, values: "FloatArray | list[float]") -> "Row":
        """The row with the mean of one value for each seed, and their spread."""
        numbers = [float(value) for value in values]
        mean = math.fsum(numbers) / len(numbers) if all(map(math.isfinite, numbers)) else math.nan
        spread = (min(numbers), max(numbers)) if len(numbers) > 1 else None
        return self.filled(mean, spread=spread, seeds=len(numbers))

    def left_out(self, reason: str) -> "Row":
        """The row as one that was not run."""
        return replace(self, reason=reason)


@dataclass(frozen=True, slots=True)
class Line:
    """One curve, row of points, or row of bars.

    Attributes:
        name: What the legend calls it.
        x: Positions along the x axis; words make an axis of categories.
        y: Heights; NaN leaves a gap.
        style: How it is drawn.
        low: Lower ends of a band around it; empty for none.
        high: Upper ends of that band.
    """

    name: str
    x: tuple[float, ...] | tuple[str, ...]
    y: tuple[float, ...]
    style: LineStyle = "line"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over two axes.

    Attributes:
        title: What it shows.
        caption: How to read it, and what is to be seen.
        x_title: The x axis with its unit.
        y_title: The y axis with its unit.
        lines: The curves.
        x_scale: How the x axis is divided.
        y_scale: How the y axis is divided.
        marks: Places on the x axis with a word each.
    """

    title: str
    caption: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A table of numbers as colours.

    Attributes:
        title: What it shows.
        caption: How to read it, and what is to be seen.
        x_title: The x axis with its unit.
        y_title: The y axis with its unit.
        x: Names or numbers of the columns.
        y: Names or numbers of the rows, the first at the bottom.
        values: The numbers [y x]; NaN leaves a gap.
        unit: Their unit.
        is_diverging: Whether they have two sides, around 0.
        path: Points (x, y) of a way drawn upon it; empty for none.
    """

    title: str
    caption: str
    x_title: str
    y_title: str
    x: tuple[float, ...] | tuple[str, ...]
    y: tuple[float, ...] | tuple[str, ...]
    values: FloatArray
    unit: str = ""
    is_diverging: bool = False
    path: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """One grey picture.

    Attributes:
        name: What stands below it.
        pixels: Brightness [height width]; least is black, greatest white, within this picture.
    """

    name: str
    pixels: FloatArray


@dataclass(frozen=True, slots=True)
class PictureGrid:
    """Grey pictures side by side.

    Attributes:
        title: What they show.
        caption: How to read them.
        pictures: The pictures, row after row.
        columns: Pictures in a row.
    """

    title: str
    caption: str
    pictures: tuple[Picture, ...]
    columns: int = 10


@dataclass(frozen=True, slots=True)
class Table:
    """Words and numbers in columns.

    Attributes:
        title: What it shows.
        caption: How to read it.
        columns: Heads of the columns, with units.
        rows: Cells, a number or text each.
    """

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]


Part = str | Chart | HeatMap | PictureGrid | Table
"""What a section is made of; a text is a paragraph."""


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of an experiment's page: a heading, and what stands below it in order."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class ExperimentReport:
    """What an experiment found.

    Attributes:
        name: Its name on the command line.
        title: Its heading.
        summary: What it shows and what came out, in plain sentences, with this run's numbers.
        sections: The page.
        rows: Published beside measured.
        facts: How it was run: data set, seeds, sizes, versions, seconds.
        run_files: Paths of the run files that it wrote.
    """

    name: str
    title: str
    summary: str
    sections: tuple[Section, ...]
    rows: tuple[Row, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    run_files: tuple[str, ...] = ()

    @property
    def missed(self) -> tuple[Row, ...]:
        """The rows that were run and lie outside what is accepted."""
        return tuple(row for row in self.rows if row.verdict == "outside")
