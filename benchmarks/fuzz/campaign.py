"""A campaign: so many inputs, each made from the seed and its number alone, judged and counted."""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fuzz.judging import Defect, greatest_memory, judge
from benchmarks.fuzz.kinds import KINDS, Bench, empty
from benchmarks.fuzz.seeds import kept_batch, sound_run_file
from benchmarks.fuzz.values import MARK
from benchmarks.fuzz.witness import Witness, contents

THESIS = "my thesis\n" * 10
"""A file of somebody's, beside the folder that may be written to."""


@dataclass(slots=True)
class Tally:
    """What came of a campaign.

    Attributes:
        counts: Inputs by kind.
        seconds: Processor time by kind.
        slowest: Processor time of the slowest input of each kind.
        defects: What went wrong.
        memory_bytes: Greatest memory of the process at the end.
    """

    counts: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)
    memory_bytes: int = 0


@contextmanager
def playground() -> Iterator[Path]:
    """A folder that may be written to, the working directory while it lasts; temporary files lie in it, too.

    Yields:
        The working directory, `inside`; beside it lies `outside`, which nothing may touch.
    """
    before, temporary = Path.cwd(), tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="gradiometer-fuzz-") as name:
        place = Path(name).resolve()
        for folder in ("inside", "outside", "temporary"):
            (place / folder).mkdir()
        (place / "outside" / "thesis.txt").write_text(THESIS, encoding="utf-8")
        tempfile.tempdir = str(place / "temporary")
        os.chdir(place / "inside")
        try:
            yield place / "inside"
        finally:
            os.chdir(before)
            tempfile.tempdir = temporary


def run_campaign(
    numbers: Sequence[int],
    seed: str,
    *,
    kinds: Sequence[str] = tuple(KINDS),
    say: Callable[[str], None] = lambda _: None,
    most_seconds: float = float("inf"),
) -> Tally:
    """Feed inputs and judge what comes of them.

    Args:
        numbers: Numbers of the inputs; each is made of the seed and its number alone.
        seed: Seed of the campaign.
        kinds: Kinds to draw from.
        say: Is told of every defect, and now and then how far it is.
        most_seconds: Wall time after which no further input is fed.
    """
    tally = Tally()
    sound, kept = sound_run_file(), kept_batch()
    shares = [KINDS[kind][0] for kind in kinds]
    with playground() as folder:
        bench, witness = Bench(folder, sound, kept), Witness(folder.parent)
        bench.prepare(kinds)
        outside = contents(folder.parent / "outside")
        begun = time.monotonic()
        for number in numbers:
            if time.monotonic() - begun > most_seconds:
                break
            source = random.Random(f"{seed}:{number}")
            kind = source.choices(kinds, shares)[0]
            known = len(tally.defects)
            feed(kind, number, source, bench, witness, tally)
            if contents(folder.parent / "outside") != outside or list(folder.parent.rglob(MARK)):
                tally.defects.append(Defect(kind, number, "", "a file beside the working directory was changed"))
            for defect in tally.defects[known:]:
                say(f"{defect.kind}, number {defect.number}, {defect.what}: {defect.fault}")
            if number % 1000 == 999:
                say(f"{number + 1} inputs, {len(tally.defects)} defects, {time.monotonic() - begun:.0f} s")
    tally.memory_bytes = greatest_memory()
    return tally


def feed(kind: str, number: int, source: random.Random, bench: Bench, witness: Witness, tally: Tally) -> None:
    """Feed one input and count it."""
    empty(bench.folder)
    what = ""

    def attempt() -> str:
        nonlocal what
        what, fault = KINDS[kind][1](source, bench)
        return fault

    begun = time.process_time()
    fault = judge(attempt, witness)
    seconds = time.process_time() - begun
    tally.counts[kind] += 1
    tally.seconds[kind] += seconds
    tally.slowest[kind] = max(tally.slowest.get(kind, 0.0), seconds)
    if fault:
        tally.defects.append(Defect(kind, number, what, fault))
