"""Redraw the weights.

What it changes:
    The weights of every linear and convolutional layer are drawn anew into the same parameters, biases set to zero.
    `glorot` keeps the signal's size through linear or tanh layers, both ways; `he` does so through ReLU, `lecun`
    forward through linear or SELU layers; `orthogonal` has all singular values 1; `delta_orthogonal` puts such a
    matrix in the middle of every convolution's kernel and zeros around it. These leave embeddings, recurrent layers
    and `nn.MultiheadAttention` alone, and all schemes leave normalising layers alone.
    `critical` draws orthogonal matrices at the scale that puts the network's own activation on the edge of chaos,
    found by numeric integration for any activation, elementwise modules of the script's own included. The first layer
    is scaled so that the signal enters at its proper size (with the input's measured size, where the diagnosed run
    knows it), the output layer stays modest. Convolutions that keep the image's size are delta-orthogonal. The last
    layer of each of B residual branches, found on the first batch, is scaled by 1/sqrt(B), unless a norm follows it in
    the branch. Attention's projections are Glorot's, recurrent weights as `redraw_recurrent_weights:orthogonal` has
    them with their biases kept, embeddings normal of spread 1, or 1/sqrt(width) where the output layer shares them.

When it helps:
    Weights drawn too small starve the gradient layer after layer, weights too large blow it up or saturate units.
    PyTorch's default for `nn.Linear` costs a factor of 1.7 per layer whatever the activation. Through hundreds of
    layers random weights of the right size still lose most directions; orthogonal ones keep them all.

What it costs:
    What was learned or loaded before: it is for training from scratch. Under `critical` the biases of a sigmoid
    network are not zero: each takes out what the mean ½ of the layer before brings its unit (see
    `gradiometer.theory.critical_scale`). A delta-orthogonal network mixes neighbouring pixels only once it has learned
    to.

Source:
    Glorot and Bengio, AISTATS 2010, equation 16; He et al., ICCV 2015, equation 10; LeCun et al., "Efficient
    BackProp", 1998, equation 16; Saxe et al., ICLR 2014 (orthogonal); Xiao et al., ICML 2018, algorithm 1
    (delta-orthogonal); Schoenholz et al., ICLR 2017 (criticality). Residual branches: Zhang, Dauphin, Ma, "Fixup
    initialization", ICLR 2019, and De and Smith, NeurIPS 2020, start them at zero; 1/sqrt(B) (Radford et al., 2019)
    bounds the growth as well and lets every layer learn from the first step.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.drawing import redraw, redrawing_code
from gradiometer.curing.parameter_drawing import draw_parameters, opening_code, parameters_code
from gradiometer.curing.schemes import SCHEMES, drawing_of
from gradiometer.errors import SettingsError


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
        drawing = drawing_of(patient, self.scheme)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for place, draw in drawing.layers.items():
                redraw(patient.model.get_submodule(place), draw, generator)
        for place in drawing.layers:
            for parameter in patient.model.get_submodule(place).parameters(recurse=False):
                if patient.optimizer is not None:
                    patient.optimizer.state.pop(parameter, None)
        draw_parameters(patient.model, drawing.parameters, generator, patient.optimizer)
        others = list(dict.fromkeys(name.rpartition(".")[0] or "the model itself" for name in drawing.parameters))
        places = [*drawing.layers, *others]
        scaled = f"; {drawing.branches} residual branch(es) scaled down" if drawing.branches else ""
        return f"weights of {len(places)} layer(s) were redrawn ({self.scheme}): {listed_in_words(places)}{scaled}"

    def snippet(self, patient: Patient) -> str:
        """A loop over the layers with the scale of each, and one over the parameters of other layers."""
        drawing = drawing_of(patient, self.scheme)
        if not drawing.parameters:
            return redrawing_code(patient.model, drawing.layers, self.seed)
        others = parameters_code(drawing.parameters)
        if not drawing.layers:
            return opening_code(drawing.parameters, self.seed) + others
        layers = redrawing_code(patient.model, drawing.layers, self.seed)
        opening = "from torch import nn\n" if "nn.init" in others and "from torch import nn" not in layers else ""
        return f"{opening}{layers}\n{others}"
