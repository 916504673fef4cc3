"""Units of a layer are, and stay, identical.

What it finds:
    Hidden layers half of whose units and more have the same weights as another unit and keep them while they train:
    weights that began at zero or at one constant. A layer that begins so and is torn apart by its gradient (a last
    layer at zero, as many transformers have it) is fine, and so is one that dropout or different outgoing weights
    tell apart.

Why it matters:
    Units with equal weights give equal answers and get equal gradients, so they stay equal for ever: a layer of a
    thousand does what a single unit does. Weights of exactly zero also hand no gradient on.

What cures it:
    Weights drawn at random: PyTorch's own, He's for rectifiers, Glorot's for tanh and sigmoid.

Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 8.4 ("break symmetry"). The share is ours.
"""

import numpy as np

from gradiometer.diagnosing.learned_well import listed, severity_of_fault, success_text
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import largest_weights, layer_of
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run
from gradiometer.units import format_share


def find_symmetric(run: Run, *, least_share: float = 0.5, least_units: int = 2) -> list[Finding]:
    """Find layers whose units are identical and stay so.

    Args:
        run: The run.
        least_share: Share of a layer's units with the weights of another from which on it counts. Drawn at random
            there is none; a share of half leaves room for units that were cut off by pruning.
        least_units: Units that a layer must have: one alone has no twin.

    Returns:
        One finding or none; nothing for the last layer, and while it is not known what the first steps did to units
        that began alike.
    """
    weights = largest_weights(run) if "learning_rate" in run.parameter_columns else []
    if "twin_share" not in run.parameter_columns:
        return []
    shares = {column: lasting_share(run, column) for column in hidden_weights(run, weights, least_units)}
    found = [column for column, share in shares.items() if share is not None and share >= least_share]
    if not found:
        return []
    # The frontier is the one nearest the loss.
    ordered = sorted(found, reverse=True)
    share = shares[ordered[0]] or 0.0
    return [describe(run, ordered, share, judge_loss(run))]


def hidden_weights(run: Run, columns: list[int], least_units: int) -> list[int]:
    """Weights whose rows are hidden units: neither the last layer's nor an embedding's."""
    kinds = {layer.name: layer.kind for layer in run.layers}
    positions = {layer.name: layer.position for layer in run.layers}
    names = [layer_of(run, run.parameters[column]) for column in columns]
    if not names:
        return []
    last = max(names, key=lambda name: positions.get(name, -1)) if positions else names[-1]
    return [
        column
        for column, name in zip(columns, names, strict=True)
        if name != last
        and not kinds.get(name, "").startswith("Embedding")
        and run.parameters[column].shape[0] >= least_units
    ]


def lasting_share(run: Run, column: int) -> float | None:
    """Share of units with a twin after at least one step; None where it is not known.

    Weights that are exactly zero throughout are twins without being compared.
    """
    sizes = run.parameter_columns["weight_rms"][:, column]
    later = sizes[1:][~np.isnan(sizes[1:])]
    if len(later) and bool(np.all(later == 0.0)) and sizes[0] == 0.0:
        return 1.0
    shares = run.parameter_columns["twin_share"][:, column]
    known = [index for index in np.flatnonzero(~np.isnan(shares)) if run.snapshot_steps[index] > 0]
    return float(shares[known[-1]]) if known else None


def describe(run: Run, ordered: list[int], share: float, loss: LossMotion) -> Finding:
    """The finding in words."""
    names = [layer_of(run, run.parameters[column]) for column in ordered]
    sizes = run.parameter_columns["weight_rms"][:, ordered]
    is_zero = bool(np.nan_to_num(sizes).max(initial=0.0) == 0.0)
    began = "all weights are exactly zero" if is_zero else "its weights began as one constant"
    severity = severity_of_fault(run, loss)
    twins = f"{format_share(share)} of the units of {spoken(names[0])} have the same weights as another"
    layers = "1 hidden layer" if len(names) == 1 else f"{len(names)} hidden layers"
    return Finding(
        condition="symmetric",
        severity="warning" if severity == "info" and is_zero else severity,
        layers=tuple(names),
        cause=Cause("symmetry", None, f"{began}, and equal units get equal gradients"),
        evidence=(
            Evidence("units with a twin", share, "", twins),
            Evidence("layers", len(names), "", f"so in {layers}: {listed(names)}"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("symmetric", "symmetry"),
        summary=(
            f"{twins} and keep them: {began}, so the layer is worth a few units at most; "
            f"{success_text(run, loss)}. Draw the weights at random "
            "(nn.init.kaiming_uniform_, or leave PyTorch's own) instead of zeros or a constant."
        ),
        prognosis="Equal units stay equal for ever.",
        step=int(run.snapshot_steps[min(1, run.snapshot_count - 1)]),
    )
