"""Which trainings are cured: a sample of the truth benchmark's faulty ones, even over the faults, and of healthy twins.

A longer sample begins with the shorter one, so that a run can be made longer. Any beginning of it is even over the
faults, too: each fault's trainings, in a drawn order, are spread over the sample.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cures.curable import CURABILITY
from benchmarks.truth.results import Counted, Result, count, read_results


def read_counted(folder: Path, part: str) -> Counted:
    """What the truth benchmark's results of a part count as; nothing is left out for its own reasons."""
    return count(read_results(folder), part, (), ())


def curable_of(counted: Counted) -> list[Result]:
    """Trainings whose fault did harm and can be cured in place."""
    return [result for result in counted.faulty if CURABILITY[result.fault].is_curable]


def draw(
    results: Sequence[Result], kind: Callable[[Result], str], seed: int, size: int | None = None
) -> tuple[Result, ...]:
    """Draw a sample.

    Args:
        results: What to draw from.
        kind: What the sample is to be even over.
        seed: Of the drawing.
        size: Of the sample; None for all, in the drawn order.
    """
    chance = random.Random(f"cures {seed}")
    placed: list[tuple[float, int, Result]] = []
    for name in sorted({kind(result) for result in results}):
        alike = [result for result in results if kind(result) == name]
        chance.shuffle(alike)
        start = chance.random()
        placed += [((rank + start) / len(alike), result.number, result) for rank, result in enumerate(alike)]
    return tuple(result for *_, result in sorted(placed, key=lambda entry: entry[:2]))[:size]
