"""Exchange the activation.

What it changes:
    Every hidden activation of the kind that does the damage, wherever it stands in the model, as a module
    (`nn.Sigmoid`, shared ones too) or as a function (`torch.sigmoid(x)`, `x.tanh()`, `F.relu(x, inplace=True)`).
    A softmax between layers, whose units compete, counts as the most damaging kind of all. Output units, a softmax
    that weighs attention, gates inside `nn.LSTM` and `nn.GRU`, and sigmoids off the trunk stay. Weights stay too:
    `exchange_activation:relu+redraw_weights:he` changes both.

When it helps:
    A sigmoid's slope is at most ¼, so that every layer of it costs the gradient at least 12 dB. ReLU, GELU and tanh
    reach a slope of 1. Units that have died under ReLU live on under a leaky one. In a deep network the exchange
    alone is seldom enough: weights drawn for one activation are too small or too large for another.

What it costs:
    Nothing; GELU and SiLU a little more time than ReLU. Functional calls inside a checkpointed block are exchanged in
    the forward pass only, which checkpointing notices and reports: edit such calls by hand.

Source:
    Glorot, Bordes, Bengio, "Deep sparse rectifier neural networks", AISTATS 2011; Nielsen, "Neural networks and deep
    learning", chapter 5.
"""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gradiometer.activations import ACTIVATIONS, MODULE_ACTIVATIONS
from gradiometer.curing.activation_modes import ExchangedCalls, snippet_of, takes_inplace
from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.survey import (
    activation_kind,
    executed_layers,
    functional_calls,
    functional_kinds,
    hidden_activation_modules,
    hidden_softmaxes,
    output_weight,
    places_also_at_output,
    places_of,
)
from gradiometer.errors import CureRefusedError, SettingsError

TARGETS: dict[str, str] = {
    kind: module
    for module, kind in MODULE_ACTIVATIONS.items()
    if kind not in {"prelu", "rrelu", "threshold", "hardshrink", "softshrink", "tanhshrink"}
}
"""Activations that can be exchanged for: those without parameters or random numbers of their own."""


@dataclass(frozen=True, slots=True)
class ExchangePlan:
    """What will be exchanged.

    Attributes:
        modules: Activation modules, by place.
        function_kinds: Kinds of functional activations.
        sites: `file:line` and name of each functional call, where it is known.
        kept: Activation modules of those kinds that stay, by place.
    """

    modules: dict[str, nn.Module]
    function_kinds: frozenset[str]
    sites: tuple[str, ...]
    kept: dict[str, nn.Module]


@dataclass(frozen=True, slots=True)
class ExchangeActivation(Labelled):
    """Put another activation in the place of the hidden ones that do the damage.

    Attributes:
        to: Name of the new activation, a key of `TARGETS`.
    """

    name: ClassVar[str] = "exchange_activation"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    to: str = "relu"

    @classmethod
    def parse(cls, setting: str) -> "ExchangeActivation":
        """Read the name of the new activation; empty stands for ReLU.

        Raises:
            SettingsError: It is not one of `TARGETS`.
        """
        if setting and setting not in TARGETS:
            raise SettingsError(f"there is no activation {setting!r} to exchange for; choose {', '.join(TARGETS)}")
        return cls(setting or "relu")

    @property
    def setting(self) -> str:
        """As it is written behind the name."""
        return self.to

    def apply(self, patient: Patient) -> str:
        """Replace modules in the tree; for functional calls add a mode to the patient's forward modes."""
        plan = self._plan(patient)
        made: dict[int, nn.Module] = {}
        for place, module in plan.modules.items():
            new = made.setdefault(id(module), self._replacement_of(module))
            parent, _, child = place.rpartition(".")
            setattr(patient.model.get_submodule(parent), child, new)
        if plan.function_kinds:
            patient.forward_modes.append(self._mode(patient, plan))
        return self._in_words(plan)

    def _plan(self, patient: Patient) -> ExchangePlan:
        """Decide what to exchange.

        Raises:
            CureRefusedError: There is nothing to exchange.
        """
        softmaxes = hidden_softmaxes(patient)
        modules, functions = hidden_activation_modules(patient), functional_kinds(patient)
        if softmaxes:  # units that compete starve the gradient more than any activation that acts on each by itself
            return ExchangePlan(softmaxes, frozenset(), (), {})
        present = Counter(str(activation_kind(module)) for module in modules.values()) + functions
        kinds = self._kinds(patient, present)
        if not executed_layers(patient):
            # Reading the code does not tell which functions are hidden and which the output unit; the mode does.
            kinds |= {kind for kind in functions if kind != self.to}
        chosen = {place: module for place, module in modules.items() if activation_kind(module) in kinds}
        # A module called between layers and at the output stays; the mode tells its calls apart.
        double = {place: chosen.pop(place) for place in places_also_at_output(patient) & set(chosen)}
        functions.update(str(activation_kind(module)) for module in double.values())
        kept = {
            place: module
            for place, module in places_of(patient.model)
            if activation_kind(module) in kinds and place not in chosen and place not in double
        }
        calls = [call for call in functional_calls(patient) if call.activation in kinds]
        sites = tuple(f"{call.call_site or call.name}  {call.kind}" for call in calls)
        return ExchangePlan(chosen, frozenset(kinds & set(functions)), sites, kept)

    def _kinds(self, patient: Patient, present: Counter[str]) -> set[str]:
        """Kinds of activation to exchange: those of the layers that findings name, else the one of smallest slope."""
        if not present:
            raise CureRefusedError("no hidden activation was found, neither as a module nor as a function")
        exchangeable = {kind for kind in present if kind != self.to}
        if not exchangeable:
            raise CureRefusedError(f"every hidden activation is {self.to} already")
        layers = {} if patient.run is None else {layer.name: layer for layer in patient.run.layers}
        named = {
            str(layers[name].activation)
            for finding in patient.findings
            for name in finding.layers
            if name in layers and layers[name].activation is not None
        }
        if named & exchangeable:
            return named & exchangeable
        return {min(sorted(exchangeable), key=lambda kind: (ACTIVATIONS[kind].greatest_slope, -present[kind]))}

    def _replacement_of(self, module: nn.Module) -> nn.Module:
        """A new module; in place where the old one is and the new one can be."""
        kind: type[nn.Module] = getattr(nn, TARGETS[self.to])
        new = kind(inplace=True) if self._is_in_place(module) else kind()
        return new.train(module.training)

    def _is_in_place(self, module: nn.Module) -> bool:
        return takes_inplace(self.to) and bool(getattr(module, "inplace", False))

    def _mode(self, patient: Patient, plan: ExchangePlan) -> ExchangedCalls:
        weight = output_weight(patient)
        return ExchangedCalls(
            plan.function_kinds,
            self.to,
            weights=[id(parameter) for parameter in patient.model.parameters() if parameter.dim() > 1],
            output_weight=None if weight is None else id(weight),
            kept=plan.kept.values(),
        )

    def _in_words(self, plan: ExchangePlan) -> str:
        parts = []
        if plan.modules:
            parts.append(f"{len(plan.modules)} module(s): {listed_in_words(list(plan.modules))}")
        if plan.function_kinds:
            parts.append(f"functional calls of {', '.join(sorted(plan.function_kinds))}")
        return f"hidden activations became {self.to}: {'; '.join(parts)}"

    def snippet(self, patient: Patient) -> str:
        """Assignments for modules, a mode around `model.forward` for functional calls."""
        plan = self._plan(patient)
        parts = [self._module_snippet(plan)] if plan.modules else []
        if plan.function_kinds:
            weight = output_weight(patient)
            names = [name for name, parameter in patient.model.named_parameters() if parameter is weight]
            mode = self._mode(patient, plan)
            output, has_roots = names[0] if names else None, isinstance(patient.model, nn.ModuleDict)
            parts.append(snippet_of(mode, output, list(plan.kept), list(plan.sites), has_roots=has_roots))
        return "\n\n".join(parts)

    def _module_snippet(self, plan: ExchangePlan) -> str:
        places: dict[int, list[str]] = {}
        for place, module in plan.modules.items():
            places.setdefault(id(module), []).append(place)
        by_constructor: dict[str, list[list[str]]] = {}
        for shared in places.values():
            arguments = "inplace=True" if self._is_in_place(plan.modules[shared[0]]) else ""
            by_constructor.setdefault(f"nn.{TARGETS[self.to]}({arguments})", []).append(shared)
        return "from torch import nn\n\n" + "\n".join(
            _loop(constructor, groups) for constructor, groups in by_constructor.items()
        )


def _loop(constructor: str, groups: list[list[str]]) -> str:
    """Code that puts a new module in some places; a module that was shared by several places stays shared."""
    if all(len(group) == 1 for group in groups):
        return (
            f"for place in {[group[0] for group in groups]!r}:\n"
            '    parent, _, child = place.rpartition(".")\n'
            f"    setattr(model.get_submodule(parent), child, {constructor})\n"
        )
    return (
        f"for places in {groups!r}:\n"
        f"    activation = {constructor}\n"
        "    for place in places:\n"
        '        parent, _, child = place.rpartition(".")\n'
        "        setattr(model.get_submodule(parent), child, activation)\n"
    )
