"""A chapter of an experiment: what one of its parts adds to the page, to the rows and to the summary."""

from collections.abc import Iterable
from dataclasses import dataclass

from gradiometer.schema import Row, Section


@dataclass(frozen=True, slots=True)
class Chapter:
    """One part of an experiment.

    Attributes:
        sections: What it adds to the page.
        rows: Published beside measured.
        sentence: What came out, in one plain sentence with this run's numbers; empty for nothing to sum up.
    """

    sections: tuple[Section, ...]
    rows: tuple[Row, ...] = ()
    sentence: str = ""


def summary_of(chapters: Iterable[Chapter]) -> str:
    """The chapters' sentences, in order."""
    return " ".join(chapter.sentence for chapter in chapters if chapter.sentence)


def sections_of(chapters: Iterable[Chapter]) -> tuple[Section, ...]:
    """The chapters' sections, in order."""
    return tuple(section for chapter in chapters for section in chapter.sections)


def rows_of(chapters: Iterable[Chapter]) -> tuple[Row, ...]:
    """The chapters' rows, in order."""
    return tuple(row for chapter in chapters for row in chapter.rows)
