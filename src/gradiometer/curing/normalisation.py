"""Insert normalising layers.

What it changes:
    After every hidden linear or convolutional layer that is followed by an activation and has no normalisation yet
    comes one: batch normalisation (`insert_normalisation:batch`), or normalisation of each example by itself
    (`:layer`: LayerNorm, after a convolution GroupNorm with one group). Without a word batch normalisation is taken,
    but the other for batches of fewer than four and, after linear layers, for networks that work on sequences. The
    layer and its norm stand together in the layer's place, so that `model.fc1.weight` and `model.layers[3]` still
    work; the new parameters join the layer's own in the optimizer.

When it helps:
    It sets the size of every layer's signal anew, and so of the gradient, whatever the weights' scale and depth.
    Batch normalisation also takes out what all examples have in common: it alone carries ten hidden sigmoid layers
    (99 % on digits where the untouched network and LayerNorm stay at chance under plain descent).

What it costs:
    Two parameters per unit, some time, and names: `fc1.weight` becomes `fc1.0.weight` in a checkpoint. Batch
    normalisation needs batches of some size, fails on a last batch of one, and acts differently in `eval()`.

Source:
    Ioffe and Szegedy, "Batch normalization", ICML 2015; Ba, Kiros, Hinton, "Layer normalization", 2016.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.survey import (
    NORMS,
    WeightedLayer,
    activation_kind,
    executed_layers,
    places_of,
    ranks_of,
    weighted_layers,
)
from gradiometer.errors import CureRefusedError, SettingsError

KINDS = ("batch", "layer")
"""Kinds of normalisation that can be forced."""

SMALLEST_BATCH = 4
"""Batches below are normalised example by example: the mean of three is mostly noise."""

SEQUENCE_MODULES = (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.MultiheadAttention, nn.LayerNorm, nn.RMSNorm)
"""A network that has one of them works on sequences, where BatchNorm1d would take positions for channels."""

FUNCTIONAL_NORMS = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize"})
"""Kinds under which a run lists normalisation that is called as a function."""


class Normalised(nn.Sequential):
    """A layer and its norm in one place; what else is asked of it (`weight`, `in_features`) the layer answers."""

    def __getattr__(self, name: str) -> Any:
        """Look in the layer for what a Sequential does not have."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or not self._modules:
                raise
            return getattr(self[0], name)


_NORMALISED = '''\
class Normalised(nn.Sequential):
    """A layer and its norm in one place; what else is asked of it (`weight`, `in_features`) the layer answers."""

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or not self._modules:
                raise
            return getattr(self[0], name)
'''


_LOOP = """\
for place, norm in norms.items():
    layer = model.get_submodule(place)
    parent, _, child = place.rpartition(".")
    setattr(model.get_submodule(parent), child, Normalised(layer, norm.to(layer.weight)).train(layer.training))
"""

_SHARED_LOOP = """\
places = dict(model.named_modules(remove_duplicate=False))
for first_place, norm in norms.items():
    layer = places[first_place]
    normalised = Normalised(layer, norm.to(layer.weight)).train(layer.training)
    for place in (place for place, module in places.items() if module is layer):
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, normalised)
"""


@dataclass(frozen=True, slots=True)
class InsertNormalisation(Labelled):
    """Put a normalising layer between every hidden layer and its activation.

    Attributes:
        kind: `batch` or `layer`; None to have it chosen for each layer.
    """

    name: ClassVar[str] = "insert_normalisation"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "before_optimizer"

    kind: str | None = None

    @classmethod
    def parse(cls, setting: str) -> "InsertNormalisation":
        """Read `batch` or `layer`; empty leaves it to be chosen.

        Raises:
            SettingsError: It is neither.
        """
        if setting and setting not in KINDS:
            raise SettingsError(f"there is no normalisation {setting!r}; choose {', '.join(KINDS)}")
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.kind

    def apply(self, patient: Patient) -> str:
        """Put layer and norm in the layer's place; the norm's parameters join the layer's in their group."""
        layers = self._layers(patient)
        replaced: dict[int, Normalised] = {}
        for _, layer in layers:
            norm = norm_for(layer, self._kind_for(layer, patient))
            norm.to(layer.weight).train(layer.training)
            join_group(patient.parameter_groups, layer, norm)
            replaced[id(layer)] = Normalised(layer, norm).train(layer.training)
        for _, layer in layers:
            for place in _shared_places(patient.model, layer):
                parent, _, child = place.rpartition(".")
                setattr(patient.model.get_submodule(parent), child, replaced[id(layer)])
        kinds = sorted({type(new[1]).__name__ for new in replaced.values()})
        return f"{', '.join(kinds)} follows {len(layers)} layer(s): {listed_in_words([place for place, _ in layers])}"

    def _kind_for(self, layer: WeightedLayer, patient: Patient) -> str:
        """The kind of normalisation for one layer."""
        if self.kind is not None:
            return self.kind
        batch_size = None if patient.run is None else patient.run.facts.get("batch_size")
        if batch_size is not None and batch_size < SMALLEST_BATCH:
            return "layer"
        is_sequence = any(isinstance(module, SEQUENCE_MODULES) for module in patient.model.modules())
        return "layer" if is_sequence and isinstance(layer, nn.Linear) else "batch"

    def _layers(self, patient: Patient) -> list[tuple[str, WeightedLayer]]:
        """The layers to normalise.

        Raises:
            CureRefusedError: There are none.
        """
        optimized = {id(tensor) for group in patient.parameter_groups for tensor in tensors_of(group)}
        found = [
            (place, layer)
            for place, layer in hidden_without_norm(patient)
            if layer.weight.requires_grad and (not optimized or id(layer.weight) in optimized)
        ]
        if not found:
            raise CureRefusedError("every hidden layer is normalised already, frozen, or followed by no activation")
        return found

    def snippet(self, patient: Patient) -> str:
        """The wrapper, and a loop over the layers."""
        layers = self._layers(patient)
        is_shared = any(len(_shared_places(patient.model, layer)) > 1 for _, layer in layers)
        rows = "".join(
            f'    "{place}": {_constructor(norm_for(layer, self._kind_for(layer, patient)))},\n'
            for place, layer in layers
        )
        loop = _SHARED_LOOP if is_shared else _LOOP
        return f"from torch import nn\n\n\n{_NORMALISED}\n\nnorms = {{\n{rows}}}\n{loop}"


def _shared_places(model: nn.Module, layer: nn.Module) -> list[str]:
    """All places at which a layer stands."""
    return [place for place, module in places_of(model) if module is layer]


def norm_for(layer: WeightedLayer, kind: str) -> nn.Module:
    """The norm that fits a layer's output; it draws no random number."""
    if isinstance(layer, nn.Linear):
        return nn.BatchNorm1d(layer.out_features) if kind == "batch" else nn.LayerNorm(layer.out_features)
    if kind == "layer":
        return nn.GroupNorm(1, layer.out_channels)
    dimensions = layer.weight.dim() - 2
    return {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions](layer.out_channels)


def _constructor(norm: nn.Module) -> str:
    """How a norm made by `norm_for` is written."""
    kind = type(norm).__name__
    if isinstance(norm, nn.GroupNorm):
        return f"nn.{kind}(1, {norm.num_channels})"
    return f"nn.{kind}({norm.normalized_shape[0] if isinstance(norm, nn.LayerNorm) else norm.num_features})"


def tensors_of(group: dict[str, Any]) -> list[Tensor]:
    """The parameters of a group as a script may write it: one tensor, tensors, or pairs of name and tensor."""
    entries = group["params"]
    if isinstance(entries, Tensor):
        return [entries]
    group["params"] = entries = list(entries)
    return [entry[1] if isinstance(entry, tuple) else entry for entry in entries]


def join_group(groups: list[dict[str, Any]], layer: nn.Module, norm: nn.Module) -> None:
    """Put a norm's parameters right behind the layer's own, in the same group: where `model.parameters()` has them."""
    own = {id(parameter) for parameter in layer.parameters(recurse=False)}
    for group in groups:
        positions = [index for index, tensor in enumerate(tensors_of(group)) if id(tensor) in own]
        if not positions:
            continue
        where = positions[-1] + 1
        entries = group["params"] if isinstance(group["params"], list) else [group["params"]]
        new: list[Any] = list(norm.parameters())
        if isinstance(entries[0], tuple):
            stem = entries[where - 1][0].rpartition(".")[0]
            new = [(f"{stem}.1.{name}", parameter) for name, parameter in norm.named_parameters()]
        elif "param_names" in group:
            stem = group["param_names"][where - 1].rpartition(".")[0]
            group["param_names"][where:where] = [f"{stem}.1.{name}" for name, _ in norm.named_parameters()]
        entries[where:where] = new
        group["params"] = entries
        return


def hidden_without_norm(patient: Patient) -> list[tuple[str, WeightedLayer]]:
    """Hidden layers that have an activation and no norm between themselves and the next weighted layer."""
    layers = weighted_layers(patient)[:-1]
    sequence = _kinds_in_order(patient)
    positions = [position for position, kind in sequence if kind == "weighted"]
    activations = sum(kind == "activation" for _, kind in sequence)
    is_executed = bool(executed_layers(patient))
    ranks, found = ranks_of(patient), []
    for place, layer in layers:
        if _belongs_to_torch(patient.model, place):
            continue
        here = ranks[place]
        end = min((position for position in positions if position > here), default=here + 1)
        between = {kind for position, kind in sequence if here < position < end}
        # Without a run one activation module may serve the whole network, and functions are not listed at all.
        is_activated = "activation" in between or (not is_executed and activations <= 1)
        if "norm" not in between and is_activated:
            found.append((place, layer))
    return found


def _kinds_in_order(patient: Patient) -> list[tuple[int, str]]:
    """What comes after what: weighted layers, norms and activations with their ranks."""
    ranks = ranks_of(patient)
    modules = [(ranks[place], _kind_of(module)) for place, module in places_of(patient.model) if place in ranks]
    called = [
        (layer.position, "norm" if layer.kind in FUNCTIONAL_NORMS else "activation" if layer.activation else "")
        for layer in executed_layers(patient)
    ]
    return sorted((rank, kind) for rank, kind in [*modules, *called] if kind)


def _kind_of(module: nn.Module) -> str:
    if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
        return "weighted"
    if isinstance(module, NORMS):
        return "norm"
    return "activation" if activation_kind(module) is not None else ""


def _belongs_to_torch(model: nn.Module, place: str) -> bool:
    """Whether a layer is part of one of torch's own larger modules, whose code reads its attributes."""
    parent = model.get_submodule(place.rpartition(".")[0])
    containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    return type(parent).__module__.startswith("torch.nn.") and not isinstance(parent, containers)
