"""What is kept of each training that was to be cured: one line of JSON each."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = "results.jsonl"

FAILED = "failed"
"""Outcome of a `gradiometer cure` that gave no answer: it counts as one without a cure, and is tried again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Where one whole training ended.

    Attributes:
        loss: Loss on training examples as a share of a constant guess's; `benchmarks.truth.training.WORST` where it
            was not finite.
        accuracy: Share of classes told right; None where numbers are predicted.
        symptom: AUTOTRAINER's, where its monitor looked on.
    """

    loss: float
    accuracy: float | None = None
    symptom: str = ""


@dataclass(frozen=True, slots=True)
class Treated:
    """What `gradiometer cure` gave.

    Attributes:
        outcome: `better`, `worse` or `not shown`; `FAILED` where there was no answer.
        cures: What it recommends, or tried last.
        conditions: What it found that is worth a cure, worst first.
        detail: Why, in its words.
        ranking: What became of every cure that was tried, a line each.
        seconds: From the command to its answer.
        trial_count: Trainings, those that were cut short too.
        winner_losses: Its control's and its treated trials' final losses.
        confirmation: The verdict on fresh seeds; empty where nothing was proved.
        ends: Where the treated trainings with the fresh seeds ended.
    """

    outcome: str
    cures: tuple[str, ...]
    conditions: tuple[str, ...]
    detail: str
    ranking: tuple[str, ...]
    seconds: float
    trial_count: int
    winner_losses: tuple[tuple[float | None, ...], tuple[float | None, ...]] = ((), ())
    confirmation: str = ""
    ends: tuple[Ended, ...] = ()


@dataclass(frozen=True, slots=True)
class Repaired:
    """What AUTOTRAINER's rules gave.

    Attributes:
        symptom: What it saw in the untouched training; empty where it saw nothing.
        seconds: Of all its trainings, one after another.
        training_count: Their number, the first one included.
        is_solved: It came to a training without symptoms.
        cures: Cures of the training that it hands back.
        options: Options of `script.py` likewise.
        ends: Where the handed back training ended with the fresh seeds.
    """

    symptom: str
    seconds: float
    training_count: int
    is_solved: bool = False
    cures: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    ends: tuple[Ended, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One training.

    Attributes:
        number: What it was drawn from.
        fault: A key of `benchmarks.truth.faults.FAULTS`; empty for a healthy twin.
        family: Of its set-up.
        load: Load of the machine when it began, of all that ran there.
        twins: Where the healthy twin ended with the fresh seeds; none for a twin itself.
        untouched: Where the training itself did, likewise.
        treated: What `gradiometer cure` gave.
        repaired: What AUTOTRAINER gave.
    """

    number: int
    fault: str
    family: str
    load: float
    twins: tuple[Ended, ...]
    untouched: tuple[Ended, ...]
    treated: Treated
    repaired: Repaired


def append_case(folder: Path, case: Case) -> None:
    """Add one line to the results of a folder."""
    with (folder / RESULTS).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(asdict(case)) + "\n")


def read_cases(folder: Path) -> list[Case]:
    """The last result of each training of a folder in the order of their numbers; none where nothing was run."""
    path = folder / RESULTS
    if not path.exists():
        return []
    cases = [case_from(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    last = {(case.number, case.fault): case for case in cases}
    return [last[key] for key in sorted(last)]


def case_from(fields: dict[str, Any]) -> Case:
    """A case from one line's values."""
    treated, repaired = dict(fields["treated"]), dict(fields["repaired"])
    control, cured = treated["winner_losses"]
    treated |= {name: tuple(treated[name]) for name in ("cures", "conditions", "ranking")}
    treated |= {"ends": ends_from(treated["ends"]), "winner_losses": (tuple(control), tuple(cured))}
    repaired |= {name: tuple(repaired[name]) for name in ("cures", "options")}
    repaired |= {"ends": ends_from(repaired["ends"])}
    ends = {name: ends_from(fields[name]) for name in ("twins", "untouched")}
    return Case(**(fields | ends | {"treated": Treated(**treated), "repaired": Repaired(**repaired)}))


def ends_from(rows: list[dict[str, Any]]) -> tuple[Ended, ...]:
    """Ends from their values."""
    return tuple(Ended(**row) for row in rows)
