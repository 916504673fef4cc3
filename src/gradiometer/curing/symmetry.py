"""Break the symmetry of units.

What it changes:
    The layers all of whose units have the same weights, zeros or another constant, rows of a linear layer or filters of
    a convolution, are drawn anew as `redraw_weights:critical` would draw them, and by Glorot where no hidden
    activation is known. An output layer of zeros stays, as does a layer of zeros that ends a residual branch: both are
    common on purpose, and their gradient tears them apart. Every other layer stays as it is to the bit.

When it helps:
    Units with equal weights give equal answers and get equal gradients: a layer of a thousand does what a single unit
    does, for ever.

What it costs:
    Nothing: a layer of identical units has learned nothing that could be lost.

Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 8.4.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradiometer.curing.branches import branch_ends
from gradiometer.curing.cure import Moment, Patient, Placement, WithoutSetting, listed_in_words
from gradiometer.curing.drawing import Draw, is_transposed, redraw, redrawing_code
from gradiometer.curing.schemes import drawing_of
from gradiometer.curing.survey import WeightedLayer, weighted_layers
from gradiometer.errors import CureRefusedError


@dataclass(frozen=True, slots=True)
class BreakSymmetry(WithoutSetting):
    """Draw those layers anew whose units are identical.

    Attributes:
        seed: Seed of the generator that draws them.
    """

    name: ClassVar[str] = "break_symmetry"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    seed: int = 0

    def apply(self, patient: Patient) -> str:
        """Copy new weights into the same parameters; the optimizer's memory of them is wiped."""
        draws = self._draws(patient)
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for place, draw in draws.items():
                layer = patient.model.get_submodule(place)
                redraw(layer, draw, generator)
                for parameter in layer.parameters(recurse=False):
                    if patient.optimizer is not None:
                        patient.optimizer.state.pop(parameter, None)
        return f"{len(draws)} layer(s) of identical units were redrawn: {listed_in_words(list(draws))}"

    def _draws(self, patient: Patient) -> dict[str, Draw]:
        """How the layers of identical units are drawn, by place.

        Raises:
            CureRefusedError: There is none.
        """
        places = symmetric_places(patient)
        if not places:
            raise CureRefusedError("no layer's units are identical")
        try:
            drawing = drawing_of(patient, "critical")
        except CureRefusedError:
            drawing = drawing_of(patient, "glorot")
        return {place: draw for place, draw in drawing.layers.items() if place in places}

    def snippet(self, patient: Patient) -> str:
        """A loop over these layers with the scale of each."""
        return redrawing_code(patient.model, self._draws(patient), self.seed)


def symmetric_places(patient: Patient) -> list[str]:
    """Places of the trainable layers whose units are identical, but for layers of zeros where they are meant."""
    layers = {place: layer for place, layer in weighted_layers(patient) if layer.weight.requires_grad}
    found = [place for place, layer in layers.items() if has_identical_units(layer)]
    zeros = {place for place in found if not layers[place].weight.any()}
    meant = {list(layers)[-1]} if layers else set()
    if zeros - meant:
        meant |= branch_ends(patient, layers)
    return [place for place in found if place not in zeros & meant]


def has_identical_units(layer: WeightedLayer) -> bool:
    """Whether all of at least two units have the same weights."""
    weight = layer.weight.detach()
    units = (weight.transpose(0, 1) if is_transposed(layer) else weight).flatten(1)
    return len(units) > 1 and bool((units == units[:1]).all())
