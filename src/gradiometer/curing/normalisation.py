"""Insert normalising layers.

What it changes:
    After every hidden linear or convolutional layer that is followed by an activation and has no normalisation yet
    comes one, and one after every recurrent layer, on its outputs:

    - `:batch`: batch normalisation; where a linear layer works on sequences, over all positions of the batch;
    - `:layer`: normalisation of each example by itself, LayerNorm over features, after a convolution GroupNorm with
      one group;
    - `:group`: GroupNorm with as many groups as divide the channels, 32 at most, of four channels or more;
    - `:rms`: RMSNorm over features, after linear and recurrent layers only.

    Without a word it is batch normalisation; LayerNorm after the linear layers of networks that work on sequences;
    and for batches of fewer than four LayerNorm, after convolutions GroupNorm. Recurrent layers get LayerNorm, or
    RMSNorm under `:rms`. The layer and its norm stand together in the layer's place, so that `model.fc1.weight` and
    `model.layers[3]` still work; the new parameters join the layer's own in the optimizer.

When it helps:
    It sets the size of every layer's signal anew, and so of the gradient, whatever the weights' scale and depth.
    Batch normalisation also takes out what all examples have in common: it alone carries ten hidden sigmoid layers
    (99 % on digits where the untouched network and LayerNorm stay at chance under plain descent). With two examples a
    batch, six convolutions on digits learn under GroupNorm of four groups (held-out loss 0.29 and 0.46 of two seeds)
    better than of one (0.65, 0.69), and under batch normalisation as luck has it (0.19, 1.11).

What it costs:
    Two parameters per unit (RMSNorm one), some time, and names: `fc1.weight` becomes `fc1.0.weight` in a checkpoint.
    Batch normalisation needs batches of some size, fails on a last batch of one, and acts differently in `eval()`.
    Final states of recurrent layers are not normalised, for scripts hand them on; a script that reads nothing but
    them is not helped.

Source:
    Ioffe and Szegedy, "Batch normalization", ICML 2015; Ba, Kiros, Hinton, "Layer normalization", 2016; Wu and He,
    "Group normalization", ECCV 2018; Zhang and Sennrich, "Root mean square layer normalization", NeurIPS 2019.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.hidden import hidden_layers, recurrent_without_norm
from gradiometer.curing.standing_in import ANSWERING, StandIn, are_optimized, join_group, put_in_place, shared_places
from gradiometer.curing.survey import WeightedLayer, ranks_of
from gradiometer.errors import CureRefusedError, SettingsError

KINDS = ("batch", "layer", "group", "rms")
"""Kinds of normalisation that can be forced."""

SMALLEST_BATCH = 4
"""Batches below are normalised example by example: the mean of three is mostly noise."""

MOST_GROUPS = 32
"""Groups of a GroupNorm at most: Wu and He's own number."""

SMALLEST_GROUP = 4
"""Channels of a group at least, as few as examples of a batch."""

SEQUENCE_MODULES = (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.MultiheadAttention, nn.LayerNorm, nn.RMSNorm)
"""A network that has one of them works on sequences, where positions of one batch are alike."""

NormalisableLayer = WeightedLayer | nn.RNNBase


class Normalised(StandIn):
    """A layer and its norm in one place; what else is asked of it (`weight`, `in_features`) the layer answers."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise what the layer makes of it; a linear layer's positions count as examples."""
        values = self[0](x)
        if isinstance(self[0], nn.Linear) and values.dim() > 2:
            return self[1](values.flatten(0, -2)).view_as(values)  # type: ignore[no-any-return]
        return self[1](values)  # type: ignore[no-any-return]


class NormalisedOutputs(StandIn):
    """A recurrent layer with a norm on its outputs; its states stay as they are."""

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor | PackedSequence, Any]:
        """Normalise the outputs, packed ones too."""
        values, state = self[0](*args, **kwargs)
        if isinstance(values, PackedSequence):
            return values._replace(data=self[1](values.data)), state
        return self[1](values), state


_NORMALISED = f'''\
class Normalised(nn.Sequential):
    """A layer and its norm in one place; what else is asked of it (`weight`, `in_features`) the layer answers."""

{ANSWERING}
    def forward(self, x):
        values = self[0](x)
        if isinstance(self[0], nn.Linear) and values.dim() > 2:
            return self[1](values.flatten(0, -2)).view_as(values)
        return self[1](values)
'''

_NORMALISED_OUTPUTS = f'''\
class NormalisedOutputs(nn.Sequential):
    """A recurrent layer with a norm on its outputs; its states stay as they are."""

{ANSWERING}
    def forward(self, *args, **kwargs):
        values, state = self[0](*args, **kwargs)
        if isinstance(values, nn.utils.rnn.PackedSequence):
            return values._replace(data=self[1](values.data)), state
        return self[1](values), state
'''

_LOOP = """\
for place, norm in norms.items():
    layer = model.get_submodule(place)
    parent, _, child = place.rpartition(".")
    <MADE>
    setattr(model.get_submodule(parent), child, normalised)
"""

_SHARED_LOOP = """\
places = dict(model.named_modules(remove_duplicate=False))
for first_place, norm in norms.items():
    layer = places[first_place]
    <MADE>
    for place in (place for place, module in places.items() if module is layer):
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, normalised)
"""


@dataclass(frozen=True, slots=True)
class InsertNormalisation(Labelled):
    """Put a normalising layer between every hidden layer and its activation.

    Attributes:
        kind: One of `KINDS`; None to have it chosen for each layer.
    """

    name: ClassVar[str] = "insert_normalisation"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "before_optimizer"

    kind: str | None = None

    @classmethod
    def parse(cls, setting: str) -> "InsertNormalisation":
        """Read the kind; empty leaves it to be chosen.

        Raises:
            SettingsError: It is none of `KINDS`.
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
        norms = self._norms(patient)
        replaced: dict[str, nn.Module] = {}
        for place, (layer, norm) in norms.items():
            norm.to(next(layer.parameters())).train(layer.training)
            join_group(patient.parameter_groups, [layer], norm)
            made = NormalisedOutputs if isinstance(layer, nn.RNNBase) else Normalised
            replaced[place] = made(layer, norm).train(layer.training)
        put_in_place(patient.model, replaced)
        kinds = sorted({type(norm).__name__ for _, norm in norms.values()})
        return f"{', '.join(kinds)} follows {len(norms)} layer(s): {listed_in_words(list(norms))}"

    def _norms(self, patient: Patient) -> dict[str, tuple[NormalisableLayer, nn.Module]]:
        """The layers to normalise with their norms, by place and in order.

        Raises:
            CureRefusedError: There are none.
        """
        found: list[tuple[str, NormalisableLayer]] = [
            (hidden.place, hidden.layer)
            for hidden in hidden_layers(patient)
            if hidden.is_activated
            and not hidden.is_normalised
            and are_optimized([hidden.layer.weight], patient.parameter_groups)
        ]
        found += [
            (place, layer)
            for place, layer in recurrent_without_norm(patient)
            if are_optimized(layer.parameters(), patient.parameter_groups)
        ]
        if not found:
            raise CureRefusedError("every hidden layer is normalised already, frozen, or followed by no activation")
        taken = [(place, layer) for place, layer in found if self.kind != "rms" or not is_convolution(layer)]
        if not taken:
            raise CureRefusedError("RMSNorm goes over features, which convolutions do not have last; choose :group")
        ranks = ranks_of(patient)
        ordered = sorted(taken, key=lambda entry: ranks[entry[0]])
        return {place: (layer, norm_for(layer, self._kind_for(layer, patient))) for place, layer in ordered}

    def _kind_for(self, layer: NormalisableLayer, patient: Patient) -> str:
        """The kind of normalisation for one layer."""
        if isinstance(layer, nn.RNNBase):
            return "rms" if self.kind == "rms" else "layer"
        if self.kind is not None:
            return self.kind
        batch_size = None if patient.run is None else patient.run.facts.get("batch_size")
        if batch_size is not None and batch_size < SMALLEST_BATCH:
            return "group" if is_convolution(layer) else "layer"
        is_sequence = any(isinstance(module, SEQUENCE_MODULES) for module in patient.model.modules())
        return "layer" if is_sequence and isinstance(layer, nn.Linear) else "batch"

    def snippet(self, patient: Patient) -> str:
        """The wrappers, and a loop over the layers."""
        norms = self._norms(patient)
        is_shared = any(len(shared_places(patient.model, layer)) > 1 for layer, _ in norms.values())
        recurrent = {isinstance(layer, nn.RNNBase) for layer, _ in norms.values()}
        rows = "".join(f'    "{place}": {_constructor(norm)},\n' for place, (_, norm) in norms.items())
        classes = [_NORMALISED] * (False in recurrent) + [_NORMALISED_OUTPUTS] * (True in recurrent)
        wrapper = "NormalisedOutputs" if False not in recurrent else "Normalised"
        if len(recurrent) > 1:
            wrapper = "(NormalisedOutputs if isinstance(layer, nn.RNNBase) else Normalised)"
        made = f"normalised = {wrapper}(layer, norm.to(next(layer.parameters()))).train(layer.training)"
        loop = (_SHARED_LOOP if is_shared else _LOOP).replace("<MADE>", made)
        written = "\n\n".join(classes)
        return f"from torch import nn\n\n\n{written}\n\nnorms = {{\n{rows}}}\n{loop}"


def is_convolution(layer: nn.Module) -> bool:
    """Whether its channels stand before its positions."""
    return not isinstance(layer, (nn.Linear, nn.RNNBase))


def norm_for(layer: NormalisableLayer, kind: str) -> nn.Module:
    """The norm that fits a layer's output; it draws no random number."""
    if isinstance(layer, nn.RNNBase):
        features = (layer.proj_size or layer.hidden_size) * (2 if layer.bidirectional else 1)
        return nn.RMSNorm(features) if kind == "rms" else nn.LayerNorm(features)
    units = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    if kind == "group":
        return nn.GroupNorm(groups_of(units), units)
    if isinstance(layer, nn.Linear):
        kinds: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "rms": nn.RMSNorm}
        return kinds[kind](units)
    if kind == "layer":
        return nn.GroupNorm(1, units)
    return {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[layer.weight.dim() - 2](units)


def groups_of(channels: int) -> int:
    """The most groups that divide some channels.

    Example:
        >>> groups_of(256), groups_of(48), groups_of(6), groups_of(7)
        (32, 12, 1, 1)
    """
    most = min(MOST_GROUPS, channels // SMALLEST_GROUP)
    return max((count for count in range(1, most + 1) if channels % count == 0), default=1)


def _constructor(norm: nn.Module) -> str:
    """How a norm made by `norm_for` is written."""
    kind = type(norm).__name__
    if isinstance(norm, nn.GroupNorm):
        return f"nn.{kind}({norm.num_groups}, {norm.num_channels})"
    if isinstance(norm, (nn.LayerNorm, nn.RMSNorm)):
        return f"nn.{kind}({norm.normalized_shape[0]})"
    return f"nn.{kind}({norm.num_features})"
