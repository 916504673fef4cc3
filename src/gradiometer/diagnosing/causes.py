"""Why a gradient shrinks or grows: the gain budget's parts as causes with their shares, largest first.

An activation is charged with its greatest slope, saturation with what it takes beyond what the activation takes at
its best working point (a ReLU stops half of the gradient, -3 dB, in the best of health), and the weights with what
they fail to win back of that, so that the shares still add up to the whole.
"""

import math
from collections.abc import Iterable

from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.gain_budget import GainBudget, GainEntry, critical_weights_db
from gradiometer.schema import Cause, Layer, Run
from gradiometer.units import format_db

LEAST_SHARE_DB = 6.0
"""A share smaller than this, a factor of two, is not listed as a further cause."""


def shares_of(run: Run, budget: GainBudget) -> dict[str, float]:
    """Share of each cause in the level at the trunk's far end, dB; they add up to it.

    Args:
        run: The run that the budget belongs to.
        budget: The budget.

    Returns:
        Names of causes to their share, dB, negative for a loss.
    """
    layers = {layer.name: layer for layer in run.layers}
    healthy_db = sum(healthy_saturation_db(layers[entry.layer]) for entry in budget.entries if is_measured(entry))
    totals = budget.totals
    return {
        "activation_slope": totals.activation_slope_db,
        "saturation": totals.saturation_db - healthy_db,
        "weight_scale": totals.weights_db + healthy_db,
        "normalisation": totals.normalisation_db,
        "depth": totals.other_db,
    }


def is_measured(entry: GainEntry) -> bool:
    """Whether a layer's gain was measured."""
    return not math.isnan(entry.gain_db)


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
    if name == "saturation":
        return f"activations working where they are flat {verb(share_db)} {format_db(share_db)}"
    if name == "weight_scale":
        return weights_text(share_db, budget)
    if name == "normalisation":
        return f"normalising layers {verb(share_db)} {format_db(share_db)}"
    return f"pooling, residual sums and other operations {verb(share_db)} {format_db(share_db)}"


def verb(share_db: float) -> str:
    """What a share does to the gradient."""
    return "take" if share_db < 0.0 else "add"


def activation_text(share_db: float, run: Run, budget: GainBudget) -> str:
    """The activations' greatest slopes in words."""
    layers = {layer.name: layer for layer in run.layers}
    steepest = [layers[entry.layer] for entry in budget.entries if layers[entry.layer].activation is not None]
    weak = [layer for layer in steepest if layer.greatest_slope is not None and layer.greatest_slope < 1.0]
    if not weak:
        return f"the activations' own slopes {verb(share_db)} {format_db(share_db)}"
    kind, slope = weak[0].activation, weak[0].greatest_slope
    each = f"a {kind} passes on at most {slope:.3g} of a gradient ({format_db(20.0 * math.log10(slope or 1.0))})"
    return f"{each}, and there are {len(weak)} on the way: {format_db(share_db)} in all"


def weights_text(share_db: float, budget: GainBudget) -> str:
    """The weights' scale in words."""
    excesses = sorted(entry.weights_excess_db for entry in budget.entries if entry.weights_excess_db is not None)
    text = f"the scale of the weights {'takes' if share_db < 0.0 else 'adds'} {format_db(share_db)}"
    if not excesses:
        return text
    middle = excesses[len(excesses) // 2]
    side = "below" if middle < 0.0 else "above"
    return f"{text}; they are {abs(middle):.1f} dB a layer {side} the critical scale"
