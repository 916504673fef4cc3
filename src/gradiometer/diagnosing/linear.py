"""The network is linear: its hidden activations do nothing.

What it finds:
    Networks of two weight layers and more in which nothing that is not linear stands between them: no activation at
    all, a leaky slope of 1, or rectifiers whose units all stay on one side of their kink for every example.

Why it matters:
    Linear layers in a row are one linear layer, however many there are. It can't bend a boundary or a curve, and what
    depth is there for is paid for and not had.

What cures it:
    An activation after every hidden layer; for units that all stay on one side new weights and a bias near zero,
    or normalised inputs.

Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 6.1 (the XOR example); NeuraLint's rule of the
    missing activation (Nikanjam et al. 2021). The shares are ours.
"""

import numpy as np

from gradiometer.diagnosing.learned_well import listed, severity_of_fault, success_text
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import late_median
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Layer, Run
from gradiometer.units import format_share

STRAIGHT: frozenset[str] = frozenset(
    {
        "AccumulateGrad",
        "AdaptiveAvgPool2D",
        "Add",
        "Addbmm",
        "Addmm",
        "Alias",
        "AsStrided",
        "AvgPool2D",
        "Bmm",
        "Cat",
        "Clone",
        "Convolution",
        "Copy",
        "Div",
        "Expand",
        "Index",
        "IndexSelect",
        "Mean",
        "Mm",
        "Mv",
        "NativeBatchNorm",
        "NativeDropout",
        "Neg",
        "Permute",
        "ReshapeAlias",
        "Select",
        "Slice",
        "Split",
        "Squeeze",
        "Stack",
        "Sub",
        "Sum",
        "T",
        "ToCopy",
        "Transpose",
        "Unbind",
        "UnsafeView",
        "Unsqueeze",
        "View",
    }
)
"""Autograd nodes that are linear in what they are given, or shape it; whatever is not here may bend."""

RESCALING: frozenset[str] = frozenset({"NativeLayerNorm", "NativeGroupNorm", "FusedRmsNorm"})
"""Autograd nodes that divide an example by its own size: what they bend is too little to do without an activation."""

PIECEWISE: tuple[str, ...] = ("relu", "leaky_relu", "prelu", "rrelu", "relu6", "hardtanh", "threshold", "identity")
"""Activations made of straight pieces, of which it is measured which piece a unit works on."""


def find_linear(run: Run, *, least_share: float = 0.95, least_examples: int = 128) -> list[Finding]:
    """Find a network that is linear from its input to its last layer.

    Args:
        run: The run.
        least_share: Share of every activation's units that work on one straight piece alone; one unit in twenty may
            bend without bending the network much.
        least_examples: Examples on which they have to: one that bends for 5 % of examples stays straight on 128 of
            them once in 700 times.

    Returns:
        One finding or none; `info` where a linear network is all that the task needs.
    """
    loss = judge_loss(run)
    hidden = hidden_layers(run)
    if len(hidden) < 2:
        return []
    inner = activations_between(run, hidden)
    if not inner:
        return [describe_bare(run, hidden, loss)] if is_certainly_bare(run) else []
    if any(layer.activation not in PIECEWISE for layer in inner) or not has_no_other_bend(run):
        return []
    if loss.nonfinite_step is not None or loss.state == "diverging":
        return []
    shares = [straight_share(run, layer, least_examples) for layer in inner]
    if not all(share >= least_share for share in shares):
        return []
    return [describe_straight(run, inner, float(min(shares)), loss)]


def hidden_layers(run: Run) -> list[Layer]:
    """All layers with weights that sum over inputs, in order of execution."""
    weighted = [layer for layer in run.layers if layer.fan_in is not None and layer.role != "block"]
    kept = [layer for layer in weighted if "norm" not in layer.kind.lower() and not layer.kind.startswith("Embedding")]
    return sorted(kept, key=lambda layer: layer.position)


def activations_between(run: Run, hidden: list[Layer]) -> list[Layer]:
    """Activations that stand before the last layer with weights."""
    return [layer for layer in run.layers if layer.activation is not None and layer.position < hidden[-1].position]


def graph_operations(run: Run) -> frozenset[str]:
    """Names of all autograd nodes behind the network's last weights; empty where they were not noted."""
    fact = run.facts.get("loss_path")
    names = fact.get("network_operations") if isinstance(fact, dict) else None
    return frozenset(str(name) for name in names or ())


def is_certainly_bare(run: Run) -> bool:
    """Whether no operation of the network can bend anything."""
    operations = graph_operations(run)
    return bool(operations) and operations <= STRAIGHT | RESCALING | dropping(run)


def dropping(run: Run) -> frozenset[str]:
    """The product that dropout is made of, where there is dropout and layers stand in a row; else it may be a gate."""
    has_dropout = any(layer.dropped_share for layer in run.layers)
    return frozenset({"Mul"} if has_dropout and is_row(run) else ())


def is_row(run: Run) -> bool:
    """Whether each layer is given just what the one before it hands on: the gradients there are the same."""
    leaves = sorted((layer for layer in run.layers if layer.role != "block"), key=lambda layer: layer.position)
    columns = [run.layer_index(layer.name) for layer in leaves]
    handed = run.layer_columns["output_gradient_norm"][:, columns[:-1]]
    given = run.layer_columns["input_gradient_norm"][:, columns[1:]]
    is_known = ~np.isnan(handed) & ~np.isnan(given)
    return bool(is_known.any() and np.isclose(handed[is_known], given[is_known], rtol=1e-3, atol=0.0).all())


def has_no_other_bend(run: Run) -> bool:
    """Whether nothing but piecewise linear activations can bend anything; False where that is not known."""
    bends = {"Relu", "LeakyRelu", "Prelu", "PreluKernel", "RreluWithNoise", "Hardtanh", "Threshold"}
    operations = graph_operations(run)
    return bool(operations) and operations <= STRAIGHT | bends | dropping(run)


def straight_share(run: Run, layer: Layer, least_examples: int) -> float:
    """Share of an activation's units that work on one straight piece alone, from the first to the end; 0 if not known.

    What steps have driven to one side later is the business of other conditions, and so is a layer of zeros.
    """
    column = run.layer_index(layer.name)
    values = run.layer_columns.get("linear_share")
    if values is None or not np.nan_to_num(run.layer_columns["output_rms"][:, column], nan=1.0).any():
        return 0.0
    examples = np.nan_to_num(run.layer_columns["window_examples"][:, column])
    known = values[(examples >= least_examples) & ~np.isnan(values[:, column]), column]
    return min(float(known[0]), late_median(known)) if len(known) else 0.0


def describe_bare(run: Run, hidden: list[Layer], loss: LossMotion) -> Finding:
    """The finding in words, where no activation is there."""
    names = [layer.name for layer in hidden[:-1]]
    text = f"nothing that is not linear stands between its {len(hidden)} layers with weights"
    return Finding(
        condition="linear",
        severity=severity_of_fault(run, loss),
        layers=tuple(reversed(names)),
        cause=Cause("activation", None, text),
        evidence=(
            Evidence("activations", 0, "", f"no activation after {listed(names)}"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("linear", "activation"),
        summary=(
            f"The network is linear: {text}, so together they are one linear layer; {success_text(run, loss)}. Put an "
            f"activation after every hidden layer, for example torch.relu after {spoken(names[0])}."
        ),
        prognosis="It learns what a linear model can learn, and no more.",
        step=first_step(run),
    )


def describe_straight(run: Run, inner: list[Layer], share: float, loss: LossMotion) -> Finding:
    """The finding in words, where all units stay on one straight piece."""
    names = [layer.name for layer in inner]
    kinds = listed(sorted({layer.activation or layer.kind for layer in inner}))
    text = f"{format_share(share)} of the units of every activation ({kinds}) stay on one straight piece"
    return Finding(
        condition="linear",
        severity=severity_of_fault(run, loss),
        layers=tuple(reversed(names)),
        cause=Cause("activation_slope", None, f"{text}, whatever the example"),
        evidence=(
            Evidence("units on one piece", share, "", f"at least {format_share(share)} in {listed(names)}"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("linear", "activation_slope"),
        summary=(
            f"The network works as a linear one: {text}; {success_text(run, loss)}. Give a leaky slope well below 1, "
            "biases near zero, and inputs of both signs."
        ),
        prognosis="It learns what a linear model can learn, until units cross their kink.",
        step=first_step(run),
    )


def first_step(run: Run) -> int:
    """Step of the first full measurement."""
    return int(run.snapshot_steps[0]) if run.snapshot_count else 0
