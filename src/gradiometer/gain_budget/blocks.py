"""The gain of a block in which paths branch and meet, split into its parts by Shapley's value.

Along one path gains add up; over several, squares of gradients do, so that what a part is worth depends on the others:
weights on a branch matter little where the skip beside it carries the gradient. The players are the kinds of parts. A
part that does not take part is neutral, its gains are 0 dB on every path; the worth of a coalition is the gain that
the block would then have, relative to the block with all parts neutral. What the paths win or lose by meeting, with
all that near-orthogonality leaves out, is the skip's part: it makes the shares add up to the measured gain.

Source:
    Shapley, "A value for n-person games", 1953; near-orthogonality of the gradients of several paths: Veit, Wilber,
    Belongie, "Residual networks behave like ensembles of relatively shallow networks", NeurIPS 2016.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradiometer.gain_budget.parts import PART_NAMES, GainParts
from gradiometer.gain_budget.shapley import shapley_shares
from gradiometer.gain_budget.wiring import TOP, Edge, Norms, Wiring, find_wiring
from gradiometer.schema import FloatArray

SKIP = PART_NAMES.index("skip_db")
OTHER = PART_NAMES.index("other_db")


@dataclass(frozen=True, slots=True)
class Member:
    """A layer inside a block.

    Attributes:
        norms: What was measured of it.
        parts: Its own gain by what it comes from.
        name: Its name.
    """

    norms: Norms
    parts: GainParts
    name: str = ""


def split_block(gain_db: float, top: float, members: Sequence[Member]) -> GainParts:
    """Split a block's gain by what it comes from.

    Args:
        gain_db: Its measured gain, dB.
        top: Norm of the gradient at its output.
        members: The layers inside it, in the order of execution; those to whose output no gradient came left out.

    Returns:
        The parts; they add up to the gain. All of it is `other` where the block has no layer that was measured.
    """
    if math.isnan(gain_db):
        return GainParts()
    if not members:
        return GainParts(other_db=gain_db)
    if gain_db == -math.inf or not top > 0.0:
        return stopped_block(gain_db, members)
    bottom = top * 10.0 ** (gain_db / 20.0)
    wiring = find_wiring([member.norms for member in members], top, bottom)
    gains = np.array([[getattr(member.parts, name) for name in PART_NAMES] for member in members])
    takes_part = (gains != 0.0).any(axis=0)
    takes_part[OTHER] |= any(edge.is_own_gain for edges in wiring.edges for edge in edges)
    players = np.flatnonzero(takes_part)
    powers = powers_of_coalitions(members, wiring, gains, players, top)
    if not (np.all(np.isfinite(powers)) and np.all(powers > 0.0)):
        return GainParts(other_db=gain_db)
    worths = 10.0 * np.log10(powers / powers[0])
    shares = np.zeros(len(PART_NAMES))
    shares[players] = shapley_shares(worths)
    # Last, so that the sum is that of the measurement to the last digit that a float has.
    shares[SKIP] += gain_db - float(shares.sum())
    return GainParts(*shares.tolist())


def stopped_block(gain_db: float, members: Sequence[Member]) -> GainParts:
    """The parts of a block that lets nothing through: all of it goes to the first part that stops it."""
    for member in reversed(members):
        for name in PART_NAMES:
            if getattr(member.parts, name) == -math.inf:
                return GainParts(**{name: gain_db})
    return GainParts(other_db=gain_db)


def powers_of_coalitions(
    members: Sequence[Member], wiring: Wiring, gains: FloatArray, players: np.ndarray, top: float
) -> FloatArray:
    """Squared gain that the block would have with every set of parts.

    Args:
        members: The layers inside it.
        wiring: How gradients run between them.
        gains: Gain of each layer by part, dB [layer part].
        players: Columns of the parts that can take part.
        top: Norm of the gradient at its output.

    Returns:
        One squared gain per coalition [2^players], at index 0 that with all parts neutral.
    """
    coalitions = (np.arange(2 ** len(players))[:, None] >> np.arange(len(players))) & 1
    own = ratios_of(coalitions, gains[:, players])
    has_other: np.ndarray = np.asarray(coalitions[:, np.flatnonzero(players == OTHER)].any(axis=1))
    powers = np.ones((len(members), len(coalitions)))

    def coming(edges: Sequence[Edge]) -> FloatArray:
        total = np.zeros(len(coalitions))
        for edge in edges:
            total += power_along(edge, powers, own, has_other)
        return total

    for index in range(len(members) - 1, -1, -1):
        found = coming(wiring.edges[index])
        # What gradients that are not quite orthogonal make of the sum is there in every coalition alike.
        measured = (members[index].norms.output / top) ** 2
        powers[index] = found * (measured / found[-1]) if found[-1] > 0.0 else measured
    return coming(wiring.bottom)


def ratios_of(coalitions: np.ndarray, gains: FloatArray) -> FloatArray:
    """Squared gain of each layer in each coalition [layer coalition]; what does not take part is neutral."""
    logarithms = np.where(coalitions[None, :, :] == 1, gains[:, None, :], 0.0).sum(axis=2)
    return np.asarray(10.0 ** (logarithms / 10.0))


def power_along(edge: Edge, powers: FloatArray, own: FloatArray, has_other: np.ndarray) -> FloatArray:
    """Squared gradient that comes along one way, in each coalition."""
    above = np.ones(powers.shape[1]) if edge.source == TOP else powers[edge.source]
    if edge.gain_db is None:
        return above if edge.source == TOP or not edge.is_through else np.asarray(above * own[edge.source])
    ratio = 10.0 ** (edge.gain_db / 10.0)
    return np.asarray(above * np.where(has_other, ratio, 1.0)) if edge.is_own_gain else above * ratio
