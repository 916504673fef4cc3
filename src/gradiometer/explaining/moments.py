"""One thing that happened in a run, as the courses of loss, gradients and units tell it."""

from dataclasses import dataclass

KINDS: tuple[str, ...] = (
    "loss",
    "accuracy",
    "learning_rate",
    "gradient",
    "units",
    "non_finite",
    "event",
    "skipped",
    "finding",
    "end",
)
"""Kinds of moments; of one step they are told in this order."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened.

    Attributes:
        step: Step at which it happened, began, or was first seen.
        kind: One of `KINDS`.
        text: What happened, in a sentence or two.
    """

    step: int
    kind: str
    text: str

    @property
    def rank(self) -> int:
        """Place among the moments of the same step."""
        return KINDS.index(self.kind)
