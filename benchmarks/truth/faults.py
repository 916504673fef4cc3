"""The faults, a literal table: what each changes, which conditions and causes are right, and where it can be injected.

The conditions of a fault are those that it brings about by itself; what only follows from them is not right. A loss
that goes nowhere (`stalled`) follows from everything and is right for none. `is_curable` was set before any training
was run; the classes without it are published apart and count neither as a hit nor as a miss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from benchmarks.truth import changes
from benchmarks.truth.changes import Change
from benchmarks.truth.families import CONVOLUTIONAL, FEED_FORWARD, TRANSFORMERS, Setup, draw_setup
from benchmarks.truth.fitting import (
    bends,
    has_classes,
    has_features,
    has_hidden_layers,
    has_hidden_relu,
    has_own_optimizer,
    is_any_setup,
    is_plain_stack,
)

LARGE_STEPS = ("thrashing", "diverging", "oscillating", "exploding", "non_finite")
"""What too large a learning rate brings about, as far as the network and its data decide."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        group: The class that it is published under.
        conditions: Conditions that are right as the root.
        causes: Causes that are right.
        fits: Whether a set-up can have it.
        redraw: From the twin's set-up to the faulty one.
        change: What it does to the training that was made; names the layer that it sits in, if in one.
        is_curable: Whether it counts; False for what can't be told from what somebody may want.
        is_control: Nothing is learned, and no gradient is at fault.
    """

    group: str
    conditions: tuple[str, ...]
    causes: tuple[str, ...]
    fits: Callable[[Setup], bool] = is_any_setup
    redraw: Callable[[Setup], Setup] = lambda setup: setup
    change: Change = lambda training: None
    is_curable: bool = True
    is_control: bool = False


def deeper(activation: str, depth: int, scheme: str = "default") -> Callable[[Setup], Setup]:
    """The same, deeper, with one activation and one way to draw weights."""
    return lambda setup: replace(
        setup, activation=activation, depth=depth + setup.number % 3, scheme=scheme, dropout=0.0, width=32
    )


def with_rate(factor: float) -> Callable[[Setup], Setup]:
    """Another learning rate."""
    return lambda setup: replace(setup, rate=setup.rate * factor)


def of_settings(**settings: float) -> Change:
    """Further arguments of the optimizer."""

    def change(training: changes.Training) -> None:
        training.settings |= settings

    return change


FAULTS: dict[str, Fault] = {
    "deep sigmoid": Fault(
        "activation",
        ("vanishing", "saturated", "collapsed"),
        ("activation_slope", "depth"),
        is_plain_stack,
        deeper("sigmoid", 6),
    ),
    "softmax between layers": Fault(
        "activation",
        ("vanishing", "uneven", "collapsed", "saturated"),
        ("activation_slope",),
        has_hidden_layers,
        change=changes.after_hidden(lambda _: nn.Softmax(dim=1)),
    ),
    "no activation": Fault(
        "activation",
        ("linear",),
        ("activation_slope", "activation"),
        bends,
        lambda setup: replace(setup, activation="none"),
    ),
    "deep tanh": Fault(
        "depth", ("vanishing", "collapsed"), ("weight_scale", "depth"), is_plain_stack, deeper("tanh", 20)
    ),
    "deep relu": Fault(
        "depth", ("vanishing", "collapsed", "dead"), ("weight_scale", "depth"), is_plain_stack, deeper("relu", 14)
    ),
    "collapsed depth": Fault(
        "depth", ("collapsed",), ("depth", "weight_scale"), is_plain_stack, deeper("tanh", 50, "glorot")
    ),
    "large weights": Fault(
        "initial scale",
        ("exploding", "saturated", "thrashing", "diverging", "non_finite"),
        ("weight_scale",),
        has_hidden_layers,
        change=changes.scale_weights(8.0, 30.0),
    ),
    "small weights": Fault(
        "initial scale",
        ("vanishing", "collapsed", "stuck"),
        ("weight_scale",),
        has_hidden_layers,
        change=changes.scale_weights(0.01, 0.1),
    ),
    "one large layer": Fault(
        "initial scale",
        ("exploding", "saturated", "uneven", "thrashing", "diverging"),
        ("weight_scale",),
        has_hidden_layers,
        change=changes.scale_layer(30.0, 300.0),
    ),
    "one small layer": Fault(
        "initial scale",
        ("vanishing", "uneven", "collapsed"),
        ("weight_scale",),
        has_hidden_layers,
        change=changes.scale_layer(1e-5, 1e-3),
    ),
    "zero weights": Fault(
        "constant weights",
        ("symmetric", "dead", "vanishing"),
        ("weight_scale", "symmetry"),
        lambda setup: setup.family in FEED_FORWARD | {"cnn", "resnet_no_norm"},
        change=changes.set_weights(0.0),
    ),
    "constant weights": Fault(
        "constant weights",
        ("symmetric",),
        ("weight_scale", "symmetry"),
        lambda setup: setup.family in FEED_FORWARD | {"cnn", "resnet_no_norm"},
        change=changes.set_weights(0.01, 0.05, 0.1),
    ),
    "rate far too small": Fault(
        "learning rate",
        ("stuck",),
        ("learning_rate",),
        redraw=lambda setup: replace(setup, rate=10.0 ** -(6 + setup.number % 2)),
    ),
    "rate too small": Fault("learning rate", ("stuck",), ("learning_rate",), redraw=with_rate(1e-3)),
    "rate too large": Fault("learning rate", LARGE_STEPS, ("learning_rate",), redraw=with_rate(50.0)),
    "rate far too large": Fault(
        "learning rate",
        LARGE_STEPS,
        ("learning_rate",),
        redraw=lambda setup: replace(setup, rate=(3.0, 10.0, 100.0)[setup.number % 3]),
    ),
    "momentum too large": Fault(
        "learning rate",
        LARGE_STEPS,
        ("learning_rate", "momentum"),
        has_own_optimizer("momentum"),
        with_rate(20.0),
        of_settings(momentum=0.99),
    ),
    "raw pixels": Fault("input", ("unscaled_input",), ("input_scale",), has_features, change=changes.raw_pixels),
    "one large feature": Fault(
        "input",
        ("unscaled_input",),
        ("input_scale",),
        lambda setup: has_features(setup) and setup.family not in CONVOLUTIONAL,
        change=changes.large_feature,
    ),
    "raw table": Fault(
        "input",
        ("unscaled_input",),
        ("input_scale",),
        lambda setup: is_plain_stack(setup) and setup.data in ("tumours", "wines", "diabetes", "friedman", "clusters"),
        change=changes.raw_table,
    ),
    "raw targets": Fault(
        "target",
        ("unscaled_input", "exploding", "thrashing", "diverging", "stuck", "oscillating", "non_finite"),
        ("loss", "target_scale"),
        lambda setup: setup.family == "regression" or setup.data == "sums_of_8",
        change=changes.raw_targets,
    ),
    "softmax before cross-entropy": Fault(
        "loss pairing",
        ("mismatched_loss",),
        ("loss",),
        has_classes,
        change=changes.output_unit(lambda outputs: torch.softmax(outputs, dim=1), changes.as_shares),
    ),
    "sigmoid before cross-entropy": Fault(
        "loss pairing",
        ("mismatched_loss",),
        ("loss",),
        has_classes,
        change=changes.output_unit(torch.sigmoid, changes.as_shares),
    ),
    "sigmoid with squared error": Fault(
        "loss pairing", ("mismatched_loss",), ("loss",), has_classes, change=changes.sigmoid_squared
    ),
    "relu before the loss": Fault(
        "loss pairing", ("mismatched_loss", "dead"), ("loss",), change=changes.relu_before_loss
    ),
    "softmax over one unit": Fault(
        "loss pairing",
        ("mismatched_loss",),
        ("loss",),
        lambda setup: setup.data in ("tumours", "two_clusters"),
        change=changes.one_unit_softmax,
    ),
    "softmax over the batch": Fault(
        "loss pairing", ("mismatched_loss",), ("loss",), has_classes, change=changes.batch_softmax
    ),
    "targets that broadcast": Fault(
        "loss pairing",
        ("mismatched_loss",),
        ("loss",),
        lambda setup: setup.material.outputs == 1,
        change=changes.column_targets,
    ),
    "gradients never zeroed": Fault("zeroing", ("accumulating",), ("accumulation",), change=changes.zero("never")),
    "gradients zeroed before the step": Fault(
        "zeroing", ("accumulating", "disconnected", "stuck"), ("accumulation",), change=changes.zero("after")
    ),
    "detached layer": Fault(
        "connection",
        ("disconnected",),
        ("disconnection",),
        has_hidden_layers,
        change=changes.after_hidden(changes.Detached),
    ),
    "layer not in the optimizer": Fault(
        "connection",
        ("disconnected",),
        ("disconnection",),
        has_hidden_layers,
        change=changes.forget_layer,
    ),
    "only the output layer in the optimizer": Fault(
        "connection", ("disconnected",), ("disconnection",), change=changes.only_output
    ),
    "frozen by mistake": Fault(
        "frozen", ("disconnected", "stuck"), ("disconnection",), change=changes.freeze_body, is_curable=False
    ),
    "heavy dropout": Fault(
        "regularisation",
        ("over_regularised",),
        ("dropout", "regularisation"),
        lambda setup: setup.family in ("mlp", "regression", "autoencoder", "cnn", *TRANSFORMERS),
        lambda setup: replace(setup, dropout=(0.95, 0.98)[setup.number % 2]),
    ),
    "heavy decay": Fault(
        "regularisation",
        ("over_regularised",),
        ("decay", "regularisation"),
        redraw=lambda setup: replace(
            setup,
            decay={"sgd": 0.3, "momentum": 0.3, "adam": 0.3, "adamw": 0.3 / setup.rate, "rmsprop": 0.3}[
                setup.optimizer
            ],
        ),
    ),
    "dead layer": Fault(
        "dying ReLU", ("dead",), ("weight_scale",), has_hidden_relu, change=changes.set_bias(-30.0, -8.0)
    ),
    "dead network": Fault(
        "dying ReLU", ("dead",), ("weight_scale",), has_hidden_relu, change=changes.set_all_biases(-30.0, -8.0)
    ),
    "saturated layer": Fault(
        "saturation",
        ("saturated",),
        ("weight_scale", "saturation"),
        lambda setup: is_plain_stack(setup) and setup.activation == "tanh",
        change=changes.set_bias(6.0, 15.0),
    ),
    "half precision rounds updates away": Fault(
        "number format",
        ("underflowing", "stuck"),
        ("number_format",),
        lambda setup: setup.family in FEED_FORWARD | CONVOLUTIONAL and setup.optimizer in ("sgd", "momentum"),
        change=changes.number_format(torch.bfloat16),
    ),
    "Adam in half precision": Fault(
        "number format",
        ("non_finite",),
        ("number_format",),
        lambda setup: setup.family in FEED_FORWARD and setup.optimizer in ("adam", "adamw"),
        change=changes.number_format(torch.float16),
    ),
    "gradients below half precision": Fault(
        "number format",
        ("underflowing",),
        ("number_format",),
        lambda setup: setup.family in FEED_FORWARD and setup.optimizer in ("adam", "adamw"),
        change=changes.tiny_half_loss,
    ),
    "logarithm of zero": Fault(
        "not a number",
        ("non_finite",),
        ("number_format",),
        lambda setup: has_hidden_layers(setup) and setup.activation in ("relu", "gelu", "silu", "elu"),
        change=changes.after_hidden(changes.Logarithm),
    ),
    "loss of zero shares": Fault(
        "not a number", ("non_finite",), ("loss",), has_classes, change=changes.hand_written_loss
    ),
    "feature that never changes": Fault(
        "not a number",
        ("non_finite",),
        ("input_scale",),
        lambda setup: setup.material.vocabulary == 0,
        change=changes.divide_by_spread,
    ),
    "fading memory": Fault(
        "recurrent",
        ("fading_memory", "vanishing"),
        ("recurrence", "weight_scale"),
        lambda setup: setup.family == "rnn" and setup.data == "first_of_8",
        change=changes.scale_recurrent(0.02, 0.2),
    ),
    "exploding memory": Fault(
        "recurrent",
        ("exploding_memory", "exploding", "saturated"),
        ("recurrence", "weight_scale"),
        lambda setup: setup.family == "rnn",
        change=changes.scale_recurrent(8.0, 20.0),
    ),
    "sequences too long for an RNN": Fault(
        "recurrent",
        ("fading_memory", "vanishing"),
        ("recurrence",),
        lambda setup: setup.family == "rnn" and setup.data == "first_of_8",
        lambda setup: replace(setup, data="first_of_60"),
    ),
    "closed forget gates": Fault(
        "recurrent",
        ("fading_memory", "vanishing"),
        ("recurrence",),
        lambda setup: setup.family == "lstm",
        change=changes.close_gates,
    ),
    "norm of two examples": Fault(
        "normalisation",
        ("noisy", "oscillating"),
        ("batch_size", "normalisation"),
        lambda setup: setup.norm == "batch",
        lambda setup: replace(setup, batch=2),
    ),
    "one example at a time": Fault(
        "batch",
        ("noisy", "oscillating", "thrashing"),
        ("batch_size", "learning_rate"),
        lambda setup: setup.norm != "batch" and setup.data in ("diabetes", "noisy_clusters", "friedman", "waves"),
        lambda setup: replace(setup, batch=1, rate=3.0 * setup.rate),
    ),
    "shuffled labels": Fault("labels", (), (), change=changes.shuffle_labels, is_curable=False, is_control=True),
}
"""All faults by name."""


def assign_faults(count: int) -> list[str]:
    """The fault of each number: of those that fit the one that was given least often so far, the first of equals."""
    given = dict.fromkeys(FAULTS, 0)
    assigned = []
    for number in range(count):
        setup = draw_setup(number)
        name = min((name for name, fault in FAULTS.items() if fault.fits(setup)), key=lambda name: given[name])
        given[name] += 1
        assigned.append(name)
    return assigned


def parts_of(assigned: Sequence[str]) -> list[str]:
    """The part of each number: `choosing` for thresholds or `reporting` for the table, in turn within each fault."""
    given = {name: rank % 2 for rank, name in enumerate(FAULTS)}
    parts = []
    for name in assigned:
        parts.append(("choosing", "reporting")[given[name] % 2])
        given[name] += 1
    return parts
