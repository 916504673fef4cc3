"""Which set-ups a fault can be injected into."""

from collections.abc import Callable

from benchmarks.truth.families import CONVOLUTIONAL, FEED_FORWARD, RECURRENT, Setup


def is_any_setup(setup: Setup) -> bool:
    """Every set-up."""
    return True


def is_plain_stack(setup: Setup) -> bool:
    """Linear layers without a norm."""
    return setup.family in FEED_FORWARD and not setup.norm


def is_plain(setup: Setup) -> bool:
    """Feed-forward or convolutional, without a norm."""
    return setup.family in FEED_FORWARD | CONVOLUTIONAL and not setup.norm


def has_hidden_layers(setup: Setup) -> bool:
    """Three weight layers or more in a chain without a norm."""
    return is_plain_stack(setup) and setup.depth >= 2 or setup.family == "cnn" and not setup.norm


def has_hidden_relu(setup: Setup) -> bool:
    """A chain without a norm, and ReLUs that can die."""
    return has_hidden_layers(setup) and setup.activation == "relu"


def has_features(setup: Setup) -> bool:
    """Inputs that are numbers, into a network that does not normalise them."""
    return is_plain(setup) or setup.family in RECURRENT


def has_classes(setup: Setup) -> bool:
    """Classes are told apart."""
    return setup.material.has_classes


def has_own_optimizer(*names: str) -> Callable[[Setup], bool]:
    """Set-ups with one of these optimizers."""
    return lambda setup: setup.optimizer in names


def bends(setup: Setup) -> bool:
    """Feed-forward on data that a linear network can't do as well on."""
    return setup.family in FEED_FORWARD and not setup.material.is_linear
