"""Add paths around hidden layers.

What it changes:
    Every hidden linear or convolutional layer whose output has the shape of its input gets a path around itself.
    `zero_gated`, the default, makes it x + gate · f(x) with one learned number per layer that starts at 0; `plain`
    makes it x + f(x) / √L for L such layers. In a `nn.Sequential` f is the layer with the norm, activation and dropout
    behind it, which move into the layer's place; elsewhere f is the layer alone, and the activation acts on the sum.
    `model.fc1.weight` and `model.layers[3]` still work; a gate joins its layer's parameters in the optimizer.

When it helps:
    Depth. The gradient reaches every layer by the paths, whatever the layers do to it. Fifty layers of 32 units on
    digits under plain descent at rate 0.1 stay at chance (loss 2.31 after 300 steps) and come to 0.07 with gates, to
    0.08 with plain paths, under tanh and ReLU alike; where the activation acts on the sum, to 0.23 and 0.10. A plain
    x + f(x) blows up at that depth, and (x + f(x)) / √2 starves it.

What it costs:
    An addition per layer, and names: `fc1.weight` becomes `fc1.0.weight` in a checkpoint. The first steps move only
    gates and the layers without a path. An activation called as a function stands in the path: a ReLU leaves it open,
    tanh almost, a sigmoid closes it (2.31 as before), so exchange that too. Layers off the trunk of the diagnosed run
    have a path around them already, or are a branch of their own, and stay; without such a run that is not known.

Source:
    Bachlechner et al., "ReZero is all you need", UAI 2021; De and Smith, "Batch normalization biases residual blocks
    towards the identity function in deep networks", NeurIPS 2020 (SkipInit); He et al., "Identity mappings in deep
    residual networks", ECCV 2016; Hayou et al., "Stable ResNet", AISTATS 2021 (1 / √L).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.hidden import HiddenLayer, hidden_layers
from gradiometer.curing.normalisation import Normalised
from gradiometer.curing.standing_in import ANSWERING, StandIn, are_optimized, join_group, put_in_place, shared_places
from gradiometer.curing.survey import NORMS, WeightedLayer, activation_kind
from gradiometer.errors import CureRefusedError, SettingsError

KINDS = ("zero_gated", "plain")
"""Kinds of paths."""


class Gate(nn.Module):
    """A factor that is learned, 0 at first."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return self.factor * x


class Scaled(nn.Module):
    """A factor that stays.

    Args:
        factor: The factor.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Scale."""
        return self.factor * x


class Bypassed(StandIn):
    """A layer, what moved in behind it and a factor, with a path around them all."""

    def forward(self, x: Tensor) -> Tensor:
        """Add what they make of it."""
        return x + super().forward(x)  # type: ignore[no-any-return, no-untyped-call]


_GATE = '''\
class Gate(nn.Module):
    """A factor that is learned, 0 at first."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.factor * x
'''

_SCALED = '''\
class Scaled(nn.Module):
    """A factor that stays."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x
'''

_BYPASSED = f'''\
class Bypassed(nn.Sequential):
    """A layer, what moved in behind it and a factor, with a path around them all."""

{ANSWERING}
    def forward(self, x):
        return x + super().forward(x)
'''

_LOOP = """\
modules = dict(model.named_modules(remove_duplicate=False))
for first_place, behind in paths.items():
    layer = modules[first_place]
    inside = [layer, *(modules[place] for place in behind)]
    bypassed = Bypassed(*inside, <FACTOR>.to(layer.weight)).train(layer.training)
    stand_ins = dict.fromkeys((place for place, module in modules.items() if module is layer), bypassed)
    for place, stand_in in [*stand_ins.items(), *((place, nn.Identity().train(layer.training)) for place in behind)]:
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, stand_in)
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What gets one path around it.

    Attributes:
        place: Where the layer stands.
        layer: The layer, with its norm where a cure has put the two together.
        behind: Places behind it in the same Sequential whose modules move in.
    """

    place: str
    layer: nn.Module
    behind: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AddResidualPaths(Labelled):
    """Put a path around every hidden layer whose shapes allow it.

    Attributes:
        kind: One of `KINDS`; None stands for `zero_gated`.
    """

    name: ClassVar[str] = "add_residual_paths"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "before_optimizer"

    kind: str | None = None

    @classmethod
    def parse(cls, setting: str) -> "AddResidualPaths":
        """Read the kind of path; empty stands for `zero_gated`.

        Raises:
            SettingsError: It is not one of `KINDS`.
        """
        if setting and setting not in KINDS:
            raise SettingsError(f"there is no residual path {setting!r}; choose {', '.join(KINDS)}")
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.kind

    @property
    def is_gated(self) -> bool:
        """Whether the factors are learned."""
        return self.kind != "plain"

    def apply(self, patient: Patient) -> str:
        """Put layer, what belongs to it and a factor in the layer's place; gates join the layers' groups."""
        units = units_of(patient)
        stand_ins: dict[str, nn.Module] = {}
        for unit in units:
            inside = [unit.layer, *(patient.model.get_submodule(place) for place in unit.behind)]
            factor = self._factor(len(units)).to(unit.layer.weight)  # type: ignore[arg-type]
            join_group(patient.parameter_groups, inside, factor)
            stand_ins[unit.place] = Bypassed(*inside, factor).train(unit.layer.training)
        put_in_place(patient.model, stand_ins)
        for unit in units:
            for place in unit.behind:
                parent, _, child = place.rpartition(".")
                setattr(patient.model.get_submodule(parent), child, nn.Identity().train(unit.layer.training))
        kind = "zero-gated" if self.is_gated else "plain"
        return f"{kind} paths lead around {len(units)} layer(s): {listed_in_words([unit.place for unit in units])}"

    def _factor(self, count: int) -> nn.Module:
        """What scales a layer's part of the sum."""
        return Gate() if self.is_gated else Scaled(_share(count))

    def snippet(self, patient: Patient) -> str:
        """The modules, and a loop over the layers."""
        units = units_of(patient)
        rows = "".join(f'    "{unit.place}": [{", ".join(map(_quoted, unit.behind))}],\n' for unit in units)
        imports = "import torch\nfrom torch import nn\n" if self.is_gated else "from torch import nn\n"
        loop = _LOOP.replace("<FACTOR>", "Gate()" if self.is_gated else f"Scaled({_share(len(units))!r})")
        table = f"# layer: what stands behind it and moves into its place\npaths = {{\n{rows}}}\n"
        return f"{imports}\n\n{_GATE if self.is_gated else _SCALED}\n\n{_BYPASSED}\n\n{table}{loop}"


def _share(count: int) -> float:
    """A plain path's factor: so many summands of one size keep the sum's size bounded."""
    return float(f"{1.0 / math.sqrt(count):.6g}")


def _quoted(text: str) -> str:
    return f'"{text}"'


def units_of(patient: Patient) -> list[Unit]:
    """What can get a path around it.

    Raises:
        CureRefusedError: Nothing can; the reason says which of the conditions is not met.
    """
    shaped = [hidden for hidden in hidden_layers(patient) if hidden.is_activated and keeps_shape(hidden.layer)]
    if not shaped:
        raise CureRefusedError("no hidden layer with an activation gives outputs of the same shape as its inputs")
    trained = [hidden for hidden in shaped if are_optimized([hidden.layer.weight], patient.parameter_groups)]
    if not trained:
        raise CureRefusedError("every hidden layer whose shapes would allow a path is frozen, or not in this optimizer")
    open_layers = [hidden for hidden in trained if not has_path(patient, hidden)]
    if not open_layers:
        raise CureRefusedError("every hidden layer whose shapes would allow a path has one around it already")
    return [unit_around(patient.model, hidden.place) for hidden in open_layers]


def keeps_shape(layer: WeightedLayer) -> bool:
    """Whether a layer's output has the shape of its input, whatever that is.

    Example:
        >>> keeps_shape(nn.Conv2d(4, 4, 3, padding=1)), keeps_shape(nn.Conv2d(4, 4, 3)), keeps_shape(nn.Linear(4, 8))
        (True, False, False)
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features == layer.out_features
    if layer.in_channels != layer.out_channels or any(step != 1 for step in layer.stride) or any(layer.output_padding):
        return False
    if isinstance(layer.padding, str):
        return layer.padding == "same"
    axes = zip(layer.padding, layer.dilation, layer.kernel_size, strict=True)
    return all(2 * padding == dilation * (size - 1) for padding, dilation, size in axes)


def has_path(patient: Patient, hidden: HiddenLayer) -> bool:
    """Whether a path leads around a layer: the diagnosed run saw it off the trunk, or a cure has added one."""
    parents = [hidden.place]
    while "." in parents[-1]:
        parents.append(parents[-1].rpartition(".")[0])
    if any(isinstance(patient.model.get_submodule(place), Bypassed) for place in parents):
        return True
    on_trunk = _on_trunk(patient)
    known = next((place for place in parents if place in on_trunk), None)
    return known is not None and not on_trunk[known]


def _on_trunk(patient: Patient) -> dict[str, bool]:
    """Whether each leaf of the diagnosed run was on the trunk in any measurement; empty where there was none."""
    run = patient.run
    if run is None or not run.snapshot_count or "trunk_position" not in run.layer_columns:
        return {}
    is_on = np.atleast_1d((~np.isnan(run.layer_column("trunk_position"))).any(axis=0))
    if not is_on.any():
        return {}
    return {layer.name: bool(found) for layer, found in zip(run.layers, is_on, strict=True) if layer.role == "leaf"}


def unit_around(model: nn.Module, place: str) -> Unit:
    """A layer with what moves in behind it: norm, activation and dropout in the same Sequential."""
    parent, _, child = place.rpartition(".")
    if isinstance(model.get_submodule(parent), Normalised):
        place = parent
        parent, _, child = place.rpartition(".")
    layer, owner = model.get_submodule(place), model.get_submodule(parent)
    is_chain = isinstance(owner, nn.Sequential) and type(owner).forward is nn.Sequential.forward
    if not is_chain or len(shared_places(model, layer)) > 1:
        return Unit(place, layer, ())
    names = list(owner._modules)
    behind: list[str] = []
    for name in names[names.index(child) + 1 :]:
        if not _moves_in(owner.get_submodule(name)):
            break
        behind.append(name)
    if not any(activation_kind(owner.get_submodule(name)) is not None for name in behind):
        return Unit(place, layer, ())
    return Unit(place, layer, tuple(f"{parent}.{name}" if parent else name for name in behind))


def _moves_in(module: nn.Module) -> bool:
    """Whether a module belongs to the layer before it."""
    return isinstance(module, (*NORMS, _DropoutNd, nn.Identity)) or activation_kind(module) is not None
