"""A trainable parameter that never learns, because no gradient reaches it or no optimizer holds it.

What it finds:
    Layers at the beginning of the network that run and get no gradient at all (`detach`, `.data`, `no_grad`, numpy or
    `argmax` on the way), weights that were left out of the optimizer, layers in a plain Python list, and an optimizer
    whose parameters belong to no network that is trained. Layers that are frozen on purpose, that are never called,
    that stand beside the way to the loss, or that hold weights trained before, are an `info` at most.

Why it matters:
    Such weights stay as they were drawn, however long the training. What lies behind them has to work with random
    features.

What cures it:
    The line that cuts the graph: no `detach()`, `.data`, `.item()` or `torch.no_grad()` between a layer and the loss;
    an optimizer made after the last layer was, from `model.parameters()` of the model that is trained.

Source:
    Humbatova et al., "Taxonomy of Real Faults in Deep Learning Systems", 2020; PyTorch forum, "parameters not
    updating". That drawn weights are told from trained ones by their size is ours.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from gradiometer.diagnosing.learned_well import listed, success_text
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import capital, spoken
from gradiometer.diagnosing.weight_motion import layer_of
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Layer, Parameter, Run, Severity


def find_disconnected(run: Run, *, least_snapshots: int = 2, drawn_margin: float = 0.02) -> list[Finding]:
    """Find trainable parameters that can't learn.

    Args:
        run: The run.
        least_snapshots: Full measurements in which no gradient may have come: one may miss a layer by chance.
        drawn_margin: How near, as a share, the size of weights has to be to what PyTorch's, He's or Glorot's drawing
            gives to be taken for drawn and never trained; where few weights make it unsure, three standard errors.

    Returns:
        One finding or none: the optimizer that trains nothing, else what gets no gradient, else what is in no
        optimizer.
    """
    if run.snapshot_count < least_snapshots or not run.losses or "gradient_rms" not in run.parameter_columns:
        return []
    loss = judge_loss(run)
    numbers = run.parameter_columns
    is_seen = ~np.isnan(numbers["gradient_rms"]) | (np.nan_to_num(numbers.get("gradient_nonfinite_count", 0.0)) > 0.0)
    seen_counts = np.sum(is_seen, axis=0)
    received = [count > 0 for count in seen_counts]
    for find in (find_idle_optimizer, find_loose, find_cut, find_left_out):
        found = find(run, received, loss, drawn_margin)
        if found is not None:
            return [found]
    return []


def find_idle_optimizer(run: Run, received: Sequence[bool], loss: LossMotion, drawn_margin: float) -> Finding | None:
    """An optimizer none of whose parameters ever gets a gradient, although a loss is computed."""
    held = [column for column, parameter in enumerate(run.parameters) if parameter.is_optimized]
    trainable = [column for column in held if run.parameters[column].is_trainable]
    if not trainable or any(received[column] for column in trainable):
        return None
    names = owners(run, trainable)
    text = f"none of the {len(trainable)} parameters that the optimizer holds ever gets a gradient"
    return describe(run, names, "critical", text, loss, correction_of(run))


def correction_of(run: Run) -> str:
    """What to change where an optimizer trains nothing: the way from the network to the loss, or the optimizer."""
    reasons = [reason for _, reason in run.coverage.unseen]
    if len(reasons) == run.coverage.total_count and reasons and all(r.startswith("no gradient") for r in reasons):
        return (
            "the network runs, and the loss does not depend on it: look for argmax, round, a comparison, detach(), "
            ".data, .item(), torch.tensor() or numpy between its output and the loss"
        )
    return "make the optimizer from the parameters of the model that the loss is made of"


def find_loose(run: Run, received: Sequence[bool], loss: LossMotion, drawn_margin: float) -> Finding | None:
    """Weights that the network uses and that no module of it holds: layers in a plain list."""
    fact = run.facts.get("loss_path")
    told = fact.get("loose_weights") or () if isinstance(fact, dict) else ()
    loose = [(tuple(weight["shape"]), weight["rms"]) for weight in told if len(weight["shape"]) > 1]
    if not loose:
        return None
    shapes = listed([str(list(shape)) for shape, _ in loose])
    text = f"the network uses weights of shape {shapes} that none of its modules and no optimizer holds"
    is_drawn = len(run.losses) == 1 and all(
        size is not None and is_drawn_size(size, shape, drawn_margin) for shape, size in loose
    )
    names = tuple(
        layer.name
        for layer in reversed(run.layers)
        if layer.role == "function" and not layer.parameters and layer.kind.startswith(("linear", "conv"))
    )
    fix = "keep layers in nn.ModuleList or nn.Sequential: model.parameters() does not see those in a plain list or dict"
    return describe(run, names, severity_of(loss, is_certain=is_drawn), text, loss, fix)


def find_cut(run: Run, received: Sequence[bool], loss: LossMotion, drawn_margin: float) -> Finding | None:
    """Layers that run, hold trainable weights and get no gradient."""
    known = {parameter.name: column for column, parameter in enumerate(run.parameters)}
    weighted = [layer for layer in run.layers if weights_of(run, layer, known)]
    weighted.sort(key=lambda layer: layer.position)
    is_deaf = [not any(received[column] for column in weights_of(run, layer, known)) for layer in weighted]
    deaf = [layer for layer, silent in zip(weighted, is_deaf, strict=True) if silent]
    if not deaf or all(is_deaf):
        return None
    prefix = weighted[: is_deaf.index(False)]
    cut = prefix or deaf
    names = tuple(layer.name for layer in reversed(cut))
    columns = [column for layer in cut for column in weights_of(run, layer, known)]
    is_drawn = all(looks_drawn(run, column, drawn_margin) for column in columns)
    layers = listed([spoken(name) for name in names])
    text = f"no gradient ever reaches the weights of {layers}, which run and are trainable"
    severity = severity_of(loss, is_certain=bool(prefix) and is_drawn)
    fix = f"look for detach(), .data, .item(), torch.no_grad() or numpy behind {spoken(names[0])}"
    return describe(run, names, severity, text, loss, fix)


def find_left_out(run: Run, received: Sequence[bool], loss: LossMotion, drawn_margin: float) -> Finding | None:
    """Weights that get a gradient and that no optimizer holds."""
    columns = [
        column
        for column, parameter in enumerate(run.parameters)
        if parameter.is_trainable and not parameter.is_optimized and received[column] and len(parameter.shape) > 1
    ]
    if not columns:
        return None
    names = owners(run, columns)
    is_drawn = len(run.losses) == 1 and all(looks_untrained(run, column, drawn_margin) for column in columns)
    text = f"the weights of {listed([spoken(name) for name in names])} get a gradient and are in no optimizer"
    fix = "make the optimizer from model.parameters(), after the last layer was made or exchanged"
    return describe(run, names, severity_of(loss, is_certain=is_drawn), text, loss, fix)


def weights_of(run: Run, layer: Layer, known: Mapping[str, int]) -> list[int]:
    """Columns of a layer's own trainable and optimized weights of two dimensions or more.

    Args:
        run: The run.
        layer: The layer.
        known: Column of every parameter, by name.
    """
    columns = [known[name] for name in layer.parameters if name in known]
    return [column for column in columns if is_meant(run.parameters[column])]


def is_meant(parameter: Parameter) -> bool:
    """Whether a parameter is a weight that an optimizer is meant to train."""
    return parameter.is_trainable and parameter.is_optimized and len(parameter.shape) > 1


def owners(run: Run, columns: Sequence[int]) -> tuple[str, ...]:
    """Layers that own parameters, the last first."""
    return tuple(dict.fromkeys(layer_of(run, run.parameters[column]) for column in reversed(columns)))


def severity_of(loss: LossMotion, *, is_certain: bool) -> Severity:
    """How bad it is: no more than an `info` where it may be meant, whatever the loss does."""
    if not is_certain:
        return "info"
    return "critical" if loss.is_harmed else "warning"


def looks_untrained(run: Run, column: int, margin: float) -> bool:
    """Whether weights have the size that they were drawn with, or a bias beside them is exactly zero.

    No bias that was ever trained is.
    """
    if looks_drawn(run, column, margin):
        return True
    owner = layer_of(run, run.parameters[column])
    biases = [
        index
        for index, parameter in enumerate(run.parameters)
        if len(parameter.shape) == 1 and parameter.name.endswith("bias") and layer_of(run, parameter) == owner
    ]
    sizes = run.parameter_columns["weight_rms"][:, biases]
    known = sizes[~np.isnan(sizes)]
    return bool(len(known)) and not known.any()


def looks_drawn(run: Run, column: int, margin: float) -> bool:
    """Whether weights have just the size that a usual way of drawing them gives, and so were never trained.

    Args:
        run: The run.
        column: The parameter.
        margin: How near, as a share.
    """
    parameter = run.parameters[column]
    sizes = run.parameter_columns["weight_rms"][:, column]
    known = sizes[~np.isnan(sizes)]
    if not len(known):
        return False
    return is_drawn_size(float(known[0]), parameter.shape, margin)


def is_drawn_size(size: float, shape: tuple[int, ...], margin: float) -> bool:
    """Whether weights of some shape have the size that a usual way of drawing them gives."""
    room = max(margin, 3.0 / math.sqrt(2.0 * math.prod(shape)))
    return any(abs(size / drawn - 1.0) <= room for drawn in drawn_sizes(shape))


def drawn_sizes(shape: tuple[int, ...]) -> tuple[float, ...]:
    """Root mean squares that the usual ways of drawing give weights of this shape.

    PyTorch's own, He's, Glorot's, LeCun's and orthogonal ones, and the 0.02 of transformers.
    """
    spread = math.prod(shape[2:])
    inputs, outputs = shape[1] * spread, shape[0] * spread
    variances = (1.0 / (3.0 * inputs), 2.0 / inputs, 2.0 / (inputs + outputs), 1.0 / inputs, 1.0 / max(inputs, outputs))
    return (*(math.sqrt(variance) for variance in variances), 0.02)


def describe(
    run: Run, names: tuple[str, ...], severity: Severity, text: str, loss: LossMotion, correction: str
) -> Finding:
    """The finding in words."""
    meant = " If that is meant, set requires_grad to False there, and all is said." if severity == "info" else ""
    return Finding(
        condition="disconnected",
        severity=severity,
        layers=names,
        cause=Cause("disconnection", None, text),
        evidence=(
            Evidence("layers cut off", len(names), "", text),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("disconnected", "disconnection"),
        summary=f"{capital(text)}; {success_text(run, loss)}. {capital(correction)}.{meant}",
        prognosis="These weights stay as they are, however long the training.",
        step=int(run.snapshot_steps[min(1, run.snapshot_count - 1)]),
    )
