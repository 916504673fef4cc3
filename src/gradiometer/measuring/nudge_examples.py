"""What single examples of a batch ask of each parameter: the norms of their gradients."""

from collections import Counter

import torch
from torch import Tensor, nn

from gradiometer.measuring.example_norms import uses_in_graph
from gradiometer.measuring.layer_readings import Forward, Reading
from gradiometer.measuring.per_example import PER_EXAMPLE, LayerUse, mixes_examples, squared_gradient_norms

MOST_SINGLE = 64
"""Examples for which a parameter without a rule is measured by one backward pass each."""

PARTS_TOLERANCE = 1e-3
"""How far examples' gradients may add up beside the batch's, relative to it: float32 sums in another order are off by
1e-5, and a loss with a term beside the output's by far more."""

MIXED = "batch normalisation in training mode lies behind it"


def asked_norms(
    forward: Forward,
    output: Tensor | None,
    of_output: Tensor | None,
    errors: list[Tensor | None],
    parameters: dict[str, nn.Parameter],
    gradients: dict[str, Tensor],
    count: int,
) -> tuple[dict[str, float], dict[str, str]]:
    """Sum over examples of the norm of what each contributes to a parameter's gradient.

    Args:
        forward: The forward pass, with its graph.
        output: The model's output.
        of_output: The gradient by it.
        errors: The gradient by every reading's output.
        parameters: Trainable parameters by name.
        gradients: Their gradients.
        count: Examples of the batch.

    Returns:
        The sums by name of the parameter; for each other parameter why its examples can't be told apart.
    """
    names = {id(value): name for name, value in parameters.items()}
    norms, reasons = norms_by_rules(forward, errors, names, count)
    rest = [name for name in parameters if name not in norms]
    is_mixed = any(is_mixing(reading) for reading in forward.readings)
    is_batched = output is not None and of_output is not None and output.dim() > 0 and len(output) == count
    alone = [name for name in rest if not is_mixed or reasons.get(name, MIXED) != MIXED]
    if alone and is_batched and count <= MOST_SINGLE:
        assert output is not None
        assert of_output is not None
        norms.update(norms_one_by_one(output, of_output, {name: parameters[name] for name in alone}, gradients))
    for name in rest:
        if name not in norms:
            reasons.setdefault(name, "it is used outside of a layer whose examples can be told apart")
    return norms, {name: reason for name, reason in reasons.items() if name not in norms}


def norms_by_rules(
    forward: Forward, errors: list[Tensor | None], names: dict[int, str], count: int
) -> tuple[dict[str, float], dict[str, str]]:
    """The sums for layers that `per_example` has a rule for."""
    last_mixing = max((rank for rank, one in enumerate(forward.readings) if is_mixing(one)), default=-1)
    uses, seen = [], Counter[int]()
    reasons: dict[str, str] = {}
    for rank, (reading, error) in enumerate(zip(forward.readings, errors, strict=True)):
        own = [] if reading.module is None else [one for one in reading.module.parameters() if one.requires_grad]
        seen.update(id(value) for value in own)
        if not own or reading.module is None:
            continue
        axis = axis_of(reading.output.shape, count)
        source = reading.source
        is_known = source is not None and axis is not None and axis_of(source.shape, count) == axis
        reason = "" if error is not None and is_known else "its input or its gradient is not known"
        reason = reason if type(reading.module) in PER_EXAMPLE else f"no rule for a {reading.kind}"
        reason = MIXED if rank <= last_mixing else reason
        if reason:
            for value in own:
                reasons.setdefault(names[id(value)], reason)
        elif error is not None and source is not None and axis is not None:
            uses.append(LayerUse(reading.module, source.detach(), error, axis))
    found = squared_gradient_norms(uses)
    for value, reason in found.not_measured.items():
        reasons.setdefault(names[id(value)], reason)
    used = uses_in_graph(forward.loss.grad_fn) if forward.loss.grad_fn is not None else {}
    norms = {
        names[id(value)]: float(squares.sqrt().sum())
        for value, squares in found.squared_norms.items()
        if used.get(id(value), 0) <= seen[id(value)] and names[id(value)] not in reasons
    }
    return norms, reasons


def norms_one_by_one(
    output: Tensor, of_output: Tensor, parameters: dict[str, nn.Parameter], gradients: dict[str, Tensor]
) -> dict[str, float]:
    """The sums by one backward pass for each example, where these add up to the batch's gradient."""
    sums = dict.fromkeys(parameters, 0.0)
    totals = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for example in range(len(output)):
        one = torch.zeros_like(of_output)
        one[example] = of_output[example]
        found = torch.autograd.grad(output, list(parameters.values()), one, retain_graph=True, allow_unused=True)
        for name, gradient in zip(parameters, found, strict=True):
            if gradient is not None:
                sums[name] += float(torch.linalg.vector_norm(gradient))
                totals[name] += gradient
    return {name: value for name, value in sums.items() if is_close(totals[name], gradients[name])}


def is_close(parts: Tensor, whole: Tensor) -> bool:
    """Whether parts add up to the whole."""
    distance = torch.linalg.vector_norm(parts - whole)
    return bool(distance <= PARTS_TOLERANCE * torch.linalg.vector_norm(whole))


def is_mixing(reading: Reading) -> bool:
    """Whether a call makes an example's output depend on the others of its batch."""
    if reading.module is None:
        return reading.kind == "batch_norm"
    return mixes_examples(reading.module)


def axis_of(shape: torch.Size, count: int) -> int | None:
    """Axis of examples of a tensor, None where it has none."""
    if len(shape) >= 1 and shape[0] == count:
        return 0
    return 1 if len(shape) >= 3 and shape[1] == count else None
