"""Redraw the weights.

What it changes:
    The weights of every linear and convolutional layer are drawn anew into the same parameters, biases set to zero.
    `glorot` keeps the signal's size through linear or tanh layers, both ways; `he` does so through ReLU; `critical`
    draws orthogonal matrices at the scale that puts the network's own activation on the edge of chaos, found by
    numeric integration for any activation. The first layer is scaled so that the signal enters at its proper size
    (with the input's measured size, where the diagnosed run knows it), the output layer stays modest. Embeddings,
    normalising layers, recurrent layers and attention keep theirs.

When it helps:
    Weights drawn too small starve the gradient layer after layer, weights too large blow it up or saturate units.
    PyTorch's default for `nn.Linear` costs a factor of 1.7 per layer whatever the activation.

What it costs:
    What was learned or loaded before: it is for training from scratch. Under `critical` the biases of a sigmoid
    network are not zero: each takes out what the mean ½ of the layer before brings its unit (see
    `gradiometer.theory.critical_scale`).

Source:
    Glorot and Bengio, AISTATS 2010, equation 16; He et al., ICCV 2015, equation 10; Saxe et al., ICLR 2014
    (orthogonal); Schoenholz et al., ICLR 2017 (criticality).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.drawing import Draw, canonical_shape, is_transposed, redraw, redrawing_code
from gradiometer.curing.survey import WeightedLayer, hidden_activation, weighted_layers
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.measuring.layers import weighted_fans
from gradiometer.theory.critical_scale import critical_scale

SCHEMES = ("glorot", "he", "critical")
"""Ways to draw weights."""


@dataclass(frozen=True, slots=True)
class RedrawWeights(Labelled):
    """Draw all weights anew.

    Attributes:
        scheme: One of `SCHEMES`.
        seed: Seed of the generator that draws them.
    """

    name: ClassVar[str] = "redraw_weights"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    scheme: str = "critical"
    seed: int = 0

    @classmethod
    def parse(cls, setting: str) -> "RedrawWeights":
        """Read the scheme; empty stands for `critical`.

        Raises:
            SettingsError: It is not one of `SCHEMES`.
        """
        if setting and setting not in SCHEMES:
            raise SettingsError(f"there is no way to draw weights called {setting!r}; choose {', '.join(SCHEMES)}")
        return cls(setting or "critical")

    @property
    def setting(self) -> str:
        """As it is written behind the name."""
        return self.scheme

    def apply(self, patient: Patient) -> str:
        """Copy new weights into the same parameters; the optimizer's memory of them is wiped."""
        draws = self._draws(patient)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for place, draw in draws.items():
                redraw(patient.model.get_submodule(place), draw, generator)
        for place in draws:
            for parameter in patient.model.get_submodule(place).parameters(recurse=False):
                if patient.optimizer is not None:
                    patient.optimizer.state.pop(parameter, None)
        return f"weights of {len(draws)} layer(s) were redrawn ({self.scheme}): {listed_in_words(list(draws))}"

    def _draws(self, patient: Patient) -> dict[str, Draw]:
        """How each layer is drawn, in order of execution.

        Raises:
            CureRefusedError: There is no hidden layer, or `critical` has no activation to go by.
        """
        layers = [(place, layer) for place, layer in weighted_layers(patient) if layer.weight.requires_grad]
        if len(layers) < 2:
            raise CureRefusedError("the network has no hidden layer whose weights could be redrawn")
        chooser = self._critical(patient) if self.scheme == "critical" else self._textbook()
        last = len(layers) - 1
        return {place: chooser(layer, index == 0, index == last) for index, (place, layer) in enumerate(layers)}

    def _textbook(self) -> Callable[[WeightedLayer, bool, bool], Draw]:
        """Glorot for all layers, or He for all but the output layer."""

        def choose(layer: WeightedLayer, is_first: bool, is_last: bool) -> Draw:  # noqa: FBT001 - called in one place
            fan_in, fan_out = weighted_fans(layer)
            if self.scheme == "he" and not is_last:
                return Draw("normal", rounded(math.sqrt(2.0 / fan_in)))
            return Draw("uniform", rounded(math.sqrt(6.0 / (fan_in + fan_out))))

        return choose

    def _critical(self, patient: Patient) -> Callable[[WeightedLayer, bool, bool], Draw]:
        """Orthogonal, at the scale of the network's own activation."""
        activation = hidden_activation(patient)
        if activation is None:
            raise CureRefusedError("no hidden activation was found whose critical scale could be computed")
        try:
            scale = critical_scale(activation)
        except SettingsError as error:
            raise CureRefusedError(str(error)) from error
        entry = math.sqrt(max(scale.entry_rms**2 - scale.sigma_b**2, 0.0)) / input_rms(patient)

        def choose(layer: WeightedLayer, is_first: bool, is_last: bool) -> Draw:  # noqa: FBT001 - called in one place
            sigma = entry if is_first else 1.0 if is_last else scale.sigma_w
            mean = 0.0 if is_first or layer.bias is None or is_transposed(layer) else scale.output_mean
            gain, bias_scale = rounded(sigma * orthogonal_factor(layer)), 0.0 if is_last else rounded(scale.sigma_b)
            return Draw("orthogonal", gain, bias_scale, mean)

        return choose

    def snippet(self, patient: Patient) -> str:
        """A loop over the layers with the scale of each."""
        return redrawing_code(patient.model, self._draws(patient), self.seed)


def rounded(scale: float) -> float:
    """Six digits: no network can tell, and the snippet reads better."""
    return float(f"{scale:.6g}")


def orthogonal_factor(layer: WeightedLayer) -> float:
    """What brings an orthogonal matrix's entries to variance 1 / fan_in, so that the forward signal keeps its size."""
    shape = canonical_shape(layer)
    return math.sqrt(max(shape[0], math.prod(shape[1:])) / weighted_fans(layer)[0])


def input_rms(patient: Patient) -> float:
    """Root mean square of the network's input in the diagnosed run; 1 where it is not known."""
    if patient.run is None:
        return 1.0
    measured = np.asarray(patient.run.snapshot_columns.get("input_rms", np.zeros(0)))
    usable = measured[np.isfinite(measured) & (measured > 0.0)]
    return float(f"{usable[0]:.3g}") if len(usable) else 1.0
