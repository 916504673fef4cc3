"""NaN or infinity, and the layer where it began.

What it finds:
    Losses, outputs, gradients or weights that are not finite: when it set in, whether it began in the forward pass
    (and then the first layer in order of execution), in the loss alone, or in the gradient alone (and then the layer
    nearest the loss). Steps that a gradient scaler skipped are its business and no finding.

Why it matters:
    One NaN in a loss puts a NaN into every weight with the next step, and no later step removes it.

What cures it:
    A bound on the gradient's norm and a smaller learning rate where numbers grew until they overflowed; a loss that
    does not take the logarithm of a probability by itself (`BCEWithLogitsLoss`, `cross_entropy` on logits), a small
    constant under roots and in denominators.

Source:
    Zhang et al., "DeepLocalize", 2021; users' requests for the operation, layer and step (pytorch#160016).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.diagnosing.chance import output_layer
from gradiometer.diagnosing.learning import judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.number_formats import ADAPTIVE, SMALLEST_NUMBER
from gradiometer.diagnosing.onsets import first_onset
from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, idle_snapshots, layer_of, weight_motions
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run
from gradiometer.units import decibels, format_number

EPSILON_TEXT = (
    "the weights are in half precision, where the optimizer's epsilon is zero: a gradient whose square is lost as well "
    "makes its step 0/0 (keep the weights in float32, under torch.autocast, or raise eps to 1e-4)"
)


PLACE_WORDS: dict[str, str] = {
    "forward": "in the forward pass",
    "loss": "in the loss",
    "gradient": "in the gradient",
    "weights": "in the weights",
}
"""Kind of an origin to where that is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where something that is not finite began.

    Attributes:
        kind: `forward`, `loss`, `gradient`, `weights` (they were not finite already when first seen).
        layers: The layer where it began first; empty for the loss.
        step: First step at which it was seen.
        finite_index: Index of the last full measurement in which all was finite; None for none.
    """

    kind: str
    layers: tuple[str, ...]
    step: int
    finite_index: int | None


def find_non_finite(run: Run, *, large_output: float = 1e4, large_ratio: float = 0.1) -> list[Finding]:
    """Find NaN and infinity.

    Args:
        run: The run.
        large_output: Root mean square of an output, in the last finite measurement, that is on its way to overflow;
            trained networks stay below a few hundred.
        large_ratio: Update ratio before it happened that makes the learning rate the cause; a hundred times the usual.

    Returns:
        One finding or none; `critical` where the last losses or weights are not finite, `warning` where it passed.
    """
    origin = find_origin(run)
    if origin is None:
        return []
    cause = cause_of(run, origin, large_output, large_ratio)
    # No change of the network or its steps mends data that are not numbers.
    cures = () if is_bad_input(run, origin) else cures_for("non_finite", cause.name)
    is_lasting = lasts(run)
    return [
        Finding(
            condition="non_finite",
            severity="critical" if is_lasting else "warning",
            layers=origin.layers,
            cause=cause,
            evidence=evidence_of(run, origin),
            cures=cures,
            summary=f"{where_text(run, origin)} The likely cause: {cause.text}.",
            prognosis=(
                "Every weight that such a gradient reaches becomes NaN with the next step and stays so."
                if is_lasting
                else "It passed this time; the step that met it was lost or has left its mark."
            ),
            step=origin.step,
        )
    ]


def find_origin(run: Run) -> Origin | None:
    """Where and when it began; None where all that was recorded is finite."""
    loss_step = judge_loss(run).nonfinite_step
    index = first_bad_snapshot(run)
    step = None if index is None else int(run.snapshot_steps[index])
    if index is None or step is None or (loss_step is not None and loss_step < step):
        if loss_step is None:
            return None
        before = [k for k in range(run.snapshot_count) if run.snapshot_steps[k] < loss_step]
        output = output_layer(run)
        suspects = (output.name,) if output is not None else ()
        return Origin("loss", suspects, loss_step, before[-1] if before else None)
    kind, layers = kind_at(run, index)
    return Origin(kind, layers, step, index - 1 if index else None)


def first_bad_snapshot(run: Run) -> int | None:
    """First full measurement with anything that is not finite and whose step was not skipped by a gradient scaler."""
    if not run.snapshot_count:
        return None
    counts = np.zeros(run.snapshot_count)
    for columns, names in (
        (run.layer_columns, ("gradient_nonfinite_count",)),
        (run.parameter_columns, ("gradient_nonfinite_count", "weight_nonfinite_count")),
    ):
        counts += sum(np.nan_to_num(columns[name]).sum(axis=1) for name in names if name in columns)
    return first_onset((counts > 0.0) & ~skipped(run))


def skipped(run: Run) -> np.ndarray:
    """Whether a gradient scaler skipped the step of each full measurement."""
    flags = run.step_columns.get("is_skipped")
    if flags is None:
        return np.zeros(run.snapshot_count, dtype=bool)
    steps = {int(step) for step, flag in zip(run.steps, flags, strict=True) if flag == 1.0}
    return np.array([int(step) in steps for step in run.snapshot_steps], dtype=bool)


def kind_at(run: Run, index: int) -> tuple[str, tuple[str, ...]]:
    """What kind it is in a full measurement, and the layer where it began first."""
    outputs = bad_layers(run, index, "output_nonfinite_count")
    gradients = bad_layers(run, index, "gradient_nonfinite_count")
    if np.nan_to_num(run.parameter_columns["weight_nonfinite_count"][index]).sum() > 0.0:
        return "weights", outputs or gradients or bad_owners(run, index, "weight_nonfinite_count")
    if outputs:
        return "forward", outputs
    if not math.isfinite(run.snapshot_columns["loss"][index]):
        output = output_layer(run)
        # Of several heads the trunk's end is none: the gradient tells which layer the loss is made of.
        return "loss", gradients[-1:] or ((output.name,) if output is not None else ())
    return "gradient", gradients[::-1] or bad_owners(run, index, "gradient_nonfinite_count")


def bad_layers(run: Run, index: int, column: str) -> tuple[str, ...]:
    """Layers with such a count above zero, in order of execution."""
    counts = np.nan_to_num(run.layer_columns[column][index])
    return tuple(layer.name for layer, count in zip(run.layers, counts, strict=True) if count > 0.0)


def bad_owners(run: Run, index: int, column: str) -> tuple[str, ...]:
    """Layers named by their parameters with such a count above zero, the one nearest the loss first."""
    counts = np.nan_to_num(run.parameter_columns[column][index])
    bad = [layer_of(run, parameter) for parameter, count in zip(run.parameters, counts, strict=True) if count > 0.0]
    return tuple(dict.fromkeys(reversed(bad)))


def lasts(run: Run) -> bool:
    """Whether a weight in the last full measurement, or the last recorded loss, is not finite.

    One loss at the end counts only where no earlier one was followed by a finite one, and none does where the steps
    with such a loss brought no gradient: an empty batch gives NaN and harms nothing.
    """
    counts = run.parameter_columns.get("weight_nonfinite_count")
    if counts is not None and len(counts) and np.nan_to_num(counts[-1]).sum() > 0.0:
        return True
    series = run.loss
    is_bad = np.zeros(0, dtype=bool) if series is None else series.nonfinite_counts > 0
    if not len(is_bad) or not is_bad[-1] or are_bad_losses_idle(run):
        return False
    has_passed = bool((is_bad[:-1] & ~is_bad[1:]).any())
    return not has_passed or bool(is_bad[-2:].all())


def are_bad_losses_idle(run: Run) -> bool:
    """Whether full measurements fell on losses that are not finite, and none of those steps brought a gradient."""
    if "loss" not in run.snapshot_columns or run.loss is None:
        return False
    bad_steps = run.loss.steps[run.loss.nonfinite_counts > 0]
    is_bad = np.isin(run.snapshot_steps, bad_steps)
    return bool(is_bad.any() and idle_snapshots(run)[is_bad].all())


def cause_of(run: Run, origin: Origin, large_output: float, large_ratio: float) -> Cause:
    """What led to it, to judge by the last measurement in which all was finite."""
    index = origin.finite_index
    if is_bad_input(run, origin):
        return Cause("input_scale", None, "the input itself is not finite")
    if origin.kind in {"loss", "weights"} and is_epsilon_lost(run):
        return Cause("number_format", None, EPSILON_TEXT)
    thrown = greatest_ratio(run, index)
    if thrown >= large_ratio:
        share_db = decibels(thrown / USUAL_RATIO)
        return Cause("learning_rate", share_db, f"steps had moved weights by up to {thrown:.2g} of their size")
    largest = largest_output(run, 0 if index is None else index)
    if largest >= large_output:
        return Cause(
            "weight_scale", decibels(largest), f"outputs had grown to {format_number(largest)} (rms) through the layers"
        )
    if is_empty_batch(run, origin):
        return Cause("loss", None, "no gradient came of that step: its batch was empty, and the mean of nothing is NaN")
    if is_unopened(run):
        return Cause("unknown", None, "layers were not opened, so where it began can't be told: a layer or the loss")
    if origin.kind in {"loss", "weights"}:
        return Cause("loss", None, loss_text(run, origin))
    return Cause("number_format", None, "an operation in that layer left the range of its number format")


def is_epsilon_lost(run: Run) -> bool:
    """Whether the epsilon that keeps an optimizer from dividing by zero is zero in the weights' number format."""
    smallest = {parameter.optimizer: SMALLEST_NUMBER.get(parameter.dtype, 0.0) for parameter in run.parameters}
    known = run.facts.get("optimizers")
    settings = [one for one in known if isinstance(one, Mapping)] if isinstance(known, list) else []
    return any(
        one.get("kind") in ADAPTIVE and epsilon_of(one) < 0.5 * smallest.get(str(one.get("kind")), 0.0)
        for one in settings
    )


def epsilon_of(optimizer: Mapping[str, Any]) -> float:
    """An optimizer's epsilon; 1 where it has none, or calls something else by that name."""
    epsilon = dict(optimizer.get("settings") or {}).get("eps")
    return float(epsilon) if isinstance(epsilon, int | float) else 1.0


def is_empty_batch(run: Run, origin: Origin) -> bool:
    """Whether the step at which the loss was no number brought no gradient at all."""
    is_here = run.snapshot_steps == origin.step
    return origin.kind == "loss" and bool(idle_snapshots(run)[is_here].any())


def is_bad_input(run: Run, origin: Origin) -> bool:
    """Whether the first layer is where it began, and the size of its input was no number then."""
    if origin.kind != "forward" or origin.layers[:1] != first_layer(run):
        return False
    inputs = run.snapshot_columns["input_rms"][run.snapshot_steps == origin.step]
    return len(inputs) > 0 and bool(np.isnan(inputs).all())


def first_layer(run: Run) -> tuple[str, ...]:
    """Name of the layer nearest the input."""
    return tuple(layer.name for layer in run.layers[:1])


def greatest_ratio(run: Run, index: int | None) -> float:
    """Greatest update ratio in the full measurements up to one, the first step's left out; 0 where none was."""
    if index is None:
        return 0.0
    return max(
        (float(np.max(np.nan_to_num(motion.ratios[: index + 1]))) for motion in weight_motions(run)), default=0.0
    )


def largest_output(run: Run, index: int) -> float:
    """Largest output of any layer in a full measurement, root mean square; 0 where none was measured."""
    outputs = run.layer_columns.get("output_rms")
    if outputs is None or not len(outputs):
        return 0.0
    return float(np.max(np.nan_to_num(outputs[index]), initial=0.0))


def loss_text(run: Run, origin: Origin) -> str:
    """Why a loss alone turns bad, in words."""
    suspect = origin.layers[0] if origin.kind == "loss" and origin.layers else None
    output = output_layer(run) if suspect is None else run.layers[run.layer_index(suspect)]
    known = ACTIVATIONS.get(output.activation or "") if output is not None else None
    if output is not None and known is not None and known.flat_above is not None:
        return (
            f"the loss is made from what {spoken(output.name)} ({output.kind}) gives, which reaches its limits "
            "exactly; the logarithm or a quotient of that is not finite"
        )
    return "the loss takes a logarithm, root or quotient of a number that reached zero"


def where_text(run: Run, origin: Origin) -> str:
    """When and where, in words."""
    seen = f"at step {origin.step}"
    first = origin.layers[0] if origin.layers else ""
    if origin.kind == "loss":
        return f"The loss is not finite from step {origin.step} on, while everything measured before it was."
    if is_bad_input(run, origin):
        return f"The network is given NaN or infinity {seen}, and so is all that it makes of it."
    if origin.kind == "forward":
        return f"Layer {first} gives NaN or infinity {seen}, the first layer to do so; what it was given is finite."
    if is_unopened(run) and origin.kind == "gradient":
        return (
            f"The loss is finite {seen}, but gradients of weights are not, nearest the loss those of {spoken(first)}."
        )
    if is_unopened(run):
        more = " and others" if len(origin.layers) > 1 else ""
        return f"The weights of {spoken(first)}{more} are NaN or infinite {seen}{finite_text(run, origin)}."
    if origin.kind == "gradient":
        name = spoken(first)
        return f"Outputs and loss are finite {seen}, but the gradient at {name} is not: it began there or in the loss."
    last = finite_text(run, origin)
    return f"The weights are NaN or infinite {seen}{last}; by then every layer from {first or 'the first'} on is."


def finite_text(run: Run, origin: Origin) -> str:
    """When all was finite last, in words; empty where it never was."""
    if origin.finite_index is None:
        return ""
    return f" (all was finite at step {int(run.snapshot_steps[origin.finite_index])})"


def evidence_of(run: Run, origin: Origin) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    found = [Evidence("first step", origin.step, "", f"first seen at step {origin.step}, {PLACE_WORDS[origin.kind]}")]
    if origin.finite_index is not None and not is_unopened(run):
        step = int(run.snapshot_steps[origin.finite_index])
        largest = largest_output(run, origin.finite_index)
        found.append(
            Evidence(
                "largest output before",
                largest,
                "",
                f"at step {step} no output was above {format_number(largest)} (rms)",
            )
        )
    # Of several processes that train together: on which it began.
    found += [
        Evidence("ranks", event.step, "", f"at step {event.step}: {event.text}")
        for event in run.events
        if event.kind == "ranks"
    ][:2]
    found += replay_evidence(run)
    return tuple(found)


def replay_evidence(run: Run) -> list[Evidence]:
    """The operation that a replay of the run named, where one was made."""
    replay = run.facts.get("replay")
    operation = replay.get("operation") if isinstance(replay, Mapping) else None
    if not isinstance(replay, Mapping) or not isinstance(operation, Mapping):
        return []
    place = f" in {spoken(str(operation['layer']))}" if operation.get("layer") else ""
    site = f" at {operation['call_site']}" if operation.get("call_site") else ""
    text = f"replayed, step {replay.get('step')}: {operation.get('name')}{place}{site} was the first operation"
    return [Evidence("replayed step", replay.get("step"), "", f"{text} to give NaN or infinity")]
