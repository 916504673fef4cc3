"""How each scheme draws each layer: the tables behind `redraw_weights` and `break_symmetry`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from gradiometer.curing.branches import branch_ends
from gradiometer.curing.cure import Patient
from gradiometer.curing.drawing import Draw, canonical_shape, is_transposed
from gradiometer.curing.known_activation import known_activation
from gradiometer.curing.parameter_drawing import ParameterDraw
from gradiometer.curing.recurrent_weights import GATE_COUNTS, glorot_bound, recurrent_draws, recurrent_layers
from gradiometer.curing.survey import NORMS, WeightedLayer, ranks_of, weighted_layers
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.measuring.layers import weighted_fans
from gradiometer.theory.critical_scale import CriticalScale, critical_scale

SCHEMES = ("glorot", "he", "lecun", "orthogonal", "delta_orthogonal", "critical")
"""Ways to draw weights."""

IDENTITY = CriticalScale(sigma_w=1.0, sigma_b=0.0, q=0.0, output_mean=0.0, entry_rms=1.0)
"""For layers with nothing between them but recurrence or attention."""

EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a model is drawn.

    Attributes:
        layers: How each linear and convolutional layer is drawn, by place, in order.
        parameters: How parameters of other layers are drawn, by name, in order.
        branches: Residual branches whose last layer is scaled down.
    """

    layers: dict[str, Draw]
    parameters: dict[str, ParameterDraw]
    branches: int = 0


def drawing_of(patient: Patient, scheme: str) -> Drawing:
    """How each layer is drawn, in order of execution.

    Args:
        patient: The patient.
        scheme: One of `SCHEMES`.

    Returns:
        The draws.

    Raises:
        CureRefusedError: There is no hidden layer, nothing that the scheme is for, or `critical` has no activation to
            go by.
    """
    layers = {place: layer for place, layer in weighted_layers(patient) if layer.weight.requires_grad}
    if scheme == "critical":
        return critical_drawing(patient, layers)
    if len(layers) < 2:
        raise CureRefusedError("the network has no hidden layer whose weights could be redrawn")
    if scheme == "delta_orthogonal" and not any(fits_delta(layer) for layer in layers.values()):
        raise CureRefusedError("there is no convolution of stride 1 whose odd kernel keeps the size of the image")
    last = list(layers)[-1]
    return Drawing({place: textbook_draw(layer, scheme, place == last) for place, layer in layers.items()}, {})


def textbook_draw(layer: WeightedLayer, scheme: str, is_last: bool) -> Draw:  # noqa: FBT001 - called in one place
    """Glorot, or He for all but the output layer; LeCun; orthogonal with gain 1."""
    fan_in, fan_out = weighted_fans(layer)
    if scheme == "lecun":
        return Draw("normal", rounded(math.sqrt(1.0 / fan_in)))
    if scheme == "he" and not is_last:
        return Draw("normal", rounded(math.sqrt(2.0 / fan_in)))
    if scheme == "delta_orthogonal" and fits_delta(layer):
        return Draw("delta_orthogonal", 1.0)
    if scheme.endswith("orthogonal"):
        return Draw("orthogonal", 1.0)
    return Draw("uniform", glorot_bound(fan_in, fan_out))


def critical_drawing(patient: Patient, layers: Mapping[str, WeightedLayer]) -> Drawing:
    """Orthogonal at the scale of the network's own activation, and everything else that a signal passes.

    Raises:
        CureRefusedError: There is no hidden layer, or no activation to go by.
    """
    attention = attention_layers(patient.model)
    parameters = other_draws(patient)
    if len(layers) < 2 and not parameters:
        raise CureRefusedError("the network has no hidden layer whose weights could be redrawn")
    scale = scale_of(patient, is_needed=not parameters and not attention & set(layers))
    entry_place = entry_layer(patient, list(layers))
    last = list(layers)[-1] if layers else None
    draws = {
        place: textbook_draw(layer, "glorot", is_last=False)
        if place in attention
        else critical_draw(layer, scale, input_rms(patient) if place == entry_place else None, is_last=place == last)
        for place, layer in layers.items()
    }
    return with_scaled_branches(patient, Drawing(draws, parameters))


def scale_of(patient: Patient, *, is_needed: bool) -> CriticalScale:
    """The critical scale of the hidden activation.

    Raises:
        CureRefusedError: There is none, though it is needed.
    """
    activation = known_activation(patient)
    if activation is None and is_needed:
        raise CureRefusedError("no hidden activation was found whose critical scale could be computed")
    if activation is None:
        return IDENTITY
    try:
        return critical_scale(activation)
    except SettingsError as error:
        raise CureRefusedError(str(error)) from error


def critical_draw(layer: WeightedLayer, scale: CriticalScale, entry_rms: float | None, *, is_last: bool) -> Draw:
    """One layer's draw; `entry_rms` is the size of its input where it is the first layer."""
    if entry_rms is not None:
        sigma = math.sqrt(max(scale.entry_rms**2 - scale.sigma_b**2, 0.0)) / entry_rms
    else:
        sigma = 1.0 if is_last else scale.sigma_w
    mean = 0.0 if entry_rms is not None or layer.bias is None or is_transposed(layer) else scale.output_mean
    bias_scale = 0.0 if is_last else rounded(scale.sigma_b)
    is_delta = entry_rms is None and not is_last and fits_delta(layer)
    factor = delta_factor(layer) if is_delta else orthogonal_factor(layer)
    return Draw("delta_orthogonal" if is_delta else "orthogonal", rounded(sigma * factor), bias_scale, mean)


def other_draws(patient: Patient) -> dict[str, ParameterDraw]:
    """Attention by Glorot, recurrent weights orthogonal from state to state, embeddings normal; biases stay."""
    draws: dict[str, ParameterDraw] = {}
    linear = {id(layer.weight) for layer in patient.model.modules() if isinstance(layer, nn.Linear)}
    for place, layer, gates in recurrent_layers(patient.model):
        draws |= recurrent_draws(place, layer, gates, "orthogonal", with_biases=False)
    for place, module in patient.model.named_modules():
        prefix = f"{place}." if place else ""
        if isinstance(module, nn.MultiheadAttention):
            draws |= {f"{prefix}{name}": draw for name, draw in attention_draws(module).items()}
        elif isinstance(module, EMBEDDINGS) and module.weight.requires_grad:
            spread = rounded(module.embedding_dim**-0.5) if id(module.weight) in linear else 1.0
            draws[f"{prefix}weight"] = ParameterDraw("normal", (spread,), module.padding_idx)
    return draws


def attention_draws(module: nn.MultiheadAttention) -> dict[str, ParameterDraw]:
    """Glorot's for queries, keys, values and output, each by itself."""
    draws = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and name.endswith("weight"):
            blocks = 3 if name == "in_proj_weight" else 1
            bound = glorot_bound(parameter.shape[1], parameter.shape[0] // blocks)
            draws[name] = ParameterDraw("uniform", (bound,) * blocks)
    return draws


def attention_layers(model: nn.Module) -> set[str]:
    """Places of the linear layers that a module of the script's own uses for attention: its code weighs by softmax."""
    found = set()
    for place, module in model.named_modules():
        code = getattr(type(module).forward, "__code__", None)
        if code is None or type(module).__module__.startswith("torch.nn."):
            continue
        children = [name for name, child in module.named_children() if isinstance(child, nn.Linear)]
        weighs = "scaled_dot_product_attention" in code.co_names or (
            "softmax" in code.co_names and bool({"matmul", "bmm", "einsum", "transpose", "mT"} & set(code.co_names))
        )
        if weighs and len(children) >= 2:
            found |= {f"{place}.{name}" if place else name for name in children}
    return found


def with_scaled_branches(patient: Patient, drawing: Drawing) -> Drawing:
    """Scale the last layer of each of B residual branches by 1/sqrt(B), so that depth does not add up."""
    modules = {place: patient.model.get_submodule(place) for place in drawing.layers}
    for place, module in patient.model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            modules[place] = module
    ends = branch_ends(patient, modules)
    factor = max(len(ends), 1) ** -0.5
    layers, parameters = dict(drawing.layers), dict(drawing.parameters)
    for place in ends:
        if place in layers:
            layers[place] = replace(layers[place], scale=rounded(layers[place].scale * factor))
            continue
        name = f"{place}.out_proj.weight"
        scales = tuple(scale if scale is None else rounded(scale * factor) for scale in parameters[name].scales)
        parameters[name] = replace(parameters[name], scales=scales)
    return Drawing(layers, parameters, len(ends))


def entry_layer(patient: Patient, places: list[str]) -> str | None:
    """The layer that the input enters by; None where a recurrent layer or attention comes before it."""
    before = kinds_before(patient, places)
    return (
        None
        if not places or any(issubclass(kind, (*GATE_COUNTS, nn.MultiheadAttention)) for kind in before)
        else places[0]
    )


def kinds_before(patient: Patient, places: list[str]) -> set[type[nn.Module]]:
    """Classes of the modules that come before the first layer."""
    ranks = ranks_of(patient)
    modules = dict(patient.model.named_modules())
    return {type(modules[place]) for place in modules if places and ranks.get(place, math.inf) < ranks[places[0]]}


def rounded(scale: float) -> float:
    """Six digits: no network can tell, and the snippet reads better."""
    return float(f"{scale:.6g}")


def orthogonal_factor(layer: WeightedLayer) -> float:
    """What brings an orthogonal matrix's entries to variance 1 / fan_in, so that the forward signal keeps its size."""
    shape = canonical_shape(layer)
    return math.sqrt(max(shape[0], math.prod(shape[1:])) / weighted_fans(layer)[0])


def delta_factor(layer: WeightedLayer) -> float:
    """The same for the one matrix in the middle of a kernel."""
    outputs, inputs = canonical_shape(layer)[:2]
    return math.sqrt(max(outputs, inputs) / inputs)


def fits_delta(layer: WeightedLayer) -> bool:
    """Whether it is a convolution whose middle position alone hands the image on: odd kernel, padded, stride 1."""
    if isinstance(layer, nn.Linear) or layer.transposed or layer.groups != 1 or set(layer.stride) != {1}:
        return False
    if any(size % 2 == 0 for size in layer.kernel_size) or max(layer.kernel_size) == 1:
        return False
    if isinstance(layer.padding, str):
        return layer.padding == "same"
    sizes = zip(layer.padding, layer.dilation, layer.kernel_size, strict=True)
    return all(2 * int(padding) == dilation * (size - 1) for padding, dilation, size in sizes)


def input_rms(patient: Patient) -> float:
    """Root mean square of what enters the first layer, as far as it is known.

    Returns:
        1 for a standardised input or one behind a norm, the spread that embeddings are drawn with, what the diagnosed
        run measured; 1 where nothing is known.
    """
    places = [place for place, _ in weighted_layers(patient)]
    if any(issubclass(kind, NORMS) for kind in kinds_before(patient, places)):
        return 1.0
    embeddings = [draw for name, draw in other_draws(patient).items() if draw.distribution == "normal"]
    if embeddings:
        return float(embeddings[0].scales[0] or 1.0)
    has_scale = any(name.rpartition(".")[2] == "input_spread" for name, _ in patient.model.named_buffers())
    if patient.run is None or has_scale:
        return 1.0
    measured = np.asarray(patient.run.snapshot_columns.get("input_rms", np.zeros(0)))
    usable = measured[np.isfinite(measured) & (measured > 0.0)]
    return float(f"{usable[0]:.3g}") if len(usable) else 1.0
