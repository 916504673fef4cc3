"""What takes most of the signal, and of the gradient, from the first step on: a softmax between layers, tiny weights.

The weights behind it may move at a usual pace (under Adam they do), so update ratios do not show it; what a layer hands
on does. A softmax over n units gives numbers of about 1/n that differ by little, and its slope is at most 1/4 and about
1/n; weights a tenth of the critical scale hand on a tenth, in every layer.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from gradiometer.diagnosing.drawn_scale import OffScale, cause_of_scale, drawn_small
from gradiometer.diagnosing.learned_well import constant_loss
from gradiometer.diagnosing.learning import LossMotion
from gradiometer.diagnosing.loss_windows import finite_losses
from gradiometer.diagnosing.naming import capital, spoken
from gradiometer.diagnosing.weight_motion import late_median
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Layer, Run, Severity
from gradiometer.units import format_db, format_share


def find_weakened(run: Run, loss: LossMotion, settled_share: float, *, least_wait: float = 0.5) -> list[Finding]:
    """Find what weakens signal and gradient by how the network is built or was drawn, where the loss suffers for it.

    Args:
        run: The run.
        loss: What its loss does.
        settled_share: Share of its start, or of a constant guess' loss, to which a loss has come far down.
        least_wait: Share of its steps that a loss has spent at that of a constant guess, from which on weights that are
            too small have cost a large part of the run.

    Returns:
        One finding or none.
    """
    squeezing = softmax_between(run)
    if squeezing:
        severity = severity_of(loss, is_far=not loss.is_settled(settled_share))
        return [] if severity is None else [describe_softmax(run, squeezing, severity, loss)]
    found = drawn_small(run)
    if not found:
        return []
    wait = waiting_share(run)
    severity = severity_of(loss, is_far=not loss.is_settled(settled_share) or wait >= least_wait)
    return [] if severity is None else [describe_small(found, severity, loss, wait)]


def severity_of(loss: LossMotion, *, is_far: bool) -> Severity | None:
    """How bad it is: `critical` for a loss that goes nowhere, `warning` where it is far from done; None otherwise."""
    if loss.is_harmed:
        return "critical"
    return "warning" if is_far and loss.step_count >= 100 else None


def softmax_between(run: Run) -> list[Layer]:
    """Softmax modules that stand between two layers with weights and hand all their units to the second.

    One over the keys of an attention is given products, and one over experts is followed by a layer of another size.
    """
    leaves = [layer for layer in sorted(run.layers, key=lambda one: one.position) if layer.role != "block"]
    kept = [layer for layer in leaves if not layer.kind.startswith(("Dropout", "Identity", "Flatten"))]
    found = []
    for (before, layer), (_, behind) in pairwise(pairwise(kept)):
        is_between = before.fan_in is not None and behind.fan_in == layer.unit_count == before.unit_count
        is_softmax = layer.kind.lower() in {"softmax", "logsoftmax", "log_softmax"}
        if is_softmax and is_between and hands_on(run, before, layer):
            found.append(layer)
    return found


def hands_on(run: Run, before: Layer, layer: Layer) -> bool:
    """Whether a layer is given what another hands on, and nothing made of it: the gradients there are the same."""
    given = run.layer_columns["input_gradient_norm"][:, run.layer_index(layer.name)]
    handed = run.layer_columns["output_gradient_norm"][:, run.layer_index(before.name)]
    return bool(np.isclose(given, handed, rtol=1e-3, atol=0.0).any())


def waiting_share(run: Run, *, left: float = 0.9, parts: int = 20) -> float:
    """Share of its steps after which a loss first came below nine tenths of that of a constant guess.

    Args:
        run: The run.
        left: Share of that loss below which it has left it.
        parts: Stretches whose means are compared.

    Returns:
        1 where it never did; 0 where what a constant guess gives is not known.
    """
    known = constant_loss(run)
    if run.loss is None or not known > 0.0:
        return 0.0
    steps, values = finite_losses(run.loss)
    if len(steps) < parts:
        return 0.0
    edges = np.linspace(steps[0], steps[-1] + 1.0, parts + 1)
    ranks = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, parts - 1)
    sums, counts = np.bincount(ranks, values, parts), np.bincount(ranks, minlength=parts)
    below = np.flatnonzero((counts > 0) & (sums < left * known * counts))
    return float(below[0] / parts) if len(below) else 1.0


def describe_softmax(run: Run, squeezing: Sequence[Layer], severity: Severity, loss: LossMotion) -> Finding:
    """The finding in words, for a softmax between layers."""
    frontier = squeezing[-1]
    gain_db = late_median(run.layer_columns["gain_db"][:, run.layer_index(frontier.name)])
    taken = "" if np.isnan(gain_db) else f" and takes {format_db(gain_db)} of the gradient"
    text = f"the softmax at {spoken(frontier.name)}, between two layers, makes {frontier.unit_count} units add up to 1"
    cause = Cause("activation_slope", None if np.isnan(gain_db) else gain_db, f"{text}{taken}")
    return Finding(
        condition="vanishing",
        severity=severity,
        layers=tuple(layer.name for layer in reversed(squeezing)),
        cause=cause,
        evidence=(
            Evidence("softmax layers", len(squeezing), "", cause.text),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("vanishing", cause.name),
        summary=f"{capital(cause.text)}; {loss.text}. Put a ReLU there; a softmax belongs behind the last layer alone.",
        prognosis="What a softmax hands on hardly differs from example to example, and layers before it learn slowly.",
        step=int(run.snapshot_steps[0]) if run.snapshot_count else 0,
    )


def describe_small(found: Sequence[OffScale], severity: Severity, loss: LossMotion, wait: float) -> Finding:
    """The finding in words, for weights drawn too small."""
    cause = cause_of_scale(list(found))
    return Finding(
        condition="vanishing",
        severity=severity,
        layers=tuple(one.layer for one in found),
        cause=cause,
        evidence=(
            Evidence("weights above the critical scale", found[0].excess_db, "dB", cause.text),
            Evidence("waited", wait, "", f"at a constant guess for {format_share(wait)} of the steps"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("vanishing", cause.name),
        summary=f"The signal fades on its way: {cause.text}, and the gradient on its way back by as much; {loss.text}.",
        prognosis="The first steps, or all of them, go into making the weights large enough to hand anything on.",
        step=0,
    )
