"""Redraw a recurrent layer's weights.

What it changes:
    In every `nn.RNN`, `nn.LSTM`, `nn.GRU` and their cells the weights from state to state are drawn anew: `orthogonal`
    for each gate by itself, or `identity` (ReLU and tanh layers only). Weights from the input are Glorot's, for each
    gate by itself, biases become zero, those of an LSTM's forget gates 1. Without a setting ReLU layers get the
    identity and all others orthogonal matrices. Everything outside recurrent layers stays.

When it helps:
    Through time the gradient is multiplied by the same matrix at every step. PyTorch draws it uniformly, so that its
    singular values spread from near 0 to about 1.2 and most directions are lost within a few steps. An orthogonal
    matrix keeps all of them; the identity with ReLU keeps a state as it is until something is added.

What it costs:
    What was learned or loaded before: it is for training from scratch. Under the identity a ReLU state may grow with
    the length of the sequence; clip gradients beside it.

Source:
    Saxe, McClelland, Ganguli, ICLR 2014 (orthogonal); Le, Jaitly, Hinton, "A simple way to initialize recurrent
    networks of rectified linear units", 2015 (identity; its input weights are smaller than Glorot's); Glorot and
    Bengio, AISTATS 2010, equation 16.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.gating import DEFAULT_BIAS
from gradiometer.curing.parameter_drawing import ParameterDraw, draw_parameters, opening_code, parameters_code
from gradiometer.errors import CureRefusedError, SettingsError

SCHEMES = ("orthogonal", "identity")
"""Ways to draw the weights from state to state."""

GATE_COUNTS: dict[type[nn.Module], int] = {
    nn.RNN: 1,
    nn.RNNCell: 1,
    nn.LSTM: 4,
    nn.LSTMCell: 4,
    nn.GRU: 3,
    nn.GRUCell: 3,
}
"""Torch's recurrent layers, and how many gates share one weight."""


@dataclass(frozen=True, slots=True)
class RedrawRecurrentWeights(Labelled):
    """Draw the weights of recurrent layers anew.

    Attributes:
        scheme: One of `SCHEMES`; None to have it chosen for each layer.
        seed: Seed of the generator that draws them.
    """

    name: ClassVar[str] = "redraw_recurrent_weights"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    scheme: str | None = None
    seed: int = 0

    @classmethod
    def parse(cls, setting: str) -> "RedrawRecurrentWeights":
        """Read the scheme; empty leaves it to be chosen.

        Raises:
            SettingsError: It is not one of `SCHEMES`.
        """
        if setting and setting not in SCHEMES:
            known = ", ".join(SCHEMES)
            raise SettingsError(f"there is no way to draw recurrent weights called {setting!r}; choose {known}")
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.scheme

    def apply(self, patient: Patient) -> str:
        """Copy new weights into the same parameters; the optimizer's memory of them is wiped."""
        draws = self._draws(patient)
        draw_parameters(patient.model, draws, torch.Generator().manual_seed(self.seed), patient.optimizer)
        places = list(dict.fromkeys(name.rpartition(".")[0] or "the model itself" for name in draws))
        return f"recurrent weights were redrawn ({self.scheme or 'chosen by layer'}): {listed_in_words(places)}"

    def _draws(self, patient: Patient) -> dict[str, ParameterDraw]:
        """How each parameter is drawn, by name.

        Raises:
            CureRefusedError: There is no recurrent layer, or one that the identity does not suit.
        """
        layers = list(recurrent_layers(patient.model))
        if not layers:
            raise CureRefusedError("there is no recurrent layer (nn.RNN, nn.LSTM, nn.GRU or a cell of these)")
        gated = [place for place, _, gates in layers if gates > 1]
        if self.scheme == "identity" and gated:
            places = listed_in_words(gated)
            raise CureRefusedError(f"identity is for layers without gates, and {places} has them; choose orthogonal")
        draws: dict[str, ParameterDraw] = {}
        for place, layer, gates in layers:
            draws |= recurrent_draws(place, layer, gates, self.scheme or chosen_scheme(layer), with_biases=True)
        if not draws:
            raise CureRefusedError("the recurrent layers are frozen, or their weights are computed from others")
        return draws

    def snippet(self, patient: Patient) -> str:
        """A loop over the parameters."""
        draws = self._draws(patient)
        return opening_code(draws, self.seed) + parameters_code(draws)


def recurrent_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module, int]]:
    """Every recurrent layer of torch with its place and how many gates share one weight."""
    for place, module in model.named_modules():
        for kind, gates in GATE_COUNTS.items():
            if isinstance(module, kind):
                yield place, module, gates


def chosen_scheme(layer: nn.Module) -> str:
    """The identity for a ReLU layer, else orthogonal."""
    return "identity" if getattr(layer, "nonlinearity", None) == "relu" else "orthogonal"


def recurrent_draws(
    place: str, layer: nn.Module, gates: int, scheme: str, *, with_biases: bool
) -> dict[str, ParameterDraw]:
    """How the trainable parameters of one recurrent layer are drawn, by name.

    Args:
        place: Its place in the model.
        layer: The layer.
        gates: How many gates share one weight.
        scheme: `orthogonal` or `identity`, from state to state.
        with_biases: Set the biases too.

    Returns:
        The draws; a projection (`proj_size`) is drawn orthogonal.
    """
    draws = {}
    for name, parameter in layer.named_parameters(recurse=False):
        if not parameter.requires_grad:
            continue
        full_name = f"{place}.{name}" if place else name
        if name.startswith("weight_hh"):
            draws[full_name] = ParameterDraw("identity" if scheme == "identity" else "orthogonal", (1.0,) * gates)
        elif name.startswith("weight_hr"):
            draws[full_name] = ParameterDraw("orthogonal", (1.0,))
        elif name.startswith("weight_ih"):
            bound = glorot_bound(parameter.shape[1], parameter.shape[0] // gates)
            draws[full_name] = ParameterDraw("uniform", (bound,) * gates)
        elif with_biases and name.startswith(("bias_ih", "bias_hh")):
            forget = DEFAULT_BIAS if gates == 4 and name.startswith("bias_ih") else 0.0
            draws[full_name] = ParameterDraw("constant", tuple(forget if gate == 1 else 0.0 for gate in range(gates)))
    return draws


def glorot_bound(fan_in: float, fan_out: float) -> float:
    """Bound of Glorot's uniform distribution, six digits: no network can tell, and the snippet reads better."""
    return float(f"{math.sqrt(6.0 / (fan_in + fan_out)):.6g}")
