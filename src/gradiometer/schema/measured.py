"""What is measured while a script trains: layers, parameters, snapshots, steps, events, coverage."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from gradiometer.schema.turns import ExampleStats, OctaveHistogram, TimeFade, Turn, UnitMarks

Role = Literal["leaf", "block", "function"]


@dataclass(frozen=True, slots=True)
class Layer:
    """What is measured as one: a leaf module, a block on the trunk, or a functional call.

    Attributes:
        name: Path in the model (`body.3`), for a functional call its owner and count (`body.relu#2`).
        kind: Class of the module or name of the function (`Linear`, `relu`).
        role: `leaf`, `block` (a container) or `function`.
        position: Rank in the order of first execution, 0 nearest the input.
        call_site: `file:line` of the call in the user's code, where it is known.
        activation: Its name in `gradiometer.activations.ACTIVATIONS`, None for what is no activation.
        greatest_slope: Greatest absolute slope of that activation with the parameters it has here.
        unit_count: Units (neurons, or channels of a convolution) at its output.
        fan_in: Inputs that one unit sums over, None where it has no weight.
        fan_out: Outputs that one input reaches, None where it has no weight.
        parameters: Names of its own parameters.
        dropped_share: Probability with which it drops values in training, None for a layer that drops none.
    """

    name: str
    kind: str
    role: Role
    position: int
    call_site: str | None = None
    activation: str | None = None
    greatest_slope: float | None = None
    unit_count: int | None = None
    fan_in: int | None = None
    fan_out: int | None = None
    parameters: tuple[str, ...] = ()
    dropped_share: float | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a root, or a bare tensor that an optimizer holds.

    Attributes:
        name: Path in the model (`body.3.weight`).
        layer: Name of the layer that owns it, None where no layer does.
        shape: Its shape.
        dtype: Its number format, as torch names it without the prefix (`float32`).
        is_trainable: It asks for a gradient.
        is_optimized: It is in an optimizer.
        optimizer: Class of the optimizer that holds it (`AdamW`), None where none does.
    """

    name: str
    layer: str | None
    shape: tuple[int, ...]
    dtype: str
    is_trainable: bool = True
    is_optimized: bool = True
    optimizer: str | None = None

    @property
    def element_count(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class LayerStats:
    """What one full measurement says of one layer, all its calls in the step together.

    Attributes:
        layer: Name of the layer.
        trunk_position: Rank on the trunk counted from the network's output (0), None off the trunk.
        output_rms: Root mean square of its output.
        output_gradient_norm: Frobenius norm of the loss gradient at its output.
        input_gradient_norm: Norm of the layer's own contribution to the loss gradient at its input.
        level_db: Level at its output, relative to the network's output, dB; -inf for a gradient of exactly zero.
        gain_db: Own gain, dB: input_gradient_norm over output_gradient_norm; -inf where only the former is zero.
        saturated_share: Share of its units that are saturated over the window.
        dead_share: Share of its units that are dead over the window.
        window_examples: Examples (times positions) that the two shares were judged on.
        output_nonfinite_count: NaN and infinite elements of its output.
        gradient_nonfinite_count: NaN and infinite elements of the loss gradient at its output.
        output_similarity: Mean cosine between the outputs of two examples; 1 where all are alike.
        output_rank: Effective rank of the batch's outputs, tr(G)^2 / ||G||_F^2 of their Gram matrix: 1 where all lie
            on one line, the number of examples where they are orthogonal and equally long.
        gradient_similarity: Mean cosine between the loss gradients at its output of two examples.
        gradient_rank: Effective rank of these gradients.
        similarity_example_count: Examples that the four are from.
        linear_share: Share of its units that worked on one and the same straight piece of a piecewise linear
            activation, its slope not zero, on every example of the window; None for other layers.
    """

    layer: str
    trunk_position: int | None = None
    output_rms: float | None = None
    output_gradient_norm: float | None = None
    input_gradient_norm: float | None = None
    level_db: float | None = None
    gain_db: float | None = None
    saturated_share: float | None = None
    dead_share: float | None = None
    window_examples: int | None = None
    output_nonfinite_count: int = 0
    gradient_nonfinite_count: int = 0
    output_similarity: float | None = None
    output_rank: float | None = None
    gradient_similarity: float | None = None
    gradient_rank: float | None = None
    similarity_example_count: int | None = None
    linear_share: float | None = None


@dataclass(frozen=True, slots=True)
class ParameterStats:
    """What one full measurement says of one parameter.

    Attributes:
        parameter: Name of the parameter.
        gradient_rms: Root mean square of its gradient after the step's last backward, before clipping.
        clipped_gradient_rms: The same as the optimizer saw it.
        weight_rms: Root mean square of its values before the step.
        update_ratio: Norm of the change that the optimizer made over the norm before it, from at most
            4 096 elements drawn once per run; None for a parameter that is all zero, see update_rms.
        update_rms: Root mean square of that change.
        learning_rate: Learning rate of its group.
        gradient_zero_share: Share of its gradient that is exactly zero.
        gradient_nonfinite_count: NaN and infinite elements of its gradient.
        weight_nonfinite_count: NaN and infinite elements of its values.
        gradient_greatest: Greatest absolute value of its gradient before clipping.
        gradient_subnormal_share: Share of its gradient, other than zero, below the smallest normal number of its
            format.
        weight_decay: Weight decay of its group.
        twin_share: Share of its units (rows of a weight of two or more dimensions, at most 256 of them, evenly
            spaced) whose weights equal those of another to 1e-5 of their size; measured in turns of `units` and in
            step 0, None otherwise.
    """

    parameter: str
    gradient_rms: float | None = None
    clipped_gradient_rms: float | None = None
    weight_rms: float | None = None
    update_ratio: float | None = None
    update_rms: float | None = None
    learning_rate: float | None = None
    gradient_zero_share: float | None = None
    gradient_nonfinite_count: int = 0
    weight_nonfinite_count: int = 0
    gradient_greatest: float | None = None
    gradient_subnormal_share: float | None = None
    weight_decay: float | None = None
    twin_share: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One full measurement: everything seen in one step.

    Attributes:
        step: Index of the step, from 0.
        layers: Statistics of every layer seen, in order of execution.
        parameters: Statistics of every parameter.
        output_gradient_norm: Norm of the loss gradient at the network's output: the level's reference.
        loss: Mean loss of the step, at the run's first `backward` call site.
        input_mean: Mean of the first root's first floating-point input.
        input_rms: Root mean square of the same.
        input_greatest: Greatest absolute value of the same.
        input_spread_db: Root mean square of its greatest feature over that of its median feature, dB; features are
            the channels of an image, else the last axis; those that are zero throughout are left out.
        stale_gradient_norm: Norm of the gradients that were there when the step's first backward began: left over
            from earlier steps, 0 where they were zeroed or set to None; None where `torch.autograd.grad` is used.
        target_mean: Mean of the loss' targets; those that the loss ignores are left out here and below.
        target_rms: Root mean square of the same.
        target_greatest: Greatest absolute value of the same.
        constant_loss: Loss of the best constant guess over all targets seen in full steps so far, reduced as the
            loss is; None where targets or kind of the loss are not known.
        batch_accuracy: Share of the targets whose class has the greatest output, where the loss is a cross-entropy
            over classes; of a binary one the share of the outputs on their target's side.
        measuring_seconds: Time that measuring took in this step.
        turn: The dear measurement whose turn it was, None where none had one.
        examples: What it says of the examples, where it was that measurement's turn; likewise the three below.
        fades: Gradients through time.
        histograms: Magnitudes of gradients, weights and updates.
        unit_marks: Saturated and dead units of the layers in which they are judged.
    """

    step: int
    layers: tuple[LayerStats, ...] = ()
    parameters: tuple[ParameterStats, ...] = ()
    output_gradient_norm: float | None = None
    loss: float | None = None
    input_mean: float | None = None
    input_rms: float | None = None
    input_greatest: float | None = None
    input_spread_db: float | None = None
    stale_gradient_norm: float | None = None
    target_mean: float | None = None
    target_rms: float | None = None
    target_greatest: float | None = None
    constant_loss: float | None = None
    batch_accuracy: float | None = None
    measuring_seconds: float | None = None
    turn: Turn | None = None
    examples: ExampleStats | None = None
    fades: tuple[TimeFade, ...] = ()
    histograms: tuple[OctaveHistogram, ...] = ()
    unit_marks: tuple[UnitMarks, ...] = ()


@dataclass(frozen=True, slots=True)
class StepStats:
    """What the every-step watch saw of one step.

    Attributes:
        step: Index of the step, from 0.
        losses: Per `backward` call site: site (`train.py:31`), mean loss over its calls, calls, calls whose loss
            was not finite. The mean is over the finite ones, None where there was none.
        learning_rate: Learning rate of the first optimizer's first group.
        total_norm: Norm of all gradients before clipping, where it was computed.
        clipped_total_norm: The same as the optimizer saw it.
        step_seconds: Time since the step before ended, measuring included.
        measuring_seconds: Time that measuring took of it.
        is_skipped: A gradient scaler skipped the update.
        batch_fingerprint: Digest of the batch; trials store it so that pairs can be checked.
    """

    step: int
    losses: tuple[tuple[str, float | None, int, int], ...] = ()
    learning_rate: float | None = None
    total_norm: float | None = None
    clipped_total_norm: float | None = None
    step_seconds: float | None = None
    measuring_seconds: float | None = None
    is_skipped: bool = False
    batch_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once.

    Attributes:
        step: Step at which it happened.
        kind: `jump` and `non_finite` (alarms of the flight recorder), `fault` (of ours), `repaid`, `structure`,
            `stopped`, `failed`, `cure`, `note`, `ranks` (processes that train together disagree on what is finite).
        text: What happened, in words.
    """

    step: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was seen and what was not.

    Attributes:
        seen_count: Layers measured.
        total_count: Layers that the roots have.
        unseen: Layers not measured, each with the reason.
        notes: What else limits this run's measurements.
    """

    seen_count: int = 0
    total_count: int = 0
    unseen: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The coverage line of every run, diagnosis and report."""
        parts = [f"{self.seen_count} of {self.total_count} layers seen"]
        if self.unseen:
            shown = ", ".join(f"{name} ({reason})" for name, reason in self.unseen[:3])
            more = f" and {len(self.unseen) - 3} more" if len(self.unseen) > 3 else ""
            parts.append(f"not seen: {shown}{more}")
        return "; ".join([*parts, *self.notes])
