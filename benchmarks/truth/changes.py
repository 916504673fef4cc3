"""What faults do to a training: to its weights, its data, its output and loss, its loop."""

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.truth.networks import After
from benchmarks.truth.training import Training

Change = Callable[[Training], str | None]
"""Changes a training in place; the name of the layer that the fault sits in, or None where it sits in none."""


def weight_layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Linear layers and convolutions with their names, input first."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]


def pick_hidden(training: Training) -> tuple[str, nn.Module]:
    """A weight layer that is neither the first nor the last; the first where there are only two."""
    layers = weight_layers(training.model)
    return training.chance.choice(layers[1:-1] or layers[:1])


def swap(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put another module in the place of a named one."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def scale_weights(least: float, greatest: float) -> Change:
    """All weight layers but the last times a factor between two bounds."""

    def change(training: Training) -> None:
        factor = log_uniform(training.chance, least, greatest)
        with torch.no_grad():
            for _, layer in weight_layers(training.model)[:-1]:
                layer.weight.mul_(factor)

    return change


def scale_layer(least: float, greatest: float) -> Change:
    """One hidden layer's weights times a factor between two bounds."""

    def change(training: Training) -> str:
        name, layer = pick_hidden(training)
        with torch.no_grad():
            layer.weight.mul_(log_uniform(training.chance, least, greatest))
        return name

    return change


def set_weights(*values: float) -> Change:
    """All weights one constant, biases zero."""

    def change(training: Training) -> None:
        value = training.chance.choice(values)
        for _, layer in weight_layers(training.model):
            nn.init.constant_(layer.weight, value)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    return change


def set_bias(least: float, greatest: float) -> Change:
    """One hidden layer's biases all the same number."""

    def change(training: Training) -> str:
        name, layer = pick_hidden(training)
        nn.init.constant_(layer.bias, training.chance.uniform(least, greatest))
        return name

    return change


def set_all_biases(least: float, greatest: float) -> Change:
    """The biases of all hidden layers one number."""

    def change(training: Training) -> None:
        value = training.chance.uniform(least, greatest)
        for _, layer in weight_layers(training.model)[:-1]:
            nn.init.constant_(layer.bias, value)

    return change


def after_hidden(make: Callable[[nn.Module], nn.Module]) -> Change:
    """Something put in the place of one hidden activation, told that activation."""

    def change(training: Training) -> str:
        names = [name for name, module in training.model.named_modules() if is_activation(module)]
        name = training.chance.choice(names)
        swap(training.model, name, make(training.model.get_submodule(name)))
        return name

    return change


def is_activation(module: nn.Module) -> bool:
    """Whether a module is one of torch's activations."""
    return type(module).__module__ == "torch.nn.modules.activation"


class Detached(nn.Module):
    """An activation whose output is cut off from the graph."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(x).detach()


class Logarithm(nn.Module):
    """The logarithm of an activation, which is zero or below for some."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(self.activation(x))


def log_uniform(chance: random.Random, least: float, greatest: float) -> float:
    """A number between two bounds, even on a logarithmic scale."""
    return least * (greatest / least) ** chance.random()


def raw_pixels(training: Training) -> None:
    """Inputs as whole numbers from 0 to 255."""
    inputs = training.inputs
    least, greatest = inputs.min(), inputs.max()
    training.inputs = ((inputs - least) / (greatest - least) * 255.0).round()


def large_feature(training: Training) -> None:
    """One feature in a unit that makes it thousands of times larger than the others."""
    inputs = training.inputs.clone()
    feature = training.chance.randrange(inputs.shape[-1])
    while not inputs[..., feature].any():
        feature = training.chance.randrange(inputs.shape[-1])
    inputs[..., feature] *= log_uniform(training.chance, 1e3, 3e4)
    training.inputs = inputs


def raw_table(training: Training) -> None:
    """Each feature in a unit of its own, with an offset, as a table comes from a file."""
    inputs = training.inputs
    scales = torch.tensor([log_uniform(training.chance, 0.1, 1e4) for _ in range(inputs.shape[1])])
    offsets = torch.tensor([training.chance.uniform(1.0, 6.0) for _ in range(inputs.shape[1])])
    training.inputs = (inputs + offsets) * scales


def raw_targets(training: Training) -> None:
    """Targets in their own unit, such as prices."""
    scale, offset = log_uniform(training.chance, 1e2, 1e4), training.chance.uniform(2.0, 10.0)
    training.targets = (training.targets + offset) * scale
    training.read = lambda outputs: outputs / scale - offset


def output_unit(last: Callable[[Tensor], Tensor], read: Callable[[Tensor], Tensor]) -> Change:
    """An output unit put before the loss that is there; `read` says what its values mean."""

    def change(training: Training) -> None:
        training.model = After(training.model, last)
        training.read = read

    return change


def as_shares(outputs: Tensor) -> Tensor:
    """Numbers of at least zero read as probabilities, once they are made to add up to one."""
    shares = outputs.float().clamp_min(1e-6)
    return (shares / shares.sum(dim=1, keepdim=True)).log()


def sigmoid_squared(training: Training) -> None:
    """Sigmoid outputs against one-hot classes by the squared error."""
    training.model = After(training.model, torch.sigmoid)
    classes = training.setup.material.outputs
    training.loss_of = lambda outputs, targets: F.mse_loss(outputs, F.one_hot(targets, classes).float())
    training.read = as_shares


def relu_before_loss(training: Training) -> str:
    """A ReLU after the output layer."""
    training.model = After(training.model, torch.relu)
    return weight_layers(training.model)[-1][0]


def one_unit_softmax(training: Training) -> None:
    """A softmax over the one output unit of two classes, which is 1 whatever comes in."""
    name, layer = weight_layers(training.model)[-1]
    swap(training.model, name, nn.Linear(layer.in_features, 1))
    training.model = After(training.model, lambda outputs: torch.softmax(outputs, dim=1))
    training.parameters = list(training.model.parameters())
    training.loss_of = lambda outputs, targets: F.binary_cross_entropy(outputs[:, 0], targets.float())
    training.read = lambda outputs: as_shares(torch.cat([1.0 - outputs, outputs], dim=1))


def batch_softmax(training: Training) -> None:
    """A softmax over the examples instead of the classes."""
    training.model = After(training.model, lambda outputs: torch.softmax(outputs, dim=0))
    training.loss_of = lambda outputs, targets: F.nll_loss(torch.log(outputs + 1e-9), targets)
    training.read = as_shares


def column_targets(training: Training) -> None:
    """Outputs [N, 1] against targets [N], which broadcast to [N, N]."""
    training.loss_of = lambda outputs, targets: F.mse_loss(outputs, targets[:, 0])


def hand_written_loss(training: Training) -> None:
    """The logarithm of shares that a ReLU made, which are zero for some."""

    def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
        shares = torch.relu(outputs) / torch.relu(outputs).sum(dim=1, keepdim=True)
        return -torch.log(shares[torch.arange(len(targets)), targets]).mean()

    training.loss_of = loss_of


def zero(when: str) -> Change:
    """Gradients zeroed at another time, or never."""

    def change(training: Training) -> None:
        training.zeroing = when

    return change


def forget_layer(training: Training) -> str:
    """One layer's parameters are not handed to the optimizer."""
    name, layer = pick_hidden(training)
    left_out = {id(parameter) for parameter in layer.parameters()}
    training.parameters = [parameter for parameter in training.parameters if id(parameter) not in left_out]
    return name


def only_output(training: Training) -> None:
    """The output layer's parameters alone are handed to the optimizer."""
    training.parameters = list(weight_layers(training.model)[-1][1].parameters())


def freeze_body(training: Training) -> None:
    """Everything but the output layer asks for no gradient."""
    last = {id(parameter) for parameter in weight_layers(training.model)[-1][1].parameters()}
    training.parameters = [parameter for parameter in training.parameters if id(parameter) in last]
    for parameter in training.model.parameters():
        parameter.requires_grad_(id(parameter) in last)


def number_format(kind: torch.dtype) -> Change:
    """Weights, inputs and numbers to predict in another format."""

    def change(training: Training) -> None:
        training.model.to(kind)
        training.inputs = training.inputs.to(kind)
        if training.targets.is_floating_point():
            training.targets = training.targets.to(kind)

    return change


def tiny_half_loss(training: Training) -> None:
    """Half precision, and a loss that is divided by a large number: Adam would not mind it in single precision."""
    number_format(torch.float16)(training)
    loss_of, size = training.loss_of, log_uniform(training.chance, 1e4, 1e5)
    training.loss_of = lambda outputs, targets: loss_of(outputs, targets) / size
    # Torch's default is zero in half precision, which would make it another fault.
    training.settings["eps"] = 1e-7


def scale_recurrent(least: float, greatest: float) -> Change:
    """Recurrent weights times a factor between two bounds."""

    def change(training: Training) -> str:
        factor = log_uniform(training.chance, least, greatest)
        with torch.no_grad():
            for name, weight in training.model.recurrent.named_parameters():
                if name.startswith("weight_hh"):
                    weight.mul_(factor)
        return "recurrent"

    return change


def close_gates(training: Training) -> str:
    """Forget gates of an LSTM that begin closed."""
    recurrent = training.model.recurrent
    for name, bias in recurrent.named_parameters():
        if name.startswith("bias_ih"):
            nn.init.constant_(bias[recurrent.hidden_size : 2 * recurrent.hidden_size], -6.0)
    return "recurrent"


def divide_by_spread(training: Training) -> None:
    """Inputs divided by their standard deviation, which is zero for a feature that never changes."""
    inputs = training.inputs.clone()
    inputs[..., 0] = 1.0
    training.inputs = (inputs - inputs.mean(dim=0)) / inputs.std(dim=0)


def shuffle_labels(training: Training) -> None:
    """Targets of other examples: nothing is to be learned, and no gradient is at fault."""
    order = torch.randperm(len(training.targets), generator=torch.Generator().manual_seed(training.setup.number))
    training.targets = training.targets[order]
