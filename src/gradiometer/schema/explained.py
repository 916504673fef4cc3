"""What one batch asks of a network (`Nudges`), and how examples agree (`Agreement`).

A nudge is the change that lowers the loss fastest: minus a gradient. Every number is autograd's for what the loss
function returned; where that is a mean over examples, one example's own loss asks as many times more as there are
examples, and `LayerNudge.errors` says what each contributes to the mean.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gradiometer.errors import GradiometerError
from gradiometer.schema.nudge_words import story_of
from gradiometer.schema.run import FloatArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LayerNudge:
    """One call of a layer: what it gave, and what the loss would have of it.

    Attributes:
        layer: Name of the call: a module's path, or a function such as `body.relu#2`.
        kind: Class of the module, or name of the function.
        shape: Of its output, batch and all.
        activations: Its output, of that shape; None where the network is too large to keep it.
        errors: Gradient of the loss by its output, of that shape; None likewise, or where no gradient came.
        activation_rms: Root mean square of the output.
        error_norm: Norm of the gradient over the whole batch; None where no gradient came.
        unit_axis: Axis of its units in the shape.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    activations: FloatArray | None = None
    errors: FloatArray | None = None
    activation_rms: float | None = None
    error_norm: float | None = None
    unit_axis: int = -1

    def __repr__(self) -> str:
        """Layer and shape, not the arrays."""
        return f"<LayerNudge of {self.layer} ({self.kind}): {'x'.join(map(str, self.shape))}>"

    @property
    def wanted(self) -> FloatArray | None:
        """The change of its output that lowers the loss fastest: minus the errors; None where they are not known."""
        return None if self.errors is None else -self.errors


@dataclass(frozen=True, slots=True, eq=False)
class UnitAsk:
    """What one example asks of one unit, by the three ways in which the unit can change.

    Attributes:
        layer: The unit's layer.
        unit: Its rank along the axis of units.
        example: The example's rank in the batch.
        error: Gradient of the loss by the unit's output, summed over positions.
        weights: By parameter the wanted change of what the unit reads, in proportion to the activations below;
            of the parameter's shape, or of the unit's own row where it has one. A bias is one of them.
        activations: By layer below (`input` for the network's) the wanted change of this example's activations, in
            proportion to the weights.
    """

    layer: str
    unit: int
    example: int
    error: float
    weights: dict[str, FloatArray] = field(default_factory=dict)
    activations: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def bias(self) -> float | None:
        """Wanted change of the unit's bias; None where it has none of its own."""
        found = [value for name, value in self.weights.items() if name.rpartition(".")[2] == "bias"]
        return float(found[0]) if len(found) == 1 and found[0].size == 1 else None


@dataclass(frozen=True, slots=True)
class ParameterNudge:
    """What a batch asks of one parameter, and how far its examples agree on it.

    Attributes:
        parameter: Its name.
        gradient_norm: Norm of the batch's gradient.
        asked_norm: Mean over examples of the norm of what one example's own loss asks (where the loss is a mean);
            None where examples can't be told apart.
        agreement: The first over the second: 1 where all ask for the same, 1/sqrt(examples) where they ask at random.
        true_cosine: Cosine between the batch's gradient and that of the data set, None without one.
        reason: Why examples can't be told apart, empty where they can.
    """

    parameter: str
    gradient_norm: float
    asked_norm: float | None = None
    agreement: float | None = None
    true_cosine: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SensitiveWeight:
    """A weight to whose change the loss responds strongly.

    Attributes:
        parameter: Name of its parameter.
        index: Its place there.
        gradient: Gradient of the loss by it.
        times_median: Its absolute value over the median of all trainable weights; None where that is zero.
    """

    parameter: str
    index: tuple[int, ...]
    gradient: float
    times_median: float | None = None


@dataclass(frozen=True, slots=True)
class PathTerm:
    """One factor of a product.

    Attributes:
        name: What it is, such as `4[0, 3] by 3[0, 7]`: the derivative of one unit's output by another's.
        value: The factor.
    """

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class GradientPath:
    """One way on which a weight acts on the loss.

    Attributes:
        terms: Factors from the weight on to the loss.
        product: What they multiply up to.
    """

    terms: tuple[PathTerm, ...]
    product: float


@dataclass(frozen=True, slots=True)
class WeightPath:
    """The gradient of one weight, taken apart.

    Attributes:
        parameter: Name of its parameter.
        index: Its place there.
        gradient: Autograd's number.
        kind: `paths`: a sum over all ways through units; `layers`: one product of layers' gains, in a large network.
        path_count: Ways that are not zero; 1 for `layers`.
        paths: The largest ones, largest first.
        total: Sum over all ways, listed or not, found without autograd's backward pass.
    """

    parameter: str
    index: tuple[int, ...]
    gradient: float
    kind: Literal["paths", "layers"]
    path_count: int
    paths: tuple[GradientPath, ...]
    total: float

    @property
    def rest(self) -> float:
        """Sum over the ways that are not listed."""
        return self.total - sum(path.product for path in self.paths)

    def __str__(self) -> str:
        """The gradient as a sum of products, term by term, one way a line."""
        place = ", ".join(map(str, self.index))
        lines = [f"gradient of the loss by {self.parameter}[{place}]: {self.gradient:.6g}"]
        for path in self.paths:
            terms = " x ".join(f"{term.value:.4g} ({term.name})" for term in path.terms)
            lines.append(f"  {path.product:+.4g} = {terms}")
        left = self.path_count - len(self.paths)
        return "\n".join([*lines, *([f"  {self.rest:+.4g} from {left} other ways"] if left > 0 else [])])


@dataclass(frozen=True, slots=True)
class Tracer:
    """Functions that look into the model once more, with the same random numbers; they refuse a changed model.

    Attributes:
        path: From a parameter, an index and how many paths to list, to the gradient of one weight, taken apart.
        asks: From a layer, a unit and an example to what the example asks of the unit.
        gradient: From a parameter to its gradient.
    """

    path: Callable[[str, tuple[int, ...], int], WeightPath]
    asks: Callable[[str, int, int], UnitAsk]
    gradient: Callable[[str], FloatArray]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Nudges:
    """What one batch asks of every layer, unit and weight; see `gradiometer.nudges`.

    Attributes:
        loss: What the loss function returned.
        example_count: Examples of the batch.
        outputs: The model's output; None where it is no single tensor, or was too large to keep.
        wanted: The wanted change of each output, minus the gradient by it.
        targets: The examples' classes, where the target is one whole number for each; else None.
        layers: Every call of a layer, in order of execution.
        parameters: Every trainable parameter.
        sensitive: Weights with the greatest absolute gradients, greatest first.
        median_gradient: Median of the absolute gradients of all trainable weights.
        true_cosine: Cosine between this batch's gradient and that of the data set; None without one.
        tracer: Looks into the model again.
        inputs: The first tensor of the input, batch first; None where it was too large to keep.
    """

    loss: float
    example_count: int
    outputs: FloatArray | None
    wanted: FloatArray | None
    targets: tuple[int, ...] | None
    layers: tuple[LayerNudge, ...]
    parameters: tuple[ParameterNudge, ...]
    sensitive: tuple[SensitiveWeight, ...]
    median_gradient: float
    true_cosine: float | None
    tracer: Tracer = field(repr=False)
    inputs: FloatArray | None = None

    def __repr__(self) -> str:
        """The counts, not the arrays; `story` says more."""
        return (
            f"<Nudges of {self.example_count} examples: loss {self.loss:.4g}, {len(self.layers)} calls of layers, "
            f"{len(self.parameters)} parameters>"
        )

    def __str__(self) -> str:
        """The story of the first example."""
        return self.story()

    def layer(self, name: str) -> LayerNudge:
        """The call of a layer with this name.

        Raises:
            GradiometerError: There is none; the message lists those that there are.
        """
        found = next((one for one in self.layers if one.layer == name), None)
        if found is None:
            raise GradiometerError(f"No layer {name!r} was called; there are: {names_in(self.layers)}.")
        return found

    def asks(self, layer: str, unit: int, example: int = 0) -> UnitAsk:
        """What one example asks of one unit by its three ways: bias, weights, activations below.

        Args:
            layer: Name of the unit's layer.
            unit: Its rank: a column of a linear layer, a channel of a convolution.
            example: Rank of the example in the batch.

        Raises:
            GradiometerError: There is no such layer, unit or example, or the model has changed since.
        """
        return self.tracer.asks(layer, unit, example)

    def gradient(self, parameter: str) -> FloatArray:
        """Gradient of the loss by one parameter, computed anew.

        Raises:
            GradiometerError: There is no such parameter, or the model has changed since.
        """
        return self.tracer.gradient(parameter)

    def path(self, parameter: str, index: int | tuple[int, ...], *, most_paths: int = 10) -> WeightPath:
        """Take the gradient of one weight apart: path by path in a small network, layer by layer in a large one.

        Args:
            parameter: Name of the parameter.
            index: The weight's place there.
            most_paths: Paths to list.

        Raises:
            GradiometerError: There is no such weight, or the model has changed since.
        """
        return self.tracer.path(parameter, (index,) if isinstance(index, int) else tuple(index), most_paths)

    def story(self, example: int = 0) -> str:
        """A few plain sentences: what one example is, what the network says, what should change, where it matters.

        Args:
            example: Rank of the example in the batch.
        """
        return story_of(self, example)


def names_in(layers: tuple[LayerNudge, ...], most: int = 20) -> str:
    """Names of layers for a message, the first ones where there are many."""
    names = [one.layer for one in layers]
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


@dataclass(frozen=True, slots=True)
class ExamplePull:
    """How hard one example pulls at the weights, and whether with its class or against it.

    Attributes:
        index: Its rank in the data as they were given.
        label: Its class as given; None where there are none.
        norm: Norm of the gradient of its own loss.
        class_cosine: Cosine with the mean direction of the other examples of its class.
        disagreement: Norm times (1 - cosine): what it asks beside that which its class asks.
    """

    index: int
    label: int | None
    norm: float
    class_cosine: float
    disagreement: float


@dataclass(frozen=True, slots=True)
class ClassPull:
    """How the examples of one class agree.

    Attributes:
        label: The class; None where there are none.
        example_count: Its examples.
        own_cosine: Mean cosine of its examples with the mean direction of the others of the class.
        whole_cosine: Mean cosine of its examples with the gradient of all examples.
        cosines: Cosine of its mean direction with that of each class, in the order of `Agreement.classes`.
    """

    label: int | None
    example_count: int
    own_cosine: float | None
    whole_cosine: float | None
    cosines: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Agreement:
    """How the gradients of examples and classes agree; see `gradiometer.agreement`.

    Attributes:
        examples: Every example, those first that disagree most: where labels are wrong, they stand there.
        classes: Every class that has an example, by label.
        measured_share: Share of the trainable elements that were measured.
        not_measured: Parameters that were left out, each with the reason.
    """

    examples: tuple[ExamplePull, ...]
    classes: tuple[ClassPull, ...]
    measured_share: float
    not_measured: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """The counts, and the examples that disagree most."""
        first = ", ".join(str(pull.index) for pull in self.examples[:5])
        return (
            f"<Agreement of {len(self.examples)} examples in {len(self.classes)} classes; most against their class: "
            f"{first}{' ...' if len(self.examples) > 5 else ''}>"
        )

    def hardest(self, count: int = 10) -> tuple[ExamplePull, ...]:
        """Examples that pull hardest at the weights, hardest first."""
        return tuple(sorted(self.examples, key=lambda one: (-one.norm, one.index))[:count])
