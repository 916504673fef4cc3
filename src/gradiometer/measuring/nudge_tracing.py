"""Looks into a model once more for `Nudges`: one unit's three ways, one weight's gradient taken apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradiometer.errors import GradiometerError
from gradiometer.measuring.collecting import tensors_in
from gradiometer.measuring.layer_readings import (
    Forward,
    RandomState,
    Reading,
    run_forward,
    trainable,
    undisturbed,
)
from gradiometer.measuring.nudge_examples import axis_of
from gradiometer.measuring.nudge_graph import MOST_EDGES, layer_graph, unit_graph
from gradiometer.measuring.nudge_paths import by_layers, by_paths
from gradiometer.schema.explained import Tracer, UnitAsk, WeightPath
from gradiometer.schema.run import FloatArray

LOSS_TOLERANCE = 1e-4
"""How far the loss may come out beside the first time, relative to it: some operations of a GPU sum in no fixed
order. Weights that were changed behind torch's count of versions are told by it."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a model was asked, to ask it again.

    Attributes:
        model: The model.
        loss_fn: The loss.
        x: The input.
        y: The target.
        drawn: Random state that the forward pass ran from.
        loss: What came out.
        count: Examples of the batch.
    """

    model: nn.Module
    loss_fn: Any
    x: Any
    y: Any
    drawn: RandomState
    loss: float
    count: int

    def state(self) -> tuple[Any, ...]:
        """What has to be the same when the model is asked again."""
        tensors = [*self.model.parameters(), *self.model.buffers(), *tensors_in((self.x, self.y))]
        versions = tuple((id(tensor), tensor._version) for tensor in tensors if not tensor.is_inference())
        return versions, tuple(module.training for module in self.model.modules())


@dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """Asks a model again, and refuses one that has changed.

    Attributes:
        question: What it was asked.
        state: What has to be the same.
    """

    question: Question
    state: tuple[Any, ...]

    @contextmanager
    def asking(self, *, is_cut: bool) -> Iterator[Forward]:
        """The same forward pass again."""
        question = self.question
        if question.state() != self.state:
            raise changed()
        with undisturbed(question.model, question.drawn):
            forward = run_forward(question.model, question.loss_fn, question.x, question.y, is_cut=is_cut)
            loss = float(forward.loss.detach())
            if abs(loss - question.loss) > LOSS_TOLERANCE * abs(question.loss):
                raise changed()
            yield forward

    def gradient_of(self, parameter: str) -> Tensor:
        """Gradient of the loss by a parameter; zeros where the loss does not depend on it."""
        value = named(self.question.model, parameter)
        with self.asking(is_cut=False) as forward:
            (found,) = torch.autograd.grad(forward.loss, [value], allow_unused=True)
        return torch.zeros_like(value) if found is None else found.detach()

    def gradient(self, parameter: str) -> FloatArray:
        """The same on the host."""
        return host(self.gradient_of(parameter))

    def asks(self, layer: str, unit: int, example: int) -> UnitAsk:
        """What an example asks of a unit."""
        with self.asking(is_cut=False) as whole:
            place = place_of(whole, layer)
            reading = whole.readings[place]
            (error,) = torch.autograd.grad(whole.loss, [reading.output], allow_unused=True)
        error = torch.zeros_like(reading.output) if error is None else error
        with self.asking(is_cut=True) as cut:
            return ask_of(cut, cut.readings[place], error, (unit, example), self.question)

    def path(self, parameter: str, index: tuple[int, ...], most_paths: int) -> WeightPath:
        """One weight's gradient, taken apart."""
        value = named(self.question.model, parameter)
        check_index(parameter, value, index)
        number = float(self.gradient_of(parameter)[index])
        with self.asking(is_cut=True) as cut:
            layers = layer_graph(cut, value)
            if layers.edge_count <= MOST_EDGES:
                return by_paths(unit_graph(cut, layers, value, index), parameter, index, number, most_paths)
            with self.asking(is_cut=False) as whole:
                outputs = [reading.output for reading in whole.readings]
                errors = torch.autograd.grad(whole.loss, outputs, allow_unused=True)
            return by_layers(cut, layers, list(errors), value, (parameter, index, number))


def tracer_of(question: Question) -> Tracer:
    """Functions that ask a model again, as it is now."""
    asker = Asker(question, question.state())
    return Tracer(asker.path, asker.asks, asker.gradient)


def ask_of(cut: Forward, reading: Reading, error: Tensor, place: tuple[int, int], question: Question) -> UnitAsk:
    """What an example asks of a unit, by the unit's own operations alone.

    Args:
        cut: The forward pass with its graph cut between layers.
        reading: The unit's layer in it.
        error: Gradient of the loss by the layer's output.
        place: The unit and the example.
        question: What the model was asked.
    """
    unit, example = place
    axis, shape = axis_of(error.shape, question.count), error.shape
    if axis is None or axis == reading.unit_axis:
        raise GradiometerError(f"The output of {reading.layer} has no axis of examples beside that of its units.")
    if not (0 <= unit < shape[reading.unit_axis] and 0 <= example < question.count):
        raise GradiometerError(
            f"{reading.layer} has {shape[reading.unit_axis]} units and the batch {question.count} examples, counted "
            f"from 0; there is no unit {unit} of example {example}."
        )
    chosen = torch.zeros_like(error)
    rows: list[Any] = [slice(None)] * error.dim()
    rows[axis], rows[reading.unit_axis] = example, unit
    chosen[tuple(rows)] = error[tuple(rows)]
    parameters = trainable(question.model)
    below = {one.layer: one.leaf for one in cut.readings if one.leaf is not None and one is not reading}
    below |= {"input" if rank == 0 else f"input#{rank + 1}": leaf for rank, leaf in enumerate(cut.inputs)}
    targets = [*parameters.values(), *below.values()]
    found = torch.autograd.grad(reading.output, targets, chosen, allow_unused=True)
    names = [*parameters, *below]
    wanted = {name: -part.detach() for name, part in zip(names, found, strict=True) if part is not None}
    return UnitAsk(
        layer=reading.layer,
        unit=unit,
        example=example,
        error=float(chosen.sum()),
        weights={
            name: host(own_row(value, unit, shape[reading.unit_axis]))
            for name, value in wanted.items()
            if name in parameters
        },
        activations={
            name: host(of_example(value, example, question.count))
            for name, value in wanted.items()
            if name not in parameters
        },
    )


def own_row(wanted: Tensor, unit: int, unit_count: int) -> Tensor:
    """A unit's own row of a parameter, where the parameter has one for each unit; else all of it."""
    if wanted.dim() == 0 or len(wanted) != unit_count:
        return wanted
    others = wanted.clone()
    others[unit] = 0.0
    return wanted if bool(others.any()) else wanted[unit]


def of_example(wanted: Tensor, example: int, count: int) -> Tensor:
    """One example's part, where there is an axis of examples."""
    axis = axis_of(wanted.shape, count)
    return wanted if axis is None else wanted.select(axis, example)


def place_of(forward: Forward, layer: str) -> int:
    """Rank of a layer's call among the readings."""
    found = next((rank for rank, one in enumerate(forward.readings) if one.layer == layer), None)
    if found is None:
        names = ", ".join(one.layer for one in forward.readings[:20])
        raise GradiometerError(f"No layer {layer!r} was called; there are: {names}.")
    return found


def named(model: nn.Module, parameter: str) -> nn.Parameter:
    """A trainable parameter by its name."""
    found = trainable(model)
    if parameter not in found:
        raise GradiometerError(f"No trainable parameter {parameter!r}; there are: {', '.join(list(found)[:20])}.")
    return found[parameter]


def check_index(parameter: str, value: Tensor, index: tuple[int, ...]) -> None:
    """Refuse a place that the parameter does not have."""
    is_inside = all(0 <= place < size for place, size in zip(index, value.shape, strict=False))
    if len(index) != value.dim() or not is_inside:
        raise GradiometerError(f"{parameter} has the shape {tuple(value.shape)}; there is no weight {index} in it.")


def changed() -> GradiometerError:
    """What is raised where the model is not what it was."""
    return GradiometerError("The model, its mode or the batch has changed since; call gradiometer.nudges again.")


def host(tensor: Tensor) -> FloatArray:
    """A tensor's values on the host."""
    found: FloatArray = tensor.detach().to("cpu", torch.float64).numpy().copy()
    return found
