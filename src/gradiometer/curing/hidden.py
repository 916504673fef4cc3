"""Hidden layers and what stands behind each of them, up to the next layer with weights."""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules.conv import _ConvNd

from gradiometer.curing.cure import Patient
from gradiometer.curing.standing_in import belongs_to_torch, is_root
from gradiometer.curing.survey import (
    NORMS,
    WeightedLayer,
    activation_kind,
    executed_layers,
    places_of,
    ranks_of,
    weighted_layers,
)

FUNCTIONAL_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"})
"""Kinds under which a run lists normalisation that is called as a function."""

RECURRENT_LAYERS = (nn.RNN, nn.LSTM, nn.GRU)
"""Layers that work through time by themselves."""

Rank = tuple[int, int]
"""Place in the order of execution; what has one place there comes in the order of registration."""


@dataclass(frozen=True, slots=True)
class HiddenLayer:
    """A linear or convolutional layer that is not the output.

    Attributes:
        place: Its place in the model.
        layer: The layer.
        is_activated: An activation follows before the next layer with weights, or that can't be told.
        is_normalised: A norm follows before it.
    """

    place: str
    layer: WeightedLayer
    is_activated: bool
    is_normalised: bool


def hidden_layers(patient: Patient) -> list[HiddenLayer]:
    """The hidden linear and convolutional layers, in order; parts of torch's own larger modules are left out."""
    sequence = _kinds_in_order(patient)
    activations = sum(kind == "activation" for _, kind in sequence)
    # Without a run one activation module may serve the whole network, and functions are not listed at all.
    is_untold = not executed_layers(patient) and activations <= 1
    found = []
    for place, layer in weighted_layers(patient)[:-1]:
        if not belongs_to_torch(patient.model, place) and not is_root(patient.model, place):
            between = _kinds_behind(patient, sequence, place, frozenset({"weighted"}))
            found.append(HiddenLayer(place, layer, is_untold or "activation" in between, "norm" in between))
    return found


def recurrent_without_norm(patient: Patient) -> list[tuple[str, nn.RNNBase]]:
    """Recurrent layers that no norm follows before the next layer with weights, in order."""
    ranks, sequence = ranks_of(patient), _kinds_in_order(patient)
    ends = frozenset({"weighted", "recurrent"})
    found = [
        (place, module)
        for place, module in patient.model.named_modules()
        if isinstance(module, nn.RNNBase)
        and type(module) in RECURRENT_LAYERS
        and place in ranks
        and not is_root(patient.model, place)
        and "norm" not in _kinds_behind(patient, sequence, place, ends)
    ]
    return sorted(found, key=lambda entry: ranks[entry[0]])


def _kinds_behind(patient: Patient, sequence: list[tuple[Rank, str]], place: str, ends: frozenset[str]) -> set[str]:
    """Kinds of what stands behind a place, up to the next of some kinds."""
    here = _module_ranks(patient)[place]
    behind = [(rank, kind) for rank, kind in sequence if rank > here]
    end = min((rank for rank, kind in behind if kind in ends), default=None)
    return {kind for rank, kind in behind if end is None or rank < end}


def _module_ranks(patient: Patient) -> dict[str, Rank]:
    ranks = ranks_of(patient)
    return {place: (ranks[place], index) for index, (place, _) in enumerate(places_of(patient.model)) if place in ranks}


def _kinds_in_order(patient: Patient) -> list[tuple[Rank, str]]:
    """What comes after what: layers with weights, norms and activations with their ranks."""
    ranks = _module_ranks(patient)
    modules = [(ranks[place], _kind_of(module)) for place, module in places_of(patient.model) if place in ranks]
    called = [
        ((layer.position, 0), "norm" if layer.kind in FUNCTIONAL_NORMS else "activation" if layer.activation else "")
        for layer in executed_layers(patient)
    ]
    return sorted((rank, kind) for rank, kind in [*modules, *called] if kind)


def _kind_of(module: nn.Module) -> str:
    if isinstance(module, (nn.Linear, _ConvNd)):
        return "weighted"
    if isinstance(module, nn.RNNBase):
        return "recurrent"
    if isinstance(module, NORMS):
        return "norm"
    return "activation" if activation_kind(module) is not None else ""
