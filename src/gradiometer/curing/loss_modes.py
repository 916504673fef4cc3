"""Modes over a script's calls of torch that bring its output unit and its loss together, one for each way they differ.

They are plain torch, for the text of these classes is also the code that a cure writes for the user. What the model
gives to the rest of the script stays as it is wherever the loss alone can be corrected.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary


class PairedLoss(TorchFunctionMode):
    """Remembers what every output unit was handed, also behind a change of shape or format."""

    units: tuple[str, ...] = ("softmax", "sigmoid", "tanh", "hardtanh")
    shapings = (
        *("view", "reshape", "squeeze", "unsqueeze", "flatten", "permute", "transpose", "movedim", "contiguous"),
        *("view_as", "reshape_as", "select", "narrow", "__getitem__", "float", "double", "to", "type_as"),
    )
    acts_on: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.sources: Any = WeakIdKeyDictionary()
        self.heeded = {*self.units, *(f"{unit}_" for unit in self.units), *self.shapings, *self.acts_on}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make one call, corrected where it has to be."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").removeprefix("special_")
        if name not in self.heeded:
            return func(*args, **kwargs)
        unit = name if name.startswith("__") else name.removesuffix("_")
        given: Any = args[0] if args else kwargs.get("input")
        is_written_over = unit in self.units and (unit != name or bool(kwargs.get("inplace")))
        before = given.clone() if is_written_over else given
        result = self.corrected(name, func, args, kwargs)
        if result is None:
            result = func(*args, **kwargs)
        if unit in self.units:
            self.sources[result] = (unit, before)
        elif name in self.shapings and isinstance(given, Tensor) and given in self.sources:
            known, inner = self.sources[given]
            self.sources[result] = (known, func(inner, *args[1:], **kwargs))
        return result

    def unit_of(self, tensor: Any) -> tuple[str, Any]:
        """The unit that gave a tensor, and what it was handed; no unit and the tensor itself where none did."""
        known: tuple[str, Any] = self.sources.get(tensor, ("", tensor)) if isinstance(tensor, Tensor) else ("", tensor)
        return known

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call gives where it is not to be made as it is; None where it is."""
        return None


class LossOnLogits(PairedLoss):
    """Hands a loss that takes softmax, logarithm or sigmoid itself what the output unit was handed."""

    acts_on: tuple[str, ...] = ("cross_entropy", "binary_cross_entropy_with_logits", "nll_loss")

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same loss of the scores; without gradients, when a script evaluates, its loss stays."""
        unit, scores = self.unit_of(args[0] if args else kwargs.get("input"))
        if not unit or not torch.is_grad_enabled():
            return None
        rest = {key: value for key, value in kwargs.items() if key != "input"}
        if name == "nll_loss":
            scores = F.log_softmax(scores, dim=1 if scores.dim() > 1 else 0)
        return func(scores, *args[1:], **rest) if name in LossOnLogits.acts_on else None


class LossOnLogarithms(PairedLoss):
    """Hands a negative log-likelihood the logarithms of probabilities."""

    units = ("tanh", "relu")
    acts_on = ("nll_loss",)

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same loss behind a logarithmic softmax."""
        if name != "nll_loss" or not torch.is_grad_enabled():
            return None
        _, scores = self.unit_of(args[0] if args else kwargs["input"])
        rest = {key: value for key, value in kwargs.items() if key != "input"}
        return func(F.log_softmax(scores, dim=1 if scores.dim() > 1 else 0), *args[1:], **rest)


class Likelihood(PairedLoss):
    """Puts the cross-entropy that belongs to a sigmoid, tanh or softmax in the place of a squared error."""

    units: tuple[str, ...] = ("softmax", "sigmoid", "tanh")
    differing = ("sub", "subtract", "rsub", "__sub__", "__rsub__")
    acts_on: tuple[str, ...] = ("mse_loss", *differing, "square", "pow", "__pow__", "mul", "__mul__", "mean", "sum")

    def __init__(self) -> None:
        super().__init__()
        self.differences: Any = WeakIdKeyDictionary()
        self.squares: Any = WeakIdKeyDictionary()

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The cross-entropy for `mse_loss`, and for squares of differences at their mean or sum."""
        if not torch.is_grad_enabled():
            return None
        if name == "mse_loss":
            given = [*args, *(kwargs[key] for key in ("input", "target") if key in kwargs)]
            unit, scores = self.unit_of(given[0])
            return self.reduced(unit, scores, given[1], kwargs.get("reduction", "mean")) if unit else None
        return self.by_hand(name, func, args, kwargs)

    def by_hand(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Follow a squared error that is written out: difference, square, then means and sums."""
        first, second = (*args, None, None)[:2]
        if name in self.differing:
            result = func(*args, **kwargs)
            for one, other in ((first, second), (second, first)):
                if self.unit_of(one)[0] and isinstance(other, Tensor) and not other.requires_grad:
                    self.differences[result] = (*self.unit_of(one), other)
            return result
        is_square = name == "square" or (name in ("pow", "__pow__") and second == 2)
        is_square = is_square or (name in ("mul", "__mul__") and first is second)
        if is_square and isinstance(first, Tensor) and first in self.differences:
            result = func(*args, **kwargs)
            self.squares[result] = self.differences[first]
            return result
        if isinstance(first, Tensor) and first in self.squares and name in ("mean", "sum"):
            unit, scores, targets = self.squares[first]
            if len(args) == 1 and not kwargs:
                return self.reduced(unit, scores, targets, name)
            return func(self.reduced(unit, scores, targets, "none"), *args[1:], **kwargs)
        return None

    def reduced(self, unit: str, scores: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """The cross-entropy between what a unit makes of its scores and targets in the unit's range."""
        targets = targets.to(scores.dtype)
        if unit == "softmax" and reduction == "none":
            return -targets * F.log_softmax(scores, dim=1)
        if unit == "softmax":
            return F.cross_entropy(scores, targets, reduction=reduction)
        if unit == "tanh":  # tanh(x) is 2 sigmoid(2 x) - 1
            scores, targets = 2.0 * scores, (targets + 1.0) / 2.0
        return F.binary_cross_entropy_with_logits(scores, targets, reduction=reduction)


class SigmoidOfOneUnit(Likelihood):
    """Puts a sigmoid in the place of a softmax over a single unit, with the binary cross-entropy behind it."""

    units = ("sigmoid",)
    acts_on = (*Likelihood.acts_on, "softmax", "cross_entropy")

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A sigmoid for a softmax over one unit; binary cross-entropy for a cross-entropy or squared error."""
        first: Any = args[0] if args else kwargs.get("input")
        if name == "softmax" and first.dim() == 2 and first.shape[1] == 1:
            result = torch.sigmoid(first)
            self.sources[result] = ("sigmoid", first)
            return result
        if name == "cross_entropy" and torch.is_grad_enabled() and first.dim() == 2 and first.shape[1] == 1:
            targets = args[1] if len(args) > 1 else kwargs["target"]
            _, scores = self.unit_of(first)
            return self.reduced("sigmoid", scores, targets.reshape(scores.shape), kwargs.get("reduction", "mean"))
        return super().corrected(name, func, args, kwargs)


class SoftmaxOverClasses(LossOnLogits):
    """Lets a softmax that runs along the batch run along the classes."""

    acts_on: tuple[str, ...] = (*LossOnLogits.acts_on, "log_softmax")

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same softmax along the other axis of a table of scores."""
        first: Any = args[0] if args else kwargs.get("input")
        dim = args[1] if len(args) > 1 else kwargs.get("dim")
        if name in ("softmax", "log_softmax") and first.dim() == 2 and dim in (0, -2):
            rest = {key: value for key, value in kwargs.items() if key not in ("input", "dim")}
            return func(first, 1, *args[2:], **rest)
        return super().corrected(name, func, args, kwargs)


class OneUnit(PairedLoss):
    """Takes out the unit in front of a sigmoid that is squashed once more."""

    units = ("softmax", "sigmoid", "relu")

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The sigmoid of what the inner unit was handed."""
        unit, scores = self.unit_of(args[0] if args else kwargs.get("input"))
        return func(scores) if name == "sigmoid" and unit else None


class NoOutputUnit(PairedLoss):
    """Takes the unit out that the network's output has gone through."""

    def __init__(self, units: tuple[str, ...] = ("softmax", "sigmoid", "tanh", "hardtanh", "relu", "softplus")) -> None:
        self.units = units
        super().__init__()
        self.outputs: Any = WeakIdKeyDictionary()

    def __deepcopy__(self, memo: dict[int, Any]) -> "NoOutputUnit":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.units,)

    def corrected(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a unit is handed that the script itself puts behind the model."""
        given = args[0] if args else kwargs.get("input")
        is_behind = isinstance(given, Tensor) and given in self.outputs
        return given if is_behind and name.removesuffix("_") in self.units else None

    def without_unit(self, module: Any, inputs: Any, output: Any) -> Any:
        """A forward hook of the model: what its output unit was handed."""
        if isinstance(output, (tuple, list)):
            parts = [self.without_unit(module, inputs, part) for part in output]
            return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
        _, scores = self.unit_of(output)
        if isinstance(scores, Tensor):
            self.outputs[scores] = True
        return scores


class TargetsInShape(TorchFunctionMode):
    """Gives targets of shape [N] the shape [N, 1] of the outputs, and the other way round, where they would spread."""

    losses = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
    differences = ("sub", "subtract", "rsub", "__sub__", "__rsub__")

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Make one call, with the second of two tensors in the first one's shape."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in self.losses or name in self.differences:
            given = [*args, *(kwargs[key] for key in ("input", "other", "target") if key in kwargs)]
            rest = {key: value for key, value in kwargs.items() if key not in ("input", "other", "target")}
            if len(given) > 1 and self.would_spread(given[0], given[1], is_loss=name in self.losses):
                return func(given[0], given[1].reshape(given[0].shape), *given[2:], **rest)
        return func(*args, **kwargs)

    def would_spread(self, first: Any, second: Any, *, is_loss: bool) -> bool:
        """Whether outputs and targets have shapes [N, 1] and [N]; in a difference only one has a gradient."""
        if not (isinstance(first, Tensor) and isinstance(second, Tensor)) or min(first.dim(), second.dim()) < 1:
            return False
        column, row = (first, second) if first.dim() > second.dim() else (second, first)
        is_pair = tuple(column.shape) == (*row.shape, 1) and row.dim() == 1
        return is_pair and len(row) > 1 and (is_loss or first.requires_grad != second.requires_grad)
