"""What is different between two runs."""

from dataclasses import dataclass
from typing import Literal

from gradiometer.schema.judged import Verdict

Direction = Literal["better", "worse", "other"]
ComparisonVerdict = Literal["better", "worse", "same", "not comparable"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between two runs.

    Attributes:
        kind: `verdict`, `finding`, `loss`, `accuracy`, `level`, `update_ratio`, `layer`, `step_time` or `setting`.
        name: What it is about: a condition, a layer, a setting; empty where the kind says it all.
        direction: `better`, `worse`, or `other` where neither can be said.
        text: The change in words, with its numbers.
        before: Its value in the first run, None where it had none.
        after: Its value in the second run, likewise.
    """

    kind: str
    name: str
    direction: Direction
    text: str
    before: float | str | None = None
    after: float | str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        verdict: Whether the second run is `better`, `worse`, the `same`, or `not comparable`.
        reason: What decided, in words.
        before: Verdict on the first run.
        after: Verdict on the second run.
        changes: What differs, most telling first.
    """

    verdict: ComparisonVerdict
    reason: str
    before: Verdict
    after: Verdict
    changes: tuple[Change, ...] = ()
