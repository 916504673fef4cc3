"""Several cures as one."""

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from gradiometer.curing.cure import Cure, Moment, Need, Patient, Placement, Yardstick
from gradiometer.schema import Finding

WEIGHTS_LAST = (
    "redraw_weights",
    "redraw_recurrent_weights",
    "open_forget_gates",
    "break_symmetry",
    "scale_to_unit_variance",
    "pretrain_layers",
)
"""Cures that give weights their values, in the order in which one builds on the other: they go by the activations and
layers that the network has when they come, so all that changes these goes before."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Cures applied one after the other, written `a+b`.

    Whoever applies a chain in a running script should apply each of `parts_of` at its own moment.

    Attributes:
        parts: The cures, in order.
    """

    name: ClassVar[str] = "chain"

    parts: tuple[Cure, ...]

    @property
    def moment(self) -> Moment:
        """The earliest of its parts' moments."""
        return "construction" if any(part.moment == "construction" for part in self.parts) else "first_forward"

    @property
    def placement(self) -> Placement:
        """Before the optimizer where that is right for all parts, else after it."""
        is_before = all(part.placement == "before_optimizer" for part in self.parts)
        return "before_optimizer" if is_before else "after_optimizer"

    @property
    def needs(self) -> frozenset[Need]:
        """What any of its parts goes by."""
        return frozenset[Need]().union(*(part.needs for part in self.parts))

    @property
    def yardstick(self) -> Yardstick:
        """The original loss where a part exchanges the loss."""
        return "original_loss" if any(part.yardstick == "original_loss" for part in self.parts) else "loss"

    @property
    def label(self) -> str:
        """The labels of its parts, joined with `+`."""
        return "+".join(part.label for part in self.parts)

    def fits(self, finding: Finding) -> bool:
        """Whether every part fits."""
        return all(part.fits(finding) for part in self.parts)

    def apply(self, patient: Patient) -> str:
        """Apply the parts in order; where a later part refuses, what the earlier ones changed stays changed."""
        return "; ".join(part.apply(patient) for part in self.parts)

    def snippet(self, patient: Patient) -> str:
        """The parts' snippets in order, each written for the patient as the parts before leave it (tried on a copy)."""
        trial = copy.deepcopy(patient) if len(self.parts) > 1 else patient
        written = []
        for index, part in enumerate(self.parts):
            written.append(part.snippet(trial))
            if index < len(self.parts) - 1:
                part.apply(trial)
        return "\n\n".join(written)


def in_order(parts: Iterable[Cure]) -> tuple[Cure, ...]:
    """The parts of a chain in the order in which they are applied, however they were written."""
    ranks = {name: rank for rank, name in enumerate(WEIGHTS_LAST)}
    return tuple(sorted(parts, key=lambda part: ranks.get(part.name, -1)))


def parts_of(cure: Cure | Chain) -> tuple[Cure, ...]:
    """The single cures that a cure consists of."""
    return cure.parts if isinstance(cure, Chain) else (cure,)
