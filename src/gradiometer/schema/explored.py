"""What the explorer's page asks of the process in which torch runs, and what it is answered.

Both travel as JSON lines, read back by `gradiometer.schema.retyping`. Layers are counted from 1; the last one is the
output, layer 0 the picture.
"""

from dataclasses import dataclass
from typing import Literal

from gradiometer.errors import SettingsError

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "identity")
STARTS = ("torch", "glorot", "he", "critical", "too_large", "too_small")
COSTS = ("cross_entropy", "sigmoid_cross_entropy", "squared_error")
MOST_LAYERS = 10
MOST_UNITS = 100
MOST_BATCH = 256
MOST_RATE = 1000.0
"""Bounds within which every answer takes a fraction of a second on one core."""

QuestionKind = Literal["scene", "unit", "weight"]
Phase = Literal["forward", "error", "backward", "update"]


@dataclass(frozen=True, slots=True)
class ExplorerSettings:
    """A network and how it is trained; the same settings give the same weights at the same step.

    Attributes:
        activation: Of the hidden layers, one of `ACTIVATIONS`.
        hidden_layers: 0 to `MOST_LAYERS`.
        units: Of each hidden layer, 1 to `MOST_UNITS`.
        start: How the first weights are drawn, one of `STARTS`.
        learning_rate: Of plain descent.
        cost: One of `COSTS`.
        batch_size: Examples of a step, 1 to `MOST_BATCH`.
    """

    activation: str = "relu"
    hidden_layers: int = 2
    units: int = 16
    start: str = "he"
    learning_rate: float = 0.1
    cost: str = "cross_entropy"
    batch_size: int = 32

    def check(self) -> None:
        """Make sure that every setting is one of those that there are.

        Raises:
            SettingsError: One is not; the message says what is allowed.
        """
        words = {"activation": ACTIVATIONS, "start": STARTS, "cost": COSTS}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise SettingsError(f"There is no {name} {getattr(self, name)!r}: choose {', '.join(known)}.")
        bounds = {"hidden_layers": (0, MOST_LAYERS), "units": (1, MOST_UNITS), "batch_size": (1, MOST_BATCH)}
        for name, (least, most) in bounds.items():
            if not least <= getattr(self, name) <= most:
                raise SettingsError(f"{name.replace('_', ' ')}: choose a number from {least} to {most}.")
        if not 0.0 < self.learning_rate <= MOST_RATE:
            raise SettingsError(f"The learning rate has to be above 0 and at most {MOST_RATE:g}.")


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a page.

    Attributes:
        page: Key of the page; each has a network of its own.
        kind: What is asked: `scene`, `unit`, `weight`.
        settings: The network.
        step: Steps that it is to have been trained for; each answer goes on with that for a fraction of a second. A
            network that is further on begins anew.
        example: The digit, by its rank among the digits that nothing was trained on.
        layer: Layer of the unit, 1 to hidden layers + 1; of a weight, the layer that it leads into.
        unit: The unit.
        source: Of a weight, the unit below; of layer 0 the pixel. None for the weight on which the cost depends most.
    """

    page: str
    kind: QuestionKind
    settings: ExplorerSettings
    step: int = 0
    example: int = 0
    layer: int = 1
    unit: int = 0
    source: int | None = None


@dataclass(frozen=True, slots=True)
class DigitData:
    """What the network is trained on.

    Attributes:
        name: What the set is called.
        side: Height and width of a picture, pixels.
        train_count: Pictures to train on.
        labels: Classes of the pictures that one can look at, which nothing was trained on.
    """

    name: str
    side: int
    train_count: int
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LayerScene:
    """One layer while one digit passes.

    Attributes:
        number: Its rank, from 1; the last is the output.
        pre_activations: z = W a + b.
        activations: a = φ(z); of the output what it says, probabilities where it ends in a softmax.
        slopes: φ'(z); 1 for outputs whose function belongs to the cost.
        wanted: Wanted change of each activation: minus the gradient of the cost by it; of the output by what the
            network hands to its cost.
        errors: Gradient of the cost by z.
        level_db: Norm of `errors` relative to the output's, dB.
    """

    number: int
    pre_activations: tuple[float, ...]
    activations: tuple[float, ...]
    slopes: tuple[float, ...]
    wanted: tuple[float, ...]
    errors: tuple[float, ...]
    level_db: float


@dataclass(frozen=True, slots=True)
class WeightPlace:
    """A weight to which the cost is sensitive.

    Attributes:
        layer: Layer that it leads into.
        unit: Unit there.
        source: Unit below; None for the bias.
        value: The weight.
        gradient: Gradient of the digit's cost by it.
        times_median: Its size over `Scene.median_gradient`; None where that is zero.
    """

    layer: int
    unit: int
    source: int | None
    value: float
    gradient: float
    times_median: float | None


@dataclass(frozen=True, slots=True)
class Rung:
    """Level of the error at one layer, over the examples that all ladders are measured on.

    Attributes:
        layer: The layer.
        level_db: Norm of the errors, relative to the output's, dB.
        expected_db: What independent Gaussian weights of the same size would make of it.
    """

    layer: int
    level_db: float
    expected_db: float


@dataclass(frozen=True, slots=True)
class Course:
    """How a training has gone.

    Attributes:
        settings: The network.
        step: Steps so far.
        is_diverged: A number was not finite any more, and training ended.
        accuracy: Share of the digits not trained on that are told.
        cost: Mean cost over them.
        ladder: Levels from the output down to layer 1.
        steps: Steps at which it was looked at.
        accuracies: Accuracy at each.
        costs: Cost at each.
        levels_db: Level at layer 1 at each.
    """

    settings: ExplorerSettings
    step: int
    is_diverged: bool
    accuracy: float
    cost: float
    ladder: tuple[Rung, ...]
    steps: tuple[int, ...] = ()
    accuracies: tuple[float, ...] = ()
    costs: tuple[float, ...] = ()
    levels_db: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Scene:
    """One digit that passes a network.

    Attributes:
        course: How the network's training went.
        earlier: That of the network before the last change of a setting; None where there was none.
        epoch_steps: Steps of an epoch.
        example: Rank of the digit.
        label: What it is.
        said: What the network says.
        cost: Its cost.
        picture: Brightness of its pixels.
        layers: Every layer, the output last.
        sensitive: Weights with the greatest gradients, greatest first.
        median_gradient: Median of the absolute gradients that are not zero; 0 where all are.
        zero_share: Share of the weights and biases whose gradient is zero.
        mistakes: Ranks of the digits that it gets wrong.
    """

    course: Course
    earlier: Course | None
    epoch_steps: int
    example: int
    label: int
    said: int
    cost: float
    picture: tuple[float, ...]
    layers: tuple[LayerScene, ...]
    sensitive: tuple[WeightPlace, ...]
    median_gradient: float
    zero_share: float
    mistakes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """What a unit above asks of a unit: weight times wanted change of the upper one's z."""

    unit: int
    weight: float
    wanted: float


@dataclass(frozen=True, slots=True)
class ClassAsk:
    """What the digits of one class in the mini-batch ask of a unit's bias and of some of its weights, on average.

    Attributes:
        label: The class; None for the average over the whole mini-batch, which is the step that is taken.
        count: Its digits in the mini-batch.
        bias: Wanted change of the bias; None where there is no such digit.
        weights: Wanted change of each of `UnitScene.shown`; empty likewise.
    """

    label: int | None
    count: int
    bias: float | None
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class UnitScene:
    """What one digit, and the next mini-batch, ask of one unit by its three ways.

    Attributes:
        step: Steps that the network has been trained for.
        layer: Its layer.
        unit: Its rank.
        pre_activation: z.
        activation: a.
        slope: φ'(z).
        wanted: Wanted change of a.
        wanted_pre: Wanted change of z: slope times that.
        bias: Its bias.
        below: Activations below.
        weights: Its weights.
        wanted_weights: Wanted change of each: wanted change of z times the activation below.
        wanted_below: What it asks of each activation below: wanted change of z times the weight.
        asked_by: What the units above ask of it, greatest first; their sum is `wanted`. Empty for an output.
        batch_bias: Wanted change of the bias, averaged over the next mini-batch.
        batch_weights: Likewise of the weights.
        shown: Its weights with the greatest wanted change, by their sources.
        classes: What each class of the mini-batch asks of the bias and of `shown`; the average last.
    """

    step: int
    layer: int
    unit: int
    pre_activation: float
    activation: float
    slope: float
    wanted: float
    wanted_pre: float
    bias: float
    below: tuple[float, ...]
    weights: tuple[float, ...]
    wanted_weights: tuple[float, ...]
    wanted_below: tuple[float, ...]
    asked_by: tuple[Ask, ...]
    batch_bias: float
    batch_weights: tuple[float, ...]
    shown: tuple[int, ...]
    classes: tuple[ClassAsk, ...]


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a product.

    Attributes:
        kind: `activation`, `slope`, `weight` and `error` of a path; `share`, `gain` and `norm` of all by layers.
        layer: The layer that it belongs to, or leads into.
        unit: The unit there; 0 where the factor is of a whole layer.
        source: Of a weight, the unit that it comes from.
        value: The factor.
    """

    kind: str
    layer: int
    unit: int
    value: float
    source: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """Factors and what they multiply up to."""

    factors: tuple[Factor, ...]
    value: float


@dataclass(frozen=True, slots=True)
class WalkStep:
    """One step of the walk through a training step: a sum of products, and what is made of it.

    Attributes:
        phase: `forward`, `error`, `backward` or `update`.
        layer: The layer it is about.
        unit: The unit there.
        terms: The greatest products of the sum: unit on the other side, the weight, and what is passed.
        rest: Sum of the other products.
        rest_count: How many they are.
        constant: What is added to the sum: a bias.
        total: The sum: z, or the gradient by the activation; for `update` the gradient averaged over the mini-batch.
        slope: What the gradient is multiplied by on the way back; for `update` the learning rate.
        result: What comes out: a, the gradient by z, the new weight.
    """

    phase: Phase
    layer: int
    unit: int
    terms: tuple[tuple[int, float, float], ...]
    rest: float
    rest_count: int
    constant: float
    total: float
    slope: float
    result: float


@dataclass(frozen=True, slots=True)
class WeightScene:
    """The gradient of one weight for one digit, taken apart.

    Attributes:
        step: Steps that the network has been trained for.
        layer: Layer that it leads into.
        unit: Unit there.
        source: Unit below, or pixel.
        value: The weight.
        gradient: Autograd's number.
        total: The same, added up along all paths without autograd's backward pass.
        path_count: Paths whose product is not zero.
        paths: The greatest products, greatest first.
        rest: Sum of the others.
        by_layers: One product for all paths: the weight's share of its layer's error, the gains from layer to layer,
            and the norm of the error at the output; None where no error arrives.
        batch_gradient: The gradient averaged over the next mini-batch.
        new_value: The weight after the next step.
        walk: Forward pass, error, backward pass and update along the greatest path.
    """

    step: int
    layer: int
    unit: int
    source: int
    value: float
    gradient: float
    total: float
    path_count: int
    paths: tuple[Product, ...]
    rest: float
    by_layers: Product | None
    batch_gradient: float
    new_value: float
    walk: tuple[WalkStep, ...]


Answer = Scene | UnitScene | WeightScene
"""What answers a question of each kind, in their order."""
