"""Why a gradient shrinks or grows and why updates are small or large: causes with their shares, largest first.

Shares come from two ledgers and from nowhere else: that of the level (`gradiometer.gain_budget`) and that of the
update's size (`update_shares`). In either they add up to the whole. A cause that belongs to neither has none.

In the ledger of the level an activation is charged with its greatest slope, saturation with what it takes beyond what
the activation takes at its best working point (a ReLU stops half of the gradient, -3 dB, in the best of health), and
the weights with what they fail to win back of that, so that the shares still add up to the whole.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.diagnosing.update_shares import shares_of_update, telling_snapshot
from gradiometer.diagnosing.weight_motion import WeightMotion, late_median, weight_motions
from gradiometer.gain_budget import GainBudget, GainEntry, critical_weights_db
from gradiometer.schema import Cause, Layer, Run
from gradiometer.units import format_db, format_number

LEAST_SHARE_DB = 6.0
"""A share smaller than this, a factor of two, is not listed as a further cause."""

SHARE_TEXTS: dict[str, str] = {
    "saturation": "activations working where they are flat {verb} {share}",
    "normalisation": "normalising layers {verb} {share}",
    "pooling": "pooling and dropout {verb} {share}",
    "recurrence": "recurrent layers, over all their time steps, {verb} {share}",
    "skip": "paths that meet in residual sums {verb} {share}",
    "loss": "the output unit's own slope {verb} {share}",
    "depth": "attention, reshaping and other operations {verb} {share}",
}
"""Cause to how its share of the level is said."""


def shares_of(run: Run, budget: GainBudget) -> dict[str, float]:
    """Share of each cause in the level at the trunk's far end, dB; they add up to it.

    Args:
        run: The run that the budget belongs to.
        budget: The budget.

    Returns:
        Names of causes to their share, dB, negative for a loss.
    """
    layers = {layer.name: layer for layer in run.layers}
    healthy_db = sum(healthy_part_db(layers[entry.layer], entry) for entry in budget.entries)
    totals = budget.totals
    return {
        "activation_slope": totals.activation_slope_db,
        "saturation": totals.saturation_db - healthy_db,
        "weight_scale": totals.weights_db + healthy_db,
        "normalisation": totals.normalisation_db,
        "pooling": totals.pooling_db,
        "recurrence": totals.recurrence_db,
        "skip": totals.skip_db,
        "loss": totals.output_unit_db,
        "depth": totals.other_db,
    }


def healthy_part_db(layer: Layer, entry: GainEntry) -> float:
    """What the activations of one entry take beyond their greatest slope in the best of health, dB.

    In a block that is as much as weights at the critical scale win back there, and no more than saturation takes.
    """
    if math.isnan(entry.gain_db):
        return 0.0
    if entry.members:
        won_back_db = max(0.0, entry.parts.weights_critical_db + entry.parts.activation_slope_db)
        return -min(won_back_db, max(0.0, -entry.parts.saturation_db))
    return 0.0 if entry.parts.output_unit_db else healthy_saturation_db(layer)


def healthy_saturation_db(layer: Layer) -> float:
    """What an activation takes beyond its greatest slope at the critical point, dB: -3 for ReLU, 0 for tanh."""
    if layer.activation is None or not layer.greatest_slope:
        return 0.0
    critical_db = critical_weights_db(layer.activation)
    if critical_db is None:
        return 0.0
    return min(0.0, -critical_db - 20.0 * math.log10(layer.greatest_slope))


def losing_causes(run: Run, budget: GainBudget) -> list[Cause]:
    """What weakens the gradient, largest share first; `unknown` alone where nothing does."""
    return causes_from(run, budget, ((name, share) for name, share in shares_of(run, budget).items() if share < 0.0))


def winning_causes(run: Run, budget: GainBudget) -> list[Cause]:
    """What strengthens the gradient, largest share first; `unknown` alone where nothing does."""
    return causes_from(run, budget, ((name, share) for name, share in shares_of(run, budget).items() if share > 0.0))


def causes_from(run: Run, budget: GainBudget, shares: Iterable[tuple[str, float]]) -> list[Cause]:
    """Shares as causes in words, those too small to matter left out."""
    ordered = sorted(shares, key=lambda pair: -abs(pair[1]))
    found = [Cause(name, share, cause_text(name, share, run, budget)) for name, share in ordered]
    kept = [cause for cause in found if abs(cause.share_db or 0.0) >= LEAST_SHARE_DB]
    return kept or found[:1] or [Cause("unknown", None, unknown_text(run))]


def unknown_text(run: Run) -> str:
    """Why a gain budget says nothing."""
    if is_unopened(run):
        return "layers were not opened, so what weakens or strengthens the gradient can't be told"
    return "the gain budget was not measured"


def cause_text(name: str, share_db: float, run: Run, budget: GainBudget) -> str:
    """One cause in words."""
    if name == "activation_slope":
        return activation_text(share_db, run, budget)
    if name == "weight_scale":
        return weights_text(share_db, budget)
    takes = "takes" if name == "loss" else "take"
    adds = "adds" if name == "loss" else "add"
    return SHARE_TEXTS[name].format(verb=takes if share_db < 0.0 else adds, share=format_db(share_db))


def activation_text(share_db: float, run: Run, budget: GainBudget) -> str:
    """The activations' greatest slopes in words."""
    layers = {layer.name: layer for layer in run.layers}
    names = [name for entry in budget.entries for name in (entry.members or (entry.layer,))]
    weak = [layer for layer in map(layers.__getitem__, names) if (layer.greatest_slope or 1.0) < 1.0]
    if not weak:
        return f"the activations' own slopes {'take' if share_db < 0.0 else 'add'} {format_db(share_db)}"
    kind, slope = weak[0].activation, weak[0].greatest_slope
    each = f"a {kind} passes on at most {slope:.3g} of a gradient ({format_db(20.0 * math.log10(slope or 1.0))})"
    return f"{each}, and there are {len(weak)} on the way: {format_db(share_db)} in all"


def weights_text(share_db: float, budget: GainBudget) -> str:
    """The weights' scale in words."""
    names = [name for entry in budget.entries for name in (entry.members or (entry.layer,))]
    excesses = sorted(budget.excesses_db[name] for name in names if name in budget.excesses_db)
    text = f"the scale of the weights {'takes' if share_db < 0.0 else 'adds'} {format_db(share_db)}"
    if not excesses:
        return text
    middle = excesses[len(excesses) // 2]
    side = "below" if middle < 0.0 else "above"
    return f"{text}; they are {abs(middle):.1f} dB a layer {side} the critical scale"


def throwing_cause(run: Run, onset: int, least_ratio: float, what: str) -> Cause | None:
    """The step that threw weights farthest before something set in, as a cause.

    Args:
        run: The run.
        onset: Index of the full measurement at which it set in.
        least_ratio: Update ratio from which on a step counts.
        what: What it did, in words.

    Returns:
        The learning rate with its share of that update; None where it set in at once, or no step was that large.
    """
    thrown = [(greatest_until(motion, onset), rank) for rank, motion in enumerate(weight_motions(run))]
    ratio, rank = max(thrown, default=(0.0, 0), key=lambda pair: pair[0])
    if onset == 0 or ratio < least_ratio:
        return None
    motion = weight_motions(run)[rank]
    index = int(np.nanargmax(motion.ratios[: onset + 1]))
    share_db = shares_of_update(run, motion, index).learning_rate_db
    return Cause("learning_rate", share_db, f"steps that moved weights by up to {ratio:.2g} of their size {what}")


def greatest_until(motion: WeightMotion, onset: int) -> float:
    """Greatest update ratio measured up to a full measurement; 0 where none was."""
    return float(np.max(np.nan_to_num(motion.ratios[: onset + 1]), initial=0.0))


def update_causes(run: Run, motion: WeightMotion, ratio: float) -> list[Cause]:
    """What makes an update ratio smaller or larger than usual, the main cause first.

    An adaptive optimizer undoes what the gradient's size does: where the two pull apart, they count as one. The
    learning rate is the main cause where at least half of the whole is its share. Of weights that a step with gradient
    and rate left as they were the number format is a further cause.

    Args:
        run: The run.
        motion: The updates of the layer that tells.
        ratio: Its update ratio, of one full measurement or a median of several.

    Returns:
        At least one cause; further ones where their share is 6 dB and more, in the direction of the whole.
    """
    shares = shares_of_update(run, motion, telling_snapshot(motion, ratio))
    is_rounded = shares.optimizer_db == -math.inf
    if is_rounded:
        shares = replace(shares, optimizer_db=0.0)
    whole_db, rate_db = shares.ratio_db, shares.learning_rate_db
    parts = {"gradient": shares.gradient_db, "clipping": shares.clipping_db, "optimizer": shares.optimizer_db}
    if parts["gradient"] * parts["optimizer"] < 0.0:
        parts = {"gradient": parts["gradient"] + parts["optimizer"], "clipping": parts["clipping"]}
    sign = -1.0 if whole_db < 0.0 else 1.0
    ordered = sorted(((name, share) for name, share in parts.items() if sign * share > 0.0), key=lambda p: -abs(p[1]))
    is_rate = sign * rate_db >= 0.5 * sign * whole_db
    if sign * rate_db > 0.0:
        ordered.insert(0 if is_rate else len(ordered), ("learning_rate", rate_db))
    found = [Cause(name, share, update_text(name, share, motion, ratio)) for name, share in ordered]
    kept = [cause for rank, cause in enumerate(found) if rank == 0 or abs(cause.share_db or 0.0) >= LEAST_SHARE_DB]
    if is_rounded:
        kept.append(Cause("number_format", None, "the update is below the last digit of the weights and is lost there"))
    return kept or [Cause("unknown", None, "nothing that was measured makes the updates so large or small")]


def update_text(name: str, share_db: float, motion: WeightMotion, ratio: float) -> str:
    """One share of an update in words."""
    apart = f"{format_db(abs(share_db)).lstrip('+')} {'below' if share_db < 0.0 else 'above'}"
    if name == "learning_rate":
        rate = late_median(motion.learning_rates)
        text = f"the learning rate of {format_number(rate)} is {apart} what is usual for the optimizer"
        if not (math.isfinite(share_db) and ratio > 0.0):
            return text
        at_usual = format_number(ratio * 10.0 ** (-share_db / 20.0))
        return f"{text}; at the usual one a step would change the weights by {at_usual} of their size"
    if name == "gradient":
        return f"the gradient, relative to the weights, is {apart} the usual"
    if name == "clipping":
        return f"clipping takes {format_db(share_db)} from the gradient"
    return f"what the optimizer makes of the gradient (momentum, decay) is {apart} plain descent"
