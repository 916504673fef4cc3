"""Each layer's gain along the trunk, split into what it comes from; layers add up to the whole, dB.

A gain is split without remainder: an activation's into the greatest slope that it has and what saturation took from
that, that of weights into what the critical scale gives and the excess over it, a normalising layer's is its
normalisation. Along the trunk gains add up; where paths branch and meet between two of its tensors, the gain of the
block is split among its parts by Shapley's value (`blocks`).
"""

from gradiometer.gain_budget.blocks import Member
from gradiometer.gain_budget.budget import GainBudget, GainEntry, gain_budget, inside_norms, insides_of
from gradiometer.gain_budget.parts import (
    PART_NAMES,
    GainParts,
    add_parts,
    critical_weights_db,
    is_normalising,
    split_gain,
)
from gradiometer.gain_budget.wiring import TOP, Edge, Wiring, find_wiring

__all__ = [
    "PART_NAMES",
    "TOP",
    "Edge",
    "GainBudget",
    "GainEntry",
    "GainParts",
    "Member",
    "Wiring",
    "add_parts",
    "critical_weights_db",
    "find_wiring",
    "gain_budget",
    "inside_norms",
    "insides_of",
    "is_normalising",
    "split_gain",
]
