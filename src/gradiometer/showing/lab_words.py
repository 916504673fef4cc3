"""The words that terminal and page share on what the lab found: published beside measured."""

import math
from collections import Counter

from gradiometer.schema import ExperimentReport, Row, RowVerdict, Standing

STANDING_WORDS: dict[Standing, str] = {
    "seen": "seen in the source",
    "second_hand": "seen in a copy or summary of the source",
    "remembered": "from memory: the source was not seen",
    "own": "from runs of our own",
    "exact": "computed, no source needed",
}
"""How a published figure is known."""

VERDICT_STYLES: dict[RowVerdict, str] = {"within": "green", "outside": "red", "not run": "dim"}
"""Verdict of a row to its style on a terminal."""


def number_words(number: float, digits: int = 4) -> str:
    """A number as people read it: whole ones in full, others with some digits.

    Example:
        >>> number_words(13002.0), number_words(0.953149), number_words(1.23e-7), number_words(float("inf"))
        ('13002', '0.9531', '1.23e-07', '∞')
        >>> number_words(float("nan")), number_words(20345.6), number_words(1.7580993408, 8)
        ('–', '20346', '1.7580993')
    """
    if math.isnan(number):
        return "–"
    if math.isinf(number):
        return "∞" if number > 0 else "-∞"
    if number == int(number) and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.0f}" if digits <= 5 and 1e4 <= abs(number) < 1e6 else f"{number:.{digits}g}"


def digits_of(row: Row) -> int:
    """Digits that tell the ends of what is accepted apart, at least 4.

    Example:
        >>> digits_of(Row("", "", 94.7, 95.8, "", "seen"))
        4
        >>> digits_of(Row("", "", 0.25 - 1e-9, 0.25 + 1e-9, "", "exact"))
        11
    """
    width, size = row.high - row.low, max(abs(row.low), abs(row.high))
    if not math.isfinite(width) or width <= 0.0:
        return 4
    return min(max(math.ceil(math.log10(size / width)) + 2, 4), 12)


def with_unit(words: str, unit: str) -> str:
    """Words with their unit, if there is one."""
    return f"{words} {unit}" if unit else words


def cell_words(cell: str | float) -> str:
    """A cell of a table."""
    return cell if isinstance(cell, str) else number_words(float(cell))


def band_words(row: Row) -> str:
    """What is accepted.

    Example:
        >>> row = Row("accuracy", "95.42 %", 94.7, 95.8, "", "seen", unit="%")
        >>> band_words(row)
        '94.7 to 95.8 %'
        >>> band_words(Row("slope", "1/4", 0.25 - 1e-9, 0.25 + 1e-9, "", "exact"))
        '0.25 ± 1e-09'
    """
    if row.low == row.high:
        return with_unit(number_words(row.low), row.unit)
    if math.isinf(row.low):
        return "anything" if math.isinf(row.high) else with_unit(f"at most {number_words(row.high)}", row.unit)
    if math.isinf(row.high):
        return with_unit(f"at least {number_words(row.low)}", row.unit)
    digits = digits_of(row)
    if digits > 6:
        middle, half = (row.low + row.high) / 2.0, (row.high - row.low) / 2.0
        return with_unit(f"{number_words(middle, digits)} ± {half:.1g}", row.unit)
    return with_unit(f"{number_words(row.low, digits)} to {number_words(row.high, digits)}", row.unit)


def measured_words(row: Row) -> str:
    """What was measured, the mean over the seeds, with as many digits as what is accepted needs."""
    return "–" if row.measured is None else with_unit(number_words(row.measured, digits_of(row)), row.unit)


def spread_words(row: Row) -> str:
    """How far the seeds lie apart; empty for one seed, or where nothing was run.

    Example:
        >>> row = Row("accuracy", "95.42 %", 94.7, 95.8, "", "seen")
        >>> spread_words(row.filled_from([95.0, 95.5]))
        '95 to 95.5 over 2 seeds'
    """
    if row.spread is None:
        return f"{row.seeds} seeds" if row.seeds > 1 else ""
    low, high = (number_words(end, digits_of(row)) for end in row.spread)
    return f"{low} to {high} over {row.seeds} seeds"


def count_verdicts(rows: tuple[Row, ...]) -> dict[RowVerdict, int]:
    """How many rows there are of each verdict."""
    counts = Counter(row.verdict for row in rows)
    return {verdict: counts[verdict] for verdict in VERDICT_STYLES}


def rows_sentence(rows: tuple[Row, ...]) -> str:
    """How what was measured stands beside what is published, in one sentence; empty without rows.

    Example:
        >>> row = Row("accuracy", "95.42 %", 94.7, 95.8, "", "seen")
        >>> rows_sentence((row.filled(95.0), row.left_out("needs MNIST")))
        'Of 2 published figures 1 was run: within what is accepted.'
        >>> rows_sentence((row.filled(95.0), row.filled(9.0)))
        'Of 2 published figures 2 were run: 1 within what is accepted, 1 outside.'
    """
    if not rows:
        return ""
    counts = count_verdicts(rows)
    run = counts["within"] + counts["outside"]
    if not run:
        return f"None of {len(rows)} published figures was run."
    start = f"Of {len(rows)} published figures {run} {'was' if run == 1 else 'were'} run"
    if not counts["outside"]:
        return f"{start}: {'all ' if run > 1 else ''}within what is accepted."
    if not counts["within"]:
        return f"{start}: {'all ' if run > 1 else ''}outside of what is accepted."
    return f"{start}: {counts['within']} within what is accepted, {counts['outside']} outside."


def fact_of(report: ExperimentReport, name: str) -> str:
    """One of a report's facts; empty where it has none of that name."""
    return dict(report.facts).get(name, "")


def report_command(run_file: str) -> str:
    """The command that makes a page of a run file."""
    return f"gradiometer report {run_file}"
