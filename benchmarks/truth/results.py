"""What is kept of each training, and the rules, fixed before anything was trained, by which it counts.

- A drawn training is *healthy* if it learns: it ends at 80 % or less of the loss of the best constant guess, and not a
  tenth of that loss above its own best.
- One with a fault is *faulty* if it ends worse than its twin by a tenth of that loss or more, or not finite.
- What is neither counts nowhere; how many there are of it is published.

Ends are means of the last three evaluations, all on the same training examples, in evaluation mode, of what the
outputs stand for in the twin's own loss.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

HEALTHY_SHARE = 0.8
WORSE_BY = 0.1
LAST_EVALUATIONS = 3


@dataclass(frozen=True)
class Result:
    """What came of one training.

    Attributes:
        number: What it was drawn from.
        fault: A key of `FAULTS`; empty for the twin.
        part: `choosing` or `reporting`.
        family: Of the set-up.
        setup: All fields of the set-up as it was trained.
        steps: Steps taken.
        layer: Layer that the fault sits in, empty where it sits in none.
        evaluations: Loss as a share of a constant guess's, over the run.
        file: Run file, relative to the folder; beside it, with another ending, what the published rules need.
        seconds: What the training took.
        error: What ended it early; empty where nothing did.
    """

    number: int
    fault: str
    part: str
    family: str
    setup: dict[str, object]
    steps: int
    layer: str
    evaluations: tuple[float, ...]
    file: str
    seconds: float
    error: str = ""

    @property
    def end(self) -> float:
        """Where it ended, as a share of a constant guess's loss."""
        return fmean(self.evaluations[-LAST_EVALUATIONS:])

    @property
    def is_healthy(self) -> bool:
        """Whether it is a twin that learned."""
        last_and_best = self.end - min(self.evaluations)
        return not self.fault and not self.error and self.end <= HEALTHY_SHARE and last_and_best < WORSE_BY

    def is_faulty(self, twin: "Result") -> bool:
        """Whether its fault did harm, against a twin that learned."""
        return bool(self.fault) and not self.error and twin.is_healthy and self.end >= twin.end + WORSE_BY


def file_name(number: int, fault: str) -> str:
    """Name of a training's run file."""
    return f"{number:04d}_{(fault or 'twin').replace(' ', '_')}.db"


def append_result(folder: Path, result: Result) -> None:
    """Add one line to the results of a folder."""
    with (folder / "results.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(result)) + "\n")


def read_results(folder: Path) -> list[Result]:
    """All results of a folder in the order of their numbers; none where nothing was run."""
    path = folder / "results.jsonl"
    if not path.exists():
        return []
    found = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    results = [Result(**fields | {"evaluations": tuple(fields["evaluations"])}) for fields in found]
    return sorted(results, key=lambda result: (result.number, result.fault))


@dataclass(frozen=True)
class Counted:
    """What counts of one part.

    Attributes:
        healthy: Twins that learned.
        faulty: Trainings whose fault did harm, of curable classes.
        left_out: Those of classes that are not curable, shuffled labels apart.
        controls: Those with shuffled labels.
        not_learned: Twins that did not learn.
        harmless: Trainings that ended no worse than their twin, or whose twin did not learn.
    """

    healthy: tuple[Result, ...]
    faulty: tuple[Result, ...]
    left_out: tuple[Result, ...]
    controls: tuple[Result, ...]
    not_learned: tuple[Result, ...]
    harmless: tuple[Result, ...]


def count(results: Iterable[Result], part: str, not_curable: Iterable[str], controls: Iterable[str]) -> Counted:
    """Sort the results of a part by what they count as.

    Args:
        results: All results.
        part: `choosing`, `reporting` or `both`.
        not_curable: Names of faults that are published apart.
        controls: Those among them that are no fault of a gradient.
    """
    chosen = [result for result in results if part in (result.part, "both")]
    twins = {result.number: result for result in chosen if not result.fault}
    harmed = [found for found in chosen if found.fault and (t := twins.get(found.number)) and found.is_faulty(t)]
    apart, control = frozenset(not_curable), frozenset(controls)
    return Counted(
        tuple(twin for twin in twins.values() if twin.is_healthy),
        tuple(found for found in harmed if found.fault not in apart),
        tuple(found for found in harmed if found.fault in apart - control),
        tuple(found for found in harmed if found.fault in control),
        tuple(twin for twin in twins.values() if not twin.is_healthy),
        tuple(others(chosen, harmed)),
    )


def others(chosen: Iterable[Result], harmed: Iterable[Result]) -> Iterator[Result]:
    """Trainings with a fault that are not among the harmed."""
    known = {(result.number, result.fault) for result in harmed}
    return (result for result in chosen if result.fault and (result.number, result.fault) not in known)
