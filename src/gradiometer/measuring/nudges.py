"""What one batch asks of every layer, unit and weight of a model, which stays exactly as it was.

The model runs once on the batch, in the mode that it is in, and the loss is asked for its gradient by every layer's
output and every parameter. Nothing of the size of batch times parameters is stored: examples are told apart by the
norms of `per_example`, and where a layer has no rule for that, one backward pass each, if they are few. What
`Nudges.path` and `Nudges.asks` tell is computed when it is asked for, by the same forward pass with the graph cut
between layers (`layer_readings`).

Source:
    Nielsen, "Neural networks and deep learning", 2015, chapter 2; the three ways (bias, weights in proportion to
    activations, activations in proportion to weights) are those of Sanderson, "What is backpropagation really
    doing?", 2017.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.errors import SettingsError
from gradiometer.measuring.calls import first_tensor
from gradiometer.measuring.collecting import batch_size_of, tensors_in
from gradiometer.measuring.exact_format import exact_format
from gradiometer.measuring.layer_readings import (
    Forward,
    RandomState,
    Reading,
    arguments_of,
    run_forward,
    trainable,
    undisturbed,
)
from gradiometer.measuring.nudge_examples import asked_norms
from gradiometer.measuring.nudge_tracing import Question, tracer_of
from gradiometer.schema.explained import LayerNudge, Nudges, ParameterNudge, SensitiveWeight
from gradiometer.schema.run import FloatArray

MOST_VALUES = 1 << 22
"""Activations and errors that are kept in all, 64 MiB; in a larger network layers have their norms alone."""

LossFunction = Callable[..., Tensor]

Gradients = dict[str, Tensor]
"""Gradient by every trainable parameter, by name; zeros where the loss does not depend on it."""


def measure_nudges(
    model: nn.Module,
    loss_fn: LossFunction,
    x: Any,
    y: Any,
    *,
    data: Iterable[Any] | None = None,
    most_sensitive: int = 10,
    most_values: int = MOST_VALUES,
) -> Nudges:
    """Tell what a batch asks of every layer, unit and weight.

    Args:
        model: The model, in the mode in which it is to be asked; parameters, gradients, buffers, mode and random
            state stay as they are.
        loss_fn: Called with the model's output and `y`; returns a scalar.
        x: The model's input, batch first; a tuple of arguments or a dictionary of keyword arguments where it has
            several.
        y: The target.
        data: Batches (input, target) of the data set, for the batch's direction against the true gradient. The loss
            is taken for a mean over examples there.
        most_sensitive: Weights to list by their absolute gradient.
        most_values: Activations and errors to keep in all.

    Returns:
        What it asks. Where the loss is not finite, gradients hold what autograd gives.

    Raises:
        SettingsError: The loss is no scalar or depends on no weight and no input, or the batch is empty.
    """
    drawn, parameters = RandomState.take(), trainable(model)
    given = tuple(tensors_in(x))
    count = batch_size_of(model, given) or 0
    if count == 0:
        raise SettingsError("nudges needs a batch of at least one example: a tensor with examples as its first axis.")
    with undisturbed(model):
        forward = run_forward(model, loss_fn, x, y, is_cut=False)
        output = first_tensor(forward.output)
        errors, of_output, gradients = backward(forward, output, parameters)
        norms, reasons = asked_norms(forward, output, of_output, errors, parameters, gradients, count)
        loss = float(forward.loss.detach())
        is_kept = 2 * sum(reading.output.numel() for reading in forward.readings) <= most_values
        layers = tuple(
            describe_layer(reading, error, is_kept=is_kept)
            for reading, error in zip(forward.readings, errors, strict=True)
        )
    true = None if data is None else true_gradients(model, loss_fn, data, parameters)
    sensitive, median = sensitive_weights(gradients, most_sensitive)
    is_small = output is not None and output.numel() <= most_values
    return Nudges(
        loss=loss,
        example_count=count,
        outputs=array_of(output) if is_small and output is not None else None,
        wanted=-array_of(of_output) if is_small and of_output is not None else None,
        targets=classes_of(y, count),
        layers=layers,
        parameters=describe_parameters(gradients, norms, reasons, true),
        sensitive=sensitive,
        median_gradient=median,
        true_cosine=None if true is None else cosine(list(gradients.values()), [true[name] for name in gradients]),
        tracer=tracer_of(Question(model, loss_fn, x, y, drawn, loss, count)),
        inputs=array_of(given[0]) if given[0].numel() <= most_values else None,
    )


def backward(
    forward: Forward, output: Tensor | None, parameters: dict[str, nn.Parameter]
) -> tuple[list[Tensor | None], Tensor | None, Gradients]:
    """Gradients by every reading's output, by the model's output, and by every parameter; the graph stays.

    Raises:
        SettingsError: The loss is no scalar, or has no graph.
    """
    loss = forward.loss
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise SettingsError("loss_fn has to return one number, a tensor of one element.")
    if not loss.requires_grad:
        raise SettingsError("The loss depends on no weight and no input: nothing can be asked of the network.")
    tensors = [reading.output for reading in forward.readings]
    ends = [] if output is None else [output]
    found = torch.autograd.grad(
        loss, [*tensors, *ends, *parameters.values()], retain_graph=True, allow_unused=True, grad_outputs=None
    )
    rest = found[len(tensors) + len(ends) :]
    gradients = {
        name: torch.zeros_like(value) if gradient is None else gradient.detach()
        for (name, value), gradient in zip(parameters.items(), rest, strict=True)
    }
    return list(found[: len(tensors)]), found[len(tensors)] if ends else None, gradients


def describe_layer(reading: Reading, error: Tensor | None, *, is_kept: bool) -> LayerNudge:
    """One call of a layer as a noun."""
    output = reading.output.detach()
    norm = float(torch.linalg.vector_norm(output, dtype=wide(output)))
    return LayerNudge(
        layer=reading.layer,
        kind=reading.kind,
        shape=tuple(output.shape),
        activations=array_of(output) if is_kept else None,
        errors=array_of(error) if is_kept and error is not None else None,
        activation_rms=norm / max(output.numel(), 1) ** 0.5,
        error_norm=None if error is None else float(torch.linalg.vector_norm(error, dtype=wide(error))),
        unit_axis=reading.unit_axis,
    )


def describe_parameters(
    gradients: Gradients, norms: dict[str, float], reasons: dict[str, str], true: Gradients | None
) -> tuple[ParameterNudge, ...]:
    """Every trainable parameter as a noun."""
    found = []
    for name, gradient in gradients.items():
        norm, asked = float(torch.linalg.vector_norm(gradient, dtype=wide(gradient))), norms.get(name)
        found.append(
            ParameterNudge(
                parameter=name,
                gradient_norm=norm,
                asked_norm=asked,
                agreement=norm / asked if asked else None,
                true_cosine=None if true is None else cosine([gradient], [true[name]]),
                reason=reasons.get(name, ""),
            )
        )
    return tuple(found)


def true_gradients(
    model: nn.Module, loss_fn: LossFunction, data: Iterable[Any], parameters: dict[str, nn.Parameter]
) -> Gradients:
    """Mean gradient over a data set, each batch weighed by its examples.

    Raises:
        SettingsError: There is no example.
    """
    sums, total = {name: torch.zeros_like(value) for name, value in parameters.items()}, 0
    with undisturbed(model):
        for inputs, target in data:
            args, kwargs = arguments_of(inputs)
            count = batch_size_of(model, tuple(tensors_in(inputs))) or 0
            found = torch.autograd.grad(
                loss_fn(model(*args, **kwargs), target), list(parameters.values()), allow_unused=True
            )
            total += count
            for total_of, gradient in zip(sums.values(), found, strict=True):
                if gradient is not None:
                    total_of.add_(gradient.detach(), alpha=count)
    if total == 0:
        raise SettingsError("The data set for the true gradient has no example.")
    return {name: value / total for name, value in sums.items()}


def sensitive_weights(gradients: Gradients, most: int) -> tuple[tuple[SensitiveWeight, ...], float]:
    """Weights with the greatest absolute gradients, and the median over all (the lower one of two).

    Returns:
        Weights, greatest first, without those that are not finite; the median, nan where there is no finite one.
    """
    candidates: list[tuple[float, str, int]] = []
    for name, gradient in gradients.items():
        sizes = gradient.abs().flatten()
        sizes = torch.where(sizes.isfinite(), sizes, -1.0)
        values, places = sizes.topk(min(most, sizes.numel()))
        candidates += [(size, name, place) for size, place in zip(values.tolist(), places.tolist(), strict=True)]
    candidates = sorted((one for one in candidates if one[0] >= 0.0), key=lambda one: -one[0])[:most]
    flat = [gradient.abs().flatten().to("cpu", wide(gradient)) for gradient in gradients.values()]
    median = float(torch.cat(flat).nanmedian()) if flat and sum(len(one) for one in flat) else float("nan")
    found = []
    for size, name, place in candidates:
        index = tuple(int(axis) for axis in np.unravel_index(place, tuple(gradients[name].shape)))
        times = size / median if median > 0.0 else None
        found.append(SensitiveWeight(name, index, float(gradients[name][index]), times))
    return tuple(found), median


def cosine(one: list[Tensor], other: list[Tensor]) -> float | None:
    """Cosine between two gradients given in parts; None where either is zero."""
    product = sum(float((a.to(wide(a)) * b.to(wide(b))).sum()) for a, b in zip(one, other, strict=True))
    squares = [sum(float(part.to(wide(part)).square().sum()) for part in parts) for parts in (one, other)]
    size = (squares[0] * squares[1]) ** 0.5
    return product / size if size > 0.0 else None


def classes_of(target: Any, count: int) -> tuple[int, ...] | None:
    """The classes of a batch's examples; None where the target is not one whole number for each."""
    if not isinstance(target, Tensor) or target.is_floating_point() or target.shape != (count,):
        return None
    return tuple(int(label) for label in target.tolist())


def array_of(tensor: Tensor) -> FloatArray:
    """A tensor's values on the host."""
    found: FloatArray = tensor.detach().to("cpu", torch.float64).numpy().copy()
    return found


def wide(tensor: Tensor) -> torch.dtype:
    """Format to sum a tensor's values in: float32 at least, float64 where the device has it."""
    return exact_format(tensor.device)
