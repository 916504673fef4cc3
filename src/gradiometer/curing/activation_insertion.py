"""Insert activations.

What it changes:
    Behind every hidden linear or convolutional layer that no activation follows comes one, ReLU unless another is
    named (`insert_activation:tanh`). The layer and its activation stand together in the layer's place, so that
    `model.fc1.weight` and `model.layers[3]` still work.

When it helps:
    Layers with nothing but linear maps between them are together one linear layer, however many there are: the
    network learns what a linear model can learn and no more. The usual reason is an activation that was made in the
    constructor and never called.

What it costs:
    Names: `fc1.weight` becomes `fc1.0.weight` in a checkpoint. A network that is linear on purpose, such as a low-rank
    factorisation or a linear probe, is none any more.

Source:
    Goodfellow, Bengio, Courville, "Deep learning", 2016, section 6.1: a feed-forward network of linear layers is a
    linear function of its input.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gradiometer.curing.activation import TARGETS
from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.hidden import hidden_layers
from gradiometer.curing.standing_in import ANSWERING, StandIn, put_in_place, shared_places
from gradiometer.curing.survey import (
    WeightedLayer,
    executed_layers,
    functional_kinds,
    hidden_activation_modules,
    weighted_layers,
)
from gradiometer.errors import CureRefusedError, SettingsError

ACTIVATED = f'''\
class Activated(nn.Sequential):
    """A layer and its activation in one place; what else is asked of it (`weight`) the layer answers."""

{ANSWERING}'''

LOOP = """\
places = dict(model.named_modules(remove_duplicate=False))
for hidden in {hidden!r}:
    layer = places[hidden]
    activated = Activated(layer, nn.{activation}()).train(layer.training)
    for place in (place for place, module in places.items() if module is layer):
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, activated)
"""


class Activated(StandIn):
    """A layer and its activation in one place."""


@dataclass(frozen=True, slots=True)
class InsertActivation(Labelled):
    """Put an activation behind every hidden layer that has none.

    Attributes:
        kind: Name of the activation, a key of `gradiometer.curing.activation.TARGETS`.
    """

    name: ClassVar[str] = "insert_activation"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"

    kind: str = "relu"

    @classmethod
    def parse(cls, setting: str) -> "InsertActivation":
        """Read the name of the activation; empty stands for ReLU.

        Raises:
            SettingsError: There is none of that name.
        """
        if setting and setting not in TARGETS:
            raise SettingsError(f"there is no activation {setting!r} to insert; choose {', '.join(TARGETS)}")
        return cls(setting or "relu")

    @property
    def setting(self) -> str:
        """As it is written behind the name."""
        return self.kind

    def apply(self, patient: Patient) -> str:
        """Put layer and activation in the layer's place."""
        layers = bare_layers(patient)
        activation: type[nn.Module] = getattr(nn, TARGETS[self.kind])
        for place, layer in layers:
            put_in_place(patient.model, {place: Activated(layer, activation()).train(layer.training)})
        return (
            f"{activation.__name__} follows {len(layers)} layer(s): {listed_in_words([place for place, _ in layers])}"
        )

    def snippet(self, patient: Patient) -> str:
        """The wrapper, and a loop over the layers."""
        places = [place for place, _ in bare_layers(patient)]
        loop = LOOP.format(hidden=places, activation=TARGETS[self.kind])
        return f"from torch import nn\n\n\n{ACTIVATED}\n\n{loop}"


def bare_layers(patient: Patient) -> list[tuple[str, WeightedLayer]]:
    """Hidden layers that no activation follows, in order, a shared one once.

    Raises:
        CureRefusedError: There are none.
    """
    if executed_layers(patient):
        found = [(known.place, known.layer) for known in hidden_layers(patient) if not known.is_activated]
    elif hidden_activation_modules(patient) or functional_kinds(patient):
        found = []
    else:
        found = weighted_layers(patient)[:-1]
    first = [(place, layer) for place, layer in found if shared_places(patient.model, layer)[0] == place]
    if not first:
        raise CureRefusedError("every hidden layer is followed by an activation already, or there is no hidden layer")
    return first
