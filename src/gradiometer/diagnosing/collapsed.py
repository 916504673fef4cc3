"""Examples become alike on their way through the network, though the norms are fine.

What it finds:
    A network of many layers in which the examples' outputs, or their gradients on the way back, come to lie on one
    line: their effective rank falls towards 1 while it was well above 1 where they came in, and the loss is no better
    than a constant guess. Networks that learn are left in peace: a trained classifier's examples of one class
    coincide, and units of a sigmoid all lie near one half.

Why it matters:
    What a layer can no longer tell apart, no layer behind it can. A balanced gradient norm does not show it: a tanh
    network of a hundred layers under Glorot's weights keeps its norms, and yet learns nothing.

What cures it:
    Orthogonal weights at the critical scale (dynamical isometry), normalising layers, residual paths, fewer layers.

Source:
    Schoenholz, Gilmer, Ganguli, Sohl-Dickstein, "Deep information propagation", ICLR 2017; Pennington, Schoenholz,
    Ganguli, "Resurrecting the sigmoid", NIPS 2017 (isometry); Papyan, Han, Donoho 2020 (neural collapse, healthy).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from gradiometer.diagnosing.learning import LossMotion, judge_loss, severity_by_gain
from gradiometer.diagnosing.naming import spoken
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, FloatArray, Run, Severity


@dataclass(frozen=True, slots=True)
class Collapse:
    """Where examples become alike.

    Attributes:
        layers: The layers behind which they are, in the direction in which it goes; the frontier first.
        came: Effective rank where they came in.
        left: The lowest effective rank that is left.
        direction: `forward` or `backward`.
        step: Step of the measurement.
    """

    layers: tuple[str, ...]
    came: float
    left: float
    direction: str
    step: int


def find_collapsed(
    run: Run,
    *,
    least_depth: int = 5,
    most_left_forward: float = 0.01,
    most_left_backward: float = 0.1,
    least_rank: float = 1.5,
    least_units: int = 4,
    least_gain_share: float = 0.5,
    little_gain_share: float = 0.25,
    nothing_left: float = 1e-4,
    least_steps: int = 300,
    least_examples: int = 8,
) -> list[Finding]:
    """Find examples that become alike with depth.

    Args:
        run: The run.
        least_depth: Layers with weights below which nothing is lost with depth: two or three sigmoid layers give
            outputs that are alike from the start, and learn.
        most_left_forward: What may be left of the rank above 1 on the way forward: healthy rectifiers keep a fifth.
        most_left_backward: The same for gradients; healthy networks keep a third, a hundred layers of tanh under
            Glorot's weights a twenty-fifth.
        least_rank: Effective rank that there has to be where they come in; a batch of one kind has none to lose.
        least_units: Units below which a layer's outputs are alike by necessity.
        least_gain_share: Gain over a constant guess below which a loss has not come far: half of what there is to gain.
        little_gain_share: The same below which it has come down but little.
        nothing_left: What may be left of the rank where the gain is between the two, or forward ranks were measured
            early alone: chains of rectifiers under PyTorch's own drawing begin with a hundredth left and learn, slowly.
        least_steps: Steps before which that says nothing.
        least_examples: Examples in a batch below which there is no rank to lose: a norm over two makes them opposites.

    Returns:
        One finding or none; nothing where the network learns or nobody can tell yet.
    """
    loss = judge_loss(run)
    severity = severity_by_gain(loss, least_gain_share, least_steps)
    if severity is None or severity == "info" or loss.state == "diverging":
        return []
    if sum(1 for layer in run.layers if layer.fan_in is not None) < least_depth:
        return []
    if int(run.facts.get("batch_size") or least_examples) < least_examples:
        return []
    limits = Limits(most_left_forward, most_left_backward, least_rank, least_units)
    measured = [int(index) for index in run.snapshots_with("output_rank")] if "output_rank" in run.layer_columns else []
    if loss.is_learning and measured:
        # A network that learns pulls its examples apart again: the newest measurement tells.
        measured = measured[-1:]
        is_little = severity_by_gain(loss, little_gain_share, least_steps) is not None
        limits = limits_of_learning(
            limits, nothing_left, is_little=is_little, is_late=2 * measured[0] >= run.snapshot_count
        )
    found = next((found for index in measured if (found := collapses_at(run, index, limits))), [])
    if not found:
        return []
    return [describe(min(found, key=lambda one: (one.left - 1.0) / (one.came - 1.0)), loss, severity)]


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of `find_collapsed` for ranks, under the same names."""

    most_left_forward: float
    most_left_backward: float
    least_rank: float
    least_units: int


def limits_of_learning(limits: Limits, nothing_left: float, *, is_little: bool, is_late: bool) -> Limits:
    """The thresholds for a network that learns.

    Args:
        limits: Those for one that does not.
        nothing_left: What may be left of ranks where others do not count.
        is_little: It has learned but little.
        is_late: Ranks were measured in the later half of the run.
    """
    forward = limits.most_left_forward if is_little and is_late else nothing_left
    backward = limits.most_left_backward if is_little else nothing_left
    return replace(limits, most_left_forward=forward, most_left_backward=backward)


def collapses_at(run: Run, index: int, limits: Limits) -> list[Collapse]:
    """What is lost on the way forward and on the way back in one full measurement."""
    last = max((layer.position for layer in run.layers if layer.fan_in is not None), default=0)
    trunk = [c for c in reversed(run.trunk(index)) if (run.layers[c].unit_count or 0) >= limits.least_units]
    # The answers themselves are alike at first in the best of health.
    hidden = [column for column in trunk if run.layers[column].position < last]
    forward = collapse_along(run, index, hidden, "output_rank", limits.most_left_forward, limits.least_rank)
    backward = collapse_along(run, index, trunk[::-1], "gradient_rank", limits.most_left_backward, limits.least_rank)
    return [one for one in (forward, backward) if one is not None]


def collapse_along(
    run: Run, index: int, columns: list[int], quantity: str, most_left: float, least_rank: float
) -> Collapse | None:
    """What is lost along some layers in the direction in which they stand; None where enough is left at the end.

    Args:
        run: The run.
        index: The full measurement.
        columns: Layers of the trunk, in the direction of the way.
        quantity: `output_rank` or `gradient_rank`.
        most_left: Share of the rank above 1 that may be left.
        least_rank: Rank that there has to be at the start.
    """
    ranks: FloatArray = run.layer_columns[quantity][index, columns]
    known = [(column, float(rank)) for column, rank in zip(columns, ranks, strict=True) if not math.isnan(rank)]
    if len(known) < 3 or known[0][1] < least_rank:
        return None
    came = known[0][1]
    bound = 1.0 + most_left * (came - 1.0)
    lost = np.array([rank <= bound for _, rank in known])
    if not lost.any() or not lost[len(lost) // 2 :].any():
        return None
    first = int(np.flatnonzero(lost)[0])
    names = tuple(run.layers[column].name for column, _ in known[first:])
    left = min(rank for _, rank in known)
    direction = "forward" if quantity == "output_rank" else "backward"
    return Collapse(names, came, left, direction, int(run.snapshot_steps[index]))


def describe(found: Collapse, loss: LossMotion, severity: Severity) -> Finding:
    """The finding in words."""
    what = "outputs" if found.direction == "forward" else "gradients"
    way = "forward" if found.direction == "forward" else "back"
    text = f"the effective rank of their {what} falls from {found.came:.3g} to {found.left:.3g} on the way {way}"
    cause = Cause("depth", None, "each layer brings examples a little closer together, and there are many of them")
    return Finding(
        condition="collapsed",
        severity=severity,
        layers=found.layers,
        cause=cause,
        evidence=(
            Evidence("effective rank", found.left, "", text),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("collapsed", cause.name),
        summary=(
            f"Examples become alike from {spoken(found.layers[0])} on: {text}, so the layers there can't tell them "
            f"apart; {loss.text}. The cause: {cause.text}."
        ),
        prognosis="The network answers every input alike; more steps of the same do not part what has become one.",
        step=found.step,
    )
