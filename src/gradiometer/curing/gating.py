"""Open the gates that keep a recurrent layer's memory.

What it changes:
    The biases of the forget gates of every LSTM (all layers, both directions, cells too) are set so that together
    they make the value asked for: without one 1, and 3 where the diagnosed run has sequences of 40 steps and more.
    Those of a GRU's update gates likewise, for torch's GRU keeps its state where that gate is open. Every other weight
    and bias stays.

When it helps:
    Through time the gradient of the cell is multiplied by the forget gate at every step. At a bias of 0 the gate
    stands at ½ and halves it: after 20 steps a millionth is left. At 1 it keeps 0.73 a step, at 3 it keeps 0.95.

What it costs:
    Nothing. A memory that is to be short has to learn to forget, and a value above 5 saturates the gate, so that it
    learns that slowly.

Source:
    Gers, Schmidhuber, Cummins, "Learning to forget", Neural Computation 2000; Jozefowicz, Zaremba, Sutskever, "An
    empirical exploration of recurrent network architectures", ICML 2015 (a bias of 1). That 3 is for long ones
    is ours: an LSTM of 16 units that is to tell the first of T numbers learns it within 400 steps of Adam at T = 20
    under either, at T = 60 and 100 only under 3; ln(T - 1) (Tallec and Ollivier, ICLR 2018) and 6 did no better.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.parameter_drawing import ParameterDraw, draw_parameters, opening_code, parameters_code
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.units import format_setting

DEFAULT_BIAS = 1.0
"""What Jozefowicz et al. recommend."""

LONG_BIAS, LONG_STEPS = 3.0, 40
"""The bias for sequences of so many steps and more."""

KEEPING_GATE: dict[type[nn.Module], tuple[int, int]] = {
    nn.LSTM: (1, 4),
    nn.LSTMCell: (1, 4),
    nn.GRU: (1, 3),
    nn.GRUCell: (1, 3),
}
"""For each gated layer of torch: which gate keeps the state, and how many there are."""


@dataclass(frozen=True, slots=True)
class OpenForgetGates(Labelled):
    """Set the biases of the gates that keep the state.

    Attributes:
        bias: The sum of both biases of such a gate; None to have it chosen.
    """

    name: ClassVar[str] = "open_forget_gates"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    bias: float | None = None

    @classmethod
    def parse(cls, setting: str) -> "OpenForgetGates":
        """Read the bias; empty leaves it to be chosen.

        Raises:
            SettingsError: It is not a finite number above 0.
        """
        if not setting:
            return cls()
        try:
            bias = float(setting)
        except ValueError:
            bias = math.nan
        if not 0.0 < bias < math.inf:
            raise SettingsError(f"open_forget_gates:{setting} is not understood; write a bias above 0, as in :1")
        return cls(bias)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return None if self.bias is None else format_setting(self.bias)

    def apply(self, patient: Patient) -> str:
        """Set the biases in place; the optimizer's memory of them is wiped."""
        draws, bias = self._draws(patient), self._bias(patient)
        draw_parameters(patient.model, draws, torch.Generator(), patient.optimizer)
        places = list(dict.fromkeys(name.rpartition(".")[0] or "the model itself" for name in draws))
        return f"forget gates opened to a bias of {bias:g}: {listed_in_words(places)}"

    def _bias(self, patient: Patient) -> float:
        return chosen_bias(patient) if self.bias is None else self.bias

    def _draws(self, patient: Patient) -> dict[str, ParameterDraw]:
        """What the biases become, by name.

        Raises:
            CureRefusedError: There is no such gate, or none with a bias that may be changed.
        """
        gated = list(gated_layers(patient.model))
        if not gated:
            raise CureRefusedError("there is no LSTM or GRU whose gates could be opened")
        draws: dict[str, ParameterDraw] = {}
        for place, layer, gate, gates in gated:
            draws |= gate_draws(place, layer, gate, gates, self._bias(patient))
        if not draws:
            raise CureRefusedError("the gates have no biases, or these are frozen")
        return draws

    def snippet(self, patient: Patient) -> str:
        """A loop over the biases."""
        draws = self._draws(patient)
        return opening_code(draws, 0) + parameters_code(draws)


def chosen_bias(patient: Patient) -> float:
    """The bias that suits the longest sequence of the diagnosed run; `DEFAULT_BIAS` where that is not known."""
    fades = [] if patient.run is None else [fade for step in patient.run.fades.values() for fade in step]
    return LONG_BIAS if max((fade.step_count for fade in fades), default=0) >= LONG_STEPS else DEFAULT_BIAS


def gated_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module, int, int]]:
    """Every LSTM and GRU with its place, the number of the gate that keeps its state, and how many gates it has."""
    for place, module in model.named_modules():
        for kind, (gate, gates) in KEEPING_GATE.items():
            if isinstance(module, kind):
                yield place, module, gate, gates


def gate_draws(place: str, layer: nn.Module, gate: int, gates: int, bias: float) -> dict[str, ParameterDraw]:
    """One gate's biases: of the two that are added, the input's takes the value and the state's becomes zero."""
    own = {name: parameter for name, parameter in layer.named_parameters(recurse=False) if parameter.requires_grad}
    prefix = f"{place}." if place else ""
    draws = {}
    for name in own:
        if name.startswith("bias_ih") and name.replace("bias_ih", "bias_hh") in own:
            for part, value in ((name, bias), (name.replace("bias_ih", "bias_hh"), 0.0)):
                scales = tuple(value if index == gate else None for index in range(gates))
                draws[prefix + part] = ParameterDraw("constant", scales)
    return draws
