"""Layers whose weights were drawn far from the critical scale, as the first full measurement shows them.

The critical scale (He et al. 2015; Glorot and Bengio 2010) is the one at which a signal keeps its size from layer to
layer. PyTorch's own drawing lies 8 dB below He's, orthogonal weights with their recommended gain within 3 dB; no
recommended way of drawing lies 12 dB above it, and below -20 dB only the last layers of residual branches do, on
purpose (Zhang, Dauphin, Ma 2019). A layer whose output is normalised right away has no scale of its own.
"""

import math
from dataclasses import dataclass

from gradiometer.diagnosing.naming import spoken
from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Cause, Layer, Run
from gradiometer.units import format_db


@dataclass(frozen=True, slots=True)
class OffScale:
    """One layer that is far off.

    Attributes:
        layer: Its name.
        excess_db: How far its weights are above the critical scale, dB; negative for below.
        activation: The activation beside it.
    """

    layer: str
    excess_db: float
    activation: str


def drawn_large(run: Run, *, least_db: float = 12.0) -> list[OffScale]:
    """Layers whose weights were drawn too large, the worst first; of equals the one nearest the input.

    Args:
        run: The run.
        least_db: Excess from which on they are: 12 dB is a factor of four, which three layers make sixty-four.
    """
    large = {name: excess for name, excess in gain_budget(run, 0).excesses_db.items() if excess >= least_db}
    return sorted(chosen(run, large), key=lambda one: -one.excess_db)


def drawn_small(run: Run, *, most_db: float = -20.0) -> list[OffScale]:
    """Hidden layers on the trunk whose weights were drawn too small, the worst first.

    Branches beside a path may be small, and so may the last layer: its answers begin near zero then. Weights of exactly
    zero are no matter of scale.

    Args:
        run: The run.
        most_db: Excess down to which they are not: -20 dB is a tenth of the signal. The trunk as a whole has to be as
            far below; what another layer makes up for is the business of other conditions.
    """
    entries = [entry for entry in gain_budget(run, 0).entries if entry.weights_excess_db is not None]
    known = {entry.layer: float(entry.weights_excess_db or 0.0) for entry in entries[1:] if not entry.members}
    if sum(known.values()) > most_db:
        return []
    small = {name: excess for name, excess in known.items() if -math.inf < excess <= most_db}
    return sorted(chosen(run, small), key=lambda one: one.excess_db)


def chosen(run: Run, excesses: dict[str, float]) -> list[OffScale]:
    """Those of some layers whose output is not normalised right away, in order of execution."""
    if not excesses:
        return []
    beside = gain_budget(run, 0).beside
    normalised = normalised_layers(run)
    return [
        OffScale(layer.name, excesses[layer.name], beside.get(layer.name) or "")
        for layer in sorted(run.layers, key=lambda layer: layer.position)
        if layer.name in excesses and layer.name not in normalised
    ]


def normalised_layers(run: Run) -> frozenset[str]:
    """Names of the layers right behind which a normalising layer was executed."""
    leaves: list[Layer] = sorted((one for one in run.layers if one.role != "block"), key=lambda one: one.position)
    pairs = zip(leaves, leaves[1:], strict=False)
    return frozenset(layer.name for layer, following in pairs if "norm" in following.kind.lower())


def cause_of_scale(found: list[OffScale]) -> Cause:
    """How weights were drawn, as a cause; its share is the excess of all layers together."""
    worst, total_db = found[0], sum(one.excess_db for one in found)
    side = "above" if worst.excess_db > 0.0 else "below"
    distance = format_db(abs(worst.excess_db)).lstrip("+")
    beside = f" for {worst.activation}" if worst.activation else ""
    text = f"the weights of {spoken(worst.layer)} were drawn {distance} {side} the critical scale{beside}"
    if len(found) > 1:
        text += f", and {len(found)} layers together are {format_db(abs(total_db)).lstrip('+')} {side}"
    return Cause("weight_scale", total_db, text)
