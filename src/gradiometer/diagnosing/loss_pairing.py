"""Which output unit does not belong before which loss: rules from what stands between the weights and the loss.

Each rule is a function of the path, the run and what its loss does; `PAIRINGS` lists them, the most certain first.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learned_well import (
    REGRESSIONS,
    constant_loss,
    is_learned_well,
    late_accuracy,
    severity_of_fault,
    snapshot_column,
)
from gradiometer.diagnosing.learning import LossMotion
from gradiometer.diagnosing.loss_path import WEIGHTED, LossPath
from gradiometer.diagnosing.weight_motion import late_median, weight_motions
from gradiometer.schema import Run, Severity

UNIT_NAMES: dict[str, str] = {
    "Softmax": "a softmax",
    "Sigmoid": "a sigmoid",
    "Tanh": "a tanh",
    "Relu": "a ReLU",
    "Hardtanh": "a hard tanh",
    "Softplus": "a softplus",
}
"""Autograd node of an output unit to its name in a sentence."""

RANGES: dict[str, tuple[float, float]] = {
    "Softmax": (0.0, 1.0),
    "Sigmoid": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Hardtanh": (-1.0, 1.0),
    "Relu": (0.0, math.inf),
    "Softplus": (0.0, math.inf),
}
"""Output unit to the least and the greatest number that it can give."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An output unit and a loss that do not belong together.

    Attributes:
        text: What is wrong, a sentence without its full stop.
        harm: Why that hurts, half a sentence.
        correction: What to write instead, as an instruction.
        severity: How bad it is in this run.
        floor: Least loss that such outputs can reach, None where that is not the trouble.
    """

    text: str
    harm: str
    correction: str
    severity: Severity
    floor: float | None = None


def find_constant_softmax(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """A softmax over one unit gives 1 whatever comes in, and hands no gradient on."""
    is_at_loss = path.loss == "cross_entropy" or path.output_unit == "Softmax"
    is_single = any(size == 1 for _, size, _ in path.softmaxes[:1]) and is_at_loss
    if not path.softmaxes and is_at_loss and path.output_shape is not None:
        is_single = len(path.output_shape) > 1 and path.output_shape[1] == 1
    if not is_single:
        return None
    return Mismatch(
        "a softmax is taken over a single output unit",
        "it gives exactly 1 whatever the network says, and its gradient is exactly zero",
        "use one output unit with BCEWithLogitsLoss and no softmax, or as many output units as there are classes",
        "critical",
    )


def find_softmax_over_batch(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """A softmax along the batch lets the examples compete for probability instead of the classes."""
    batch_size = run.facts.get("batch_size")
    before = path.head[: path.head.index("Softmax")] if "Softmax" in path.head else ("",)
    is_at_loss = path.loss == "cross_entropy" or all(name in {"Log", "Add", "Clamp", "ClampMin"} for name in before)
    if not is_at_loss or not batch_size or int(batch_size) < 2:
        return None
    if not any(axis == 0 and size == int(batch_size) and count == 2 for axis, size, count in path.softmaxes[:2]):
        return None
    return Mismatch(
        "the softmax runs along the batch (dim=0) and not along the classes",
        "the examples of a batch share one probability among them, so what one gains another loses",
        "write dim=1 (or dim=-1); before CrossEntropyLoss leave the softmax out altogether",
        severity_of_fault(run, loss),
    )


def find_broadcasting(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """Outputs [N, 1] against targets [N] make N x N differences: every output is pulled to every target."""
    if path.loss not in REGRESSIONS:
        return None
    output, target = path.output_shape or (), path.target_shape or ()
    count = output[0] if output else 0
    if count < 2 or (output, target) not in {((count, 1), (count,)), ((count,), (count, 1))}:
        return None
    return Mismatch(
        f"outputs of shape {list(output)} meet targets of shape {list(target)} and are broadcast to {[count, count]}",
        "each output is compared with every target of the batch, so the best it can do is their mean",
        "give both the same shape, for example with output.squeeze(1) or target.unsqueeze(1)",
        "critical" if loss.is_harmed else "warning",
    )


def find_squashed_scores(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """A cross-entropy takes the softmax itself; scores confined to (0, 1) can't make it sure of anything."""
    if path.loss != "cross_entropy" or path.output_unit not in UNIT_NAMES:
        return None
    unit = UNIT_NAMES[path.output_unit]
    count = class_count(path)
    spread = {"Softmax": 1.0, "Sigmoid": 1.0, "Tanh": 2.0, "Hardtanh": 2.0}.get(path.output_unit)
    floor = None if spread is None or count is None else math.log1p((count - 1) * math.exp(-spread))
    harm = (
        "scores below zero are cut off together with their gradient, and a class whose unit is silent is never learned"
        if spread is None
        else f"no score can exceed another by more than {spread:g}, so the cross-entropy can't fall below "
        f"{'a floor' if floor is None else f'{floor:.3g}'} and its gradient is damped twice"
    )
    return Mismatch(
        f"{unit} stands before a cross-entropy, which takes the softmax itself",
        harm,
        f"take the {unit.split()[-1]} out and hand CrossEntropyLoss the last layer's output as it is",
        severity_of_floor(run, loss, path.output_unit, floor, count),
        floor,
    )


def severity_of_floor(
    run: Run, loss: LossMotion, unit: str, floor: float | None, count: int | None, *, least_floor: float = 0.1
) -> Severity:
    """How bad a floor under the loss is: it keeps the network unsure of all it knows, however right its answers are.

    Args:
        run: The run.
        loss: What its loss does.
        unit: The output unit; behind a softmax the network's own probabilities are right again once it has learned.
        floor: Least loss that can be reached, None where there is none.
        count: Number of classes.
        least_floor: Floor, as a share of what guessing gives, from which on it is never nothing.
    """
    severity = severity_of_fault(run, loss)
    is_high = floor is not None and count is not None and count > 1 and floor >= least_floor * math.log(count)
    if severity != "info" or not is_high or floor is None or count is None:
        return severity
    is_down = loss.end - floor <= 0.02 * (math.log(count) - floor)
    return "info" if unit == "Softmax" and is_down else "warning"


def class_count(path: LossPath) -> int | None:
    """Number of classes of a cross-entropy; None where it is not known."""
    if path.softmaxes:
        return path.softmaxes[0][1]
    shape = path.output_shape
    return shape[1] if shape is not None and len(shape) > 1 else None


def find_squashed_logits(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """A binary cross-entropy on logits takes the sigmoid itself; a probability can't say no to it."""
    heads = {
        "binary_cross_entropy_with_logits": path.head[:1],
        "binary_cross_entropy": path.head[1:2] if path.output_unit == "Sigmoid" else (),
    }.get(path.loss, ())
    if not heads or heads[0] not in {"Sigmoid", "Softmax", "Relu"}:
        return None
    unit = UNIT_NAMES[heads[0]]
    taken = "the loss" if path.loss.endswith("logits") else "a second unit"
    return Mismatch(
        f"{unit} stands before a binary cross-entropy for which {taken} takes the sigmoid",
        "what is never below zero gives probabilities never below one half, so no answer can be no",
        f"take the {unit.split()[-1]} out and hand BCEWithLogitsLoss the last layer's output as it is",
        severity_of_fault(run, loss),
        math.log(2.0) / 2.0 + math.log1p(math.exp(-1.0)) / 2.0 if heads[0] != "Relu" else None,
    )


def find_missing_logarithm(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """A negative log-likelihood wants the logarithms of probabilities."""
    unit = path.output_unit
    if path.loss != "nll" or unit is None:
        return None
    if unit in {"Softmax", "Sigmoid"}:
        return Mismatch(
            f"{UNIT_NAMES[unit]} hands probabilities to a loss that wants their logarithms",
            "the gradient no longer grows where the network is wrong, and fades where it is very wrong",
            "write log_softmax in place of softmax, or CrossEntropyLoss on the last layer's output",
            severity_of_likelihood(run, loss),
        )
    if unit in WEIGHTED or unit in {"Relu", "Tanh"}:
        return Mismatch(
            "a negative log-likelihood is handed raw scores",
            "it has no lower bound then: the scores grow without end, and the loss becomes negative",
            "write log_softmax before NLLLoss, or CrossEntropyLoss in its place",
            "warning" if late_accuracy(run) >= 0.98 else "critical",
        )
    return None


def severity_of_likelihood(run: Run, loss: LossMotion) -> Severity:
    """How bad probabilities are where logarithms are wanted: by the right answers, for the loss itself says little.

    Minus such a loss is the mean probability of the right class.
    """
    accuracy = late_accuracy(run)
    if math.isnan(accuracy):
        accuracy = -loss.end
    if loss.nonfinite_step is not None or loss.state in {"flat", "relapsed", "diverging"}:
        return "critical"
    return "info" if accuracy >= 0.98 else "warning"


def find_confined_outputs(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """Targets that the output unit can't reach."""
    if path.loss not in REGRESSIONS or path.output_unit not in RANGES:
        return None
    least, greatest = RANGES[path.output_unit]
    means, sizes = snapshot_column(run, "target_mean"), snapshot_column(run, "target_rms")
    peaks = snapshot_column(run, "target_greatest")
    if not np.isfinite(peaks).any():
        return None
    mean, size, peak = (float(np.nanmedian(values)) for values in (means, sizes, peaks))
    # Numbers between 0 and g have a mean square of at most g times their mean: what has more has negative ones.
    is_negative = least == 0.0 and size**2 > 1.001 * peak * mean and mean < 0.5 * size
    is_beyond = peak > 1.5 * greatest and size > 0.4 * greatest
    if not (is_negative or is_beyond) or is_learned_well(run, loss):
        return None
    known = constant_loss(run)
    is_useless = known > 0.0 and loss.end > 0.95 * known and loss.step_count >= 100
    where = f"between {least:g} and {greatest:g}" if math.isfinite(greatest) else "above zero"
    return Mismatch(
        f"{UNIT_NAMES[path.output_unit]} gives numbers {where} alone, and targets lie outside of that (mean "
        f"{mean:.3g}, size {size:.3g}, up to {peak:.3g})",
        "these targets can't be reached, and on the way to them the output unit's slope dies",
        "end the network with the last weighted layer, without an output unit, or scale the targets into its range",
        "critical" if loss.is_harmed or is_useless else "warning",
    )


def find_squared_classes(path: LossPath, run: Run, loss: LossMotion) -> Mismatch | None:
    """A squared error on classes written as zeros and ones, behind a unit whose slope dies where it is most wrong."""
    if (
        path.loss != "squared_error"
        or path.output_unit not in {"Sigmoid", "Softmax"}
        or not has_class_targets(path, run)
    ):
        return None
    is_learned = is_learned_well(run, loss, settled_share=0.02)
    unit = UNIT_NAMES[path.output_unit]
    return Mismatch(
        f"{unit} with a squared error is trained to tell classes",
        "an output that is surely wrong has next to no slope, so the worst answers are corrected last",
        "use CrossEntropyLoss, or for yes-or-no outputs BCEWithLogitsLoss, on the last layer's output without its unit",
        "critical" if loss.is_harmed else "info" if is_learned else "warning",
    )


def has_class_targets(path: LossPath, run: Run, *, margin: float = 1e-3) -> bool:
    """Whether targets are zeros and ones with a single one for each example, or a single output's yes and no.

    Of zeros and ones the mean square is the mean, and with a single one among C that is 1/C; images that happen to
    have both are not to be expected.

    Args:
        path: What stands before the loss.
        run: The run.
        margin: How near both have to come.
    """
    mean, size = late_median(snapshot_column(run, "target_mean")), late_median(snapshot_column(run, "target_rms"))
    if path.output_shape is None or not abs(size**2 - mean) <= margin or not mean > 0.0:
        return False
    count = path.output_shape[-1] if len(path.output_shape) > 1 else 1
    return count == 1 or abs(mean - 1.0 / count) <= margin / count


def find_dying_slope(
    path: LossPath, run: Run, loss: LossMotion, *, damped_db: float = 20.0, least_ratio: float = 1e-4
) -> Mismatch | None:
    """A squared error behind a unit that saturates: where the network is most wrong its gradient is smallest.

    Args:
        path: What stands before the loss.
        run: The run.
        loss: What its loss does; while it falls nothing is wrong.
        damped_db: By how much less than at best the unit passes on; a tenth.
        least_ratio: Update ratio that no layer reaches, a tenth of the usual, where the whole network is starved.
    """
    if path.loss not in REGRESSIONS or path.output_unit not in {"Sigmoid", "Softmax", "Tanh"} or not loss.is_harmed:
        return None
    best_db = {"Sigmoid": -12.0, "Tanh": 0.0}.get(path.output_unit, -20.0 * math.log10(class_count(path) or 2))
    gain_db = output_gain_db(run, path.output_unit)
    ratios = [motion.late_ratio for motion in weight_motions(run) if not math.isnan(motion.late_ratio)]
    is_starved = bool(ratios) and max(ratios) < least_ratio
    if not gain_db <= best_db - damped_db and not (is_starved and path.output_unit == "Softmax"):
        return None
    unit = UNIT_NAMES[path.output_unit]
    loss_name = path.loss.replace("_", " ")
    return Mismatch(
        f"{unit} stands before a {loss_name}, and passes on only {gain_db:.0f} dB of the gradient",
        "the more wrong the output, the flatter its unit, and a squared error does not make up for it",
        "pair the sigmoid with a binary cross-entropy and the softmax with a cross-entropy (BCEWithLogitsLoss, "
        "CrossEntropyLoss, on the last layer's output), or leave the unit out of a regression",
        "critical",
    )


def output_gain_db(run: Run, unit: str) -> float:
    """Late gain of the last layer that is such a unit, dB; nan where it was not measured."""
    kinds = {unit.lower(), f"log{unit.lower()}"}
    columns = [
        column
        for column, layer in enumerate(run.layers)
        if (layer.activation or layer.kind).lower().strip("_") in kinds
    ]
    if not columns or "gain_db" not in run.layer_columns:
        return math.nan
    last = max(columns, key=lambda column: run.layers[column].position)
    return late_median(run.layer_columns["gain_db"][:, last])


PAIRINGS: tuple[Callable[[LossPath, Run, LossMotion], Mismatch | None], ...] = (
    find_constant_softmax,
    find_softmax_over_batch,
    find_broadcasting,
    find_squashed_scores,
    find_squashed_logits,
    find_missing_logarithm,
    find_confined_outputs,
    find_squared_classes,
    find_dying_slope,
)
"""All rules; the first that finds something is what a finding tells."""
