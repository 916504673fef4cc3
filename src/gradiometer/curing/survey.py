"""What a cure has to know of a network: its weighted layers in order, its output layer, its hidden activations.

The diagnosed run knows the order in which layers were executed. Without one the order of registration stands for it.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import UninitializedParameter

from gradiometer.activations import FUNCTION_ACTIVATIONS, MODULE_ACTIVATIONS
from gradiometer.curing.cure import Patient
from gradiometer.schema import Layer

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)
"""Normalising layers."""

GATES = frozenset({"sigmoid", "hardsigmoid"})
"""Activations that often open and close a gate; off the trunk they are taken for one."""

WeightedLayer = nn.Linear | _ConvNd


def activation_kind(module: nn.Module) -> str | None:
    """Name of the activation that one of torch's own modules computes; None for what is no activation."""
    kind = type(module)
    return MODULE_ACTIVATIONS.get(kind.__name__) if kind.__module__.startswith("torch.nn.") else None


def places_of(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every place in the tree with the module there; a shared module comes once for each of its places."""
    yield from model.named_modules(remove_duplicate=False)


def executed_layers(patient: Patient) -> list[Layer]:
    """Leaves and functional calls of the diagnosed run, in order of first execution; empty without a run."""
    if patient.run is None:
        return []
    return sorted((layer for layer in patient.run.layers if layer.role != "block"), key=lambda layer: layer.position)


def ranks_of(patient: Patient) -> dict[str, int]:
    """Rank of every module's place: by execution where the run knows it, else by registration."""
    places = [name for name, _ in places_of(patient.model)]
    executed = {layer.name: layer.position for layer in executed_layers(patient)}
    if not any(name in executed for name in places):
        return {name: index for index, name in enumerate(places)}
    ranks = {name: _executed_rank(name, executed) for name in places}
    return {name: rank for name, rank in ranks.items() if rank is not None}


def _executed_rank(place: str, executed: dict[str, int]) -> int | None:
    """Rank of a place, or of the layer that stood where it is part of something new (a cure put it there)."""
    while place:
        if place in executed:
            return executed[place]
        place = place.rpartition(".")[0]
    return None


def weighted_layers(patient: Patient) -> list[tuple[str, WeightedLayer]]:
    """Linear and convolutional layers whose weights are theirs to change, in order.

    Left out are layers inside attention, layers whose weight is computed (parametrised, pruned), not yet shaped
    (lazy) or shared with an embedding, and layers that the diagnosed run never called.
    """
    ranks = ranks_of(patient)
    left_out = _inside_attention(patient.model) | _embedded(patient.model)
    found: list[tuple[str, WeightedLayer]] = []
    for name, module in patient.model.named_modules():
        if not isinstance(module, (nn.Linear, _ConvNd)) or id(module) in left_out or name not in ranks:
            continue
        weight = module._parameters.get("weight")
        if weight is None or isinstance(weight, UninitializedParameter) or id(weight) in left_out:
            continue
        found.append((name, module))
    return sorted(found, key=lambda place: ranks[place[0]])


def _inside_attention(model: nn.Module) -> set[int]:
    return {
        id(inner)
        for module in model.modules()
        if isinstance(module, nn.MultiheadAttention)
        for inner in module.modules()
    }


def _embedded(model: nn.Module) -> set[int]:
    """Identities of weights that belong to an embedding."""
    return {id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))}


def output_weight(patient: Patient) -> Tensor | None:
    """Weight of the network's last weighted layer; without such layers the last parameter that is a matrix."""
    layers = weighted_layers(patient)
    if layers:
        return layers[-1][1].weight
    matrices = [parameter for parameter in patient.model.parameters() if parameter.dim() > 1]
    return matrices[-1] if matrices else None


def hidden_activation_modules(patient: Patient) -> dict[str, nn.Module]:
    """Activation modules between layers, by place: without output units and gates."""
    kinds = {name: module for name, module in places_of(patient.model) if activation_kind(module) is not None}
    inside = _inside_attention(patient.model)
    output, gates = output_places(patient, list(kinds)), gate_names(patient)
    return {
        name: module
        for name, module in kinds.items()
        if name not in output and name not in gates and id(module) not in inside
    }


def hidden_softmaxes(patient: Patient) -> dict[str, nn.Module]:
    """Softmax modules between layers, which make the units of a layer compete, by place.

    Those that weigh attention are no such thing: they stand beside the trunk. Without a run only a member of a
    Sequential counts.
    """
    layers, ranks = weighted_layers(patient), ranks_of(patient)
    kinds = {name: module for name, module in places_of(patient.model) if type(module) is nn.Softmax}
    if not layers or not kinds:
        return {}
    last = ranks[layers[-1][0]]
    hidden = {name: module for name, module in kinds.items() if name in ranks and ranks[name] < last}
    on_trunk = trunk_names(patient)
    if on_trunk is None:
        return {name: module for name, module in hidden.items() if _is_in_sequence(patient.model, name)}
    return {name: module for name, module in hidden.items() if name in on_trunk}


def trunk_names(patient: Patient) -> set[str] | None:
    """Names of the layers that the diagnosed run saw on the trunk; None without a run that tells."""
    run = patient.run
    if run is None or not run.snapshot_count or "trunk_position" not in run.layer_columns:
        return None
    is_on_trunk = np.atleast_1d((~np.isnan(run.layer_column("trunk_position"))).any(axis=0))
    return {layer.name for layer, on_trunk in zip(run.layers, is_on_trunk, strict=True) if on_trunk}


def output_places(patient: Patient, names: list[str]) -> set[str]:
    """Which of these activation modules come after the output layer.

    Where only the order of registration is known, an activation registered behind everything counts only if it
    stands in a Sequential or there are others before: `self.act = nn.ReLU()` is often the last line of a constructor.
    """
    layers = weighted_layers(patient)
    if not layers:
        return set()
    ranks, last = ranks_of(patient), layers[-1][0]
    behind = {name for name in names if name in ranks and ranks[name] > ranks[last]}
    is_executed = any(layer.name == last for layer in executed_layers(patient))
    if is_executed or any(name not in behind for name in names):
        return behind
    return {name for name in behind if _is_in_sequence(patient.model, name)}


def places_also_at_output(patient: Patient) -> set[str]:
    """Places of activation modules that the diagnosed run called between layers and behind the output layer as well."""
    layers = executed_layers(patient)
    weighted = [layer.position for layer in layers if layer.fan_in is not None]
    if not weighted:
        return set()
    calls: dict[str, list[bool]] = {}
    for layer in layers:
        if layer.activation is not None and layer.role == "leaf":
            calls.setdefault(layer.name.partition("#")[0], []).append(layer.position > max(weighted))
    return {place for place, is_behind in calls.items() if any(is_behind) and not all(is_behind)}


def _is_in_sequence(model: nn.Module, name: str) -> bool:
    return isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Sequential)


def gate_names(patient: Patient) -> set[str]:
    """Names of layers that look like gates: a sigmoid off the trunk that no finding names."""
    run = patient.run
    if run is None or not run.snapshot_count or "trunk_position" not in run.layer_columns:
        return set()
    is_on_trunk = np.atleast_1d((~np.isnan(run.layer_column("trunk_position"))).any(axis=0))
    if not is_on_trunk.any():
        return set()
    named = {name for finding in patient.findings for name in finding.layers}
    return {
        layer.name
        for layer, on_trunk in zip(run.layers, is_on_trunk, strict=True)
        if layer.activation in GATES and not on_trunk and layer.name not in named
    }


def functional_calls(patient: Patient) -> list[Layer]:
    """Hidden activations called as functions in the diagnosed run: without output units and gates."""
    layers = executed_layers(patient)
    weighted = [layer.position for layer in layers if layer.fan_in is not None]
    last = max(weighted, default=-1)
    gates = gate_names(patient)
    is_hidden = [layer.position < last or not weighted for layer in layers]
    return [
        layer
        for layer, hidden in zip(layers, is_hidden, strict=True)
        if layer.role == "function" and layer.activation is not None and hidden and layer.name not in gates
    ]


def functional_kinds(patient: Patient) -> Counter[str]:
    """Hidden activations called as functions, counted by name.

    Without a run they are looked for by name in the code of the modules' `forward`: an activation of that name is
    called there, and the module has no attribute of that name.
    """
    if executed_layers(patient):
        return Counter(str(layer.activation) for layer in functional_calls(patient))
    found: Counter[str] = Counter()
    for module in patient.model.modules():
        code = getattr(type(module).forward, "__code__", None)
        if code is None or type(module).__module__.startswith("torch.nn."):
            continue
        for word in code.co_names:
            kind = FUNCTION_ACTIVATIONS.get(word.rstrip("_"))
            if kind is not None and not hasattr(module, word):
                found[kind] += 1
    return found


def hidden_activation(patient: Patient) -> str | None:
    """The activation that most hidden layers have as the patient is now; None where none is known."""
    kinds = functional_kinds(patient)
    for mode in patient.forward_modes:
        for kind in getattr(mode, "kinds", ()):
            kinds[str(getattr(mode, "target", kind))] += kinds.pop(kind, 0)
    modules = {id(module): module for module in hidden_activation_modules(patient).values()}
    kinds.update(str(activation_kind(module)) for module in modules.values())
    return max(kinds, key=lambda kind: kinds[kind]) if kinds else None
