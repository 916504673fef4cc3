"""What stands between the network's last weights and its loss, as autograd's nodes tell it.

They were noted once, at the run's first `backward`: the loss first, then every operation back to the first that uses a
weight. Runs that were recorded before have no such fact, and then nothing is concluded from it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradiometer.schema import Run

SHAPING: frozenset[str] = frozenset(
    {
        "Alias",
        "AsStrided",
        "Cat",
        "Clone",
        "Contiguous",
        "Flatten",
        "Index",
        "MaskedSelect",
        "Permute",
        "Reshape",
        "ReshapeAlias",
        "Select",
        "Slice",
        "Squeeze",
        "Stack",
        "T",
        "ToCopy",
        "Transpose",
        "UnsafeView",
        "Unsqueeze",
        "View",
    }
)
"""Operations that move values about and change none of them."""

WEIGHTED: frozenset[str] = frozenset(
    {"Addmm", "Mm", "Bmm", "Mv", "Linear", "Convolution", "NativeBatchNorm", "NativeLayerNorm", "Addmv", "Baddbmm"}
)
"""Operations that give numbers of any size and sign: a layer's own output, not yet put through an output unit."""

LOSS_ENDS: dict[str, tuple[str, ...]] = {
    "cross_entropy": ("LogSoftmax",),
    "nll": ("NllLoss", "NllLoss2D"),
    "squared_error": ("MseLoss", "Sub", "Rsub"),
    "absolute_error": ("L1Loss", "Sub", "Rsub"),
    "smooth_absolute_error": ("SmoothL1Loss", "HuberLoss"),
    "binary_cross_entropy": ("BinaryCrossEntropy",),
    "binary_cross_entropy_with_logits": ("BinaryCrossEntropyWithLogits",),
    "kl_divergence": ("KlDiv", "Mul"),
}
"""Kind of loss to the operation that is the last of its own, seen from the loss; what follows is the output unit."""


@dataclass(frozen=True, slots=True)
class LossPath:
    """What stands between the last weights and the loss.

    Attributes:
        loss: Kind of the loss, a key of `LOSS_ENDS`.
        operations: Autograd's nodes from the loss back, without their `Backward0`.
        softmaxes: For every softmax and log-softmax among them, in order: axis, that axis' size, number of axes.
        network_operations: Names of all nodes behind the first that uses a weight, each once; empty where not noted.
        output_shape: Shape of what is handed to the loss, before any broadcast; None where it is not known.
        target_shape: Shape of the targets likewise.
        target_kind: `classes`, `numbers`, `probabilities`, or None.
        site: `file:line` of the call of `backward`.
    """

    loss: str
    operations: tuple[str, ...]
    softmaxes: tuple[tuple[int, int, int], ...]
    network_operations: frozenset[str]
    output_shape: tuple[int, ...] | None
    target_shape: tuple[int, ...] | None
    target_kind: str | None
    site: str | None

    @property
    def head_start(self) -> int:
        """Index of the first operation that is not the loss' own; the number of operations where none is left."""
        ends = LOSS_ENDS.get(self.loss, ())
        found = next((index for index, name in enumerate(self.operations) if name in ends), None)
        return len(self.operations) if found is None else found + 1

    @property
    def head(self) -> tuple[str, ...]:
        """What was done to the last layer's output before the loss, seen from the loss, reshaping left out."""
        return tuple(name for name in self.operations[self.head_start :] if name not in SHAPING)

    @property
    def output_unit(self) -> str | None:
        """The operation whose values the loss is handed; None where nothing is known."""
        return self.head[0] if self.head else None


def loss_path(run: Run) -> LossPath | None:
    """The path of a run's main loss; None where it was not noted or the kind of loss is not known."""
    fact = run.facts.get("loss_path")
    if not isinstance(fact, Mapping) or not isinstance(fact.get("loss"), str):
        return None
    operations = tuple(plain_name(str(name)) for name in fact.get("operations") or ())
    # The negative log-likelihood of log-probabilities that a log-softmax gave is a cross-entropy in two words.
    is_split = fact["loss"] == "nll" and "LogSoftmax" in operations
    return LossPath(
        loss="cross_entropy" if is_split else str(fact["loss"]),
        operations=operations,
        softmaxes=tuple((int(axis), int(size), int(count)) for axis, size, count in fact.get("softmaxes") or ()),
        network_operations=frozenset(plain_name(str(name)) for name in fact.get("network_operations") or ()),
        output_shape=shape_of(fact.get("output_shape")),
        target_shape=shape_of(fact.get("target_shape")),
        target_kind=fact.get("target_kind"),
        site=fact.get("site"),
    )


def example_count(run: Run) -> int | None:
    """How many examples one batch's loss is a mean over: labelled tokens and pixels count one by one.

    Returns:
        The targets' number, where they are classes; where they are numbers, all but the last axis, for the numbers of
        one output belong together. Where the targets were not seen, the length of the batch; None where that was not
        seen either.
    """
    path = loss_path(run)
    if path is None or path.target_shape is None:
        return int(run.facts.get("batch_size") or 0) or None
    shape = path.target_shape
    is_each = path.target_kind == "classes" or len(shape) == 1
    return math.prod(shape if is_each else shape[:-1])


def plain_name(node: str) -> str:
    """An autograd node's name without its ending.

    Example:
        >>> plain_name("MulBackward1"), plain_name("NllLoss")
        ('Mul', 'NllLoss')
    """
    return re.sub(r"Backward\d*$", "", node)


def shape_of(value: Any) -> tuple[int, ...] | None:
    """A shape as it comes from JSON; None for none."""
    return tuple(int(size) for size in value) if isinstance(value, Sequence) else None
