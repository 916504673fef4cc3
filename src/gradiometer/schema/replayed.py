"""What a replay found: the operation in which a NaN or infinity was born, with what it was given."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal["forward", "backward", "update"]


@dataclass(frozen=True, slots=True)
class TensorRange:
    """What one tensor held.

    Attributes:
        name: `fc1.weight`, `batch`; empty for what an operation made.
        shape: Its shape.
        dtype: Its number format, as torch names it without the prefix (`float16`).
        low: Smallest finite element, None where there is none.
        high: Greatest finite element, None where there is none.
        nan_count: Elements that are NaN.
        infinity_count: Elements that are infinite, of either sign.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None = None
    high: float | None = None
    nan_count: int = 0
    infinity_count: int = 0

    @property
    def is_finite(self) -> bool:
        """No element is NaN or infinite; an empty tensor is finite."""
        return self.nan_count == 0 and self.infinity_count == 0


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a step, measured.

    Attributes:
        index: Its place in the step, from 0.
        name: As torch names it (`log`, `addmm`, `_softmax_backward_data`).
        phase: `forward`, `backward`, or `update` for what happens to gradients and weights after that.
        layer: The innermost module whose forward made it, or made the operation that it differentiates; empty for
            the root itself and for what is outside of it, as a loss may be.
        call_site: `file:line` of the user's code, in the backward pass that of the operation it differentiates.
        differentiates: The backward node that it belongs to (`SqrtBackward0`); empty in the forward pass.
        inputs: What it was given, tensors of floating point only.
        outputs: What it gave.
    """

    index: int
    name: str
    phase: Phase
    layer: str
    call_site: str | None
    differentiates: str
    inputs: tuple[TensorRange, ...]
    outputs: tuple[TensorRange, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of a replay.

    Attributes:
        step: The step that was measured operation by operation: the one where something was found, else the last.
        operation: The first operation of that step that gave NaN or infinity and led to one in the loss, a gradient
            or a weight; None where there was none.
        source: Where a NaN or infinity was there before any operation: name of a parameter, or `batch`; else empty.
        chain: The operations that led to it, the nearest one last.
        operation_count: Operations measured in that step.
        checked_count: Steps whose batch or loss was compared with the recorded one, and equalled it.
        parted_step: First step at which the replay was not the recorded run; None where it was the same all along.
        notes: What else there is to say, each in a sentence.
    """

    step: int
    operation: Operation | None = None
    source: str = ""
    chain: tuple[Operation, ...] = ()
    operation_count: int = 0
    checked_count: int = 0
    parted_step: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_found(self) -> bool:
        """Whether the beginning of a NaN or infinity was found."""
        return self.operation is not None or bool(self.source)
