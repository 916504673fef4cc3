"""Healthy set-ups, drawn from a number alone: what somebody who knows the field would write, the unusual included.

Rates and scales are those that are recommended for each kind of network and optimizer, within a factor of about three.
"""

import random
from dataclasses import dataclass

import torch
from torch import nn

from benchmarks.truth.data import Data, load
from benchmarks.truth.networks import Convolutions, Recurrent, Residual, Stack, Transformer, redraw

FAMILIES: dict[str, tuple[str, ...]] = {
    "mlp": ("digits", "clusters", "noisy_clusters", "two_clusters", "spirals", "tumours", "wines"),
    "regression": ("diabetes", "friedman", "waves"),
    "autoencoder": ("digit_copies",),
    "cnn": ("digit_images", "bars"),
    "resnet": ("digit_images", "bars"),
    "resnet_no_norm": ("digit_images", "bars"),
    "transformer_pre": ("marked_tokens", "digit_rows", "first_of_8"),
    "transformer_post": ("marked_tokens", "digit_rows", "first_of_8"),
    "rnn": ("digit_rows", "first_of_8"),
    "lstm": ("digit_rows", "first_of_16", "sums_of_8"),
    "gru": ("digit_rows", "first_of_16", "sums_of_8"),
}
"""Families of networks, each with the data sets that it is trained on."""

FEED_FORWARD = frozenset({"mlp", "regression", "autoencoder"})
CONVOLUTIONAL = frozenset({"cnn", "resnet", "resnet_no_norm"})
TRANSFORMERS = frozenset({"transformer_pre", "transformer_post"})
RECURRENT = frozenset({"rnn", "lstm", "gru"})

RATES: dict[str, dict[str, tuple[float, float]]] = {
    "sgd": {"plain": (0.05, 0.2), "normed": (0.05, 0.3), "numbers": (0.02, 0.08), "copies": (0.3, 1.0)},
    "momentum": {"plain": (0.01, 0.03), "normed": (0.01, 0.06), "numbers": (0.003, 0.015), "copies": (0.05, 0.15)},
    "adam": {
        "plain": (1e-3, 5e-3),
        "normed": (1e-3, 8e-3),
        "numbers": (1e-3, 5e-3),
        "copies": (1e-3, 5e-3),
        "attention": (7e-4, 3e-3),
        "recurrent": (2e-3, 1e-2),
    },
    "adamw": {
        "plain": (1e-3, 5e-3),
        "normed": (1e-3, 8e-3),
        "numbers": (1e-3, 5e-3),
        "copies": (1e-3, 5e-3),
        "attention": (7e-4, 3e-3),
        "recurrent": (2e-3, 1e-2),
    },
    "rmsprop": {
        "plain": (5e-4, 2e-3),
        "normed": (5e-4, 3e-3),
        "numbers": (5e-4, 2e-3),
        "copies": (5e-4, 2e-3),
        "recurrent": (1e-3, 4e-3),
    },
}
"""Least and greatest rate of each optimizer on each kind of network; a kind that is missing is not drawn."""


@dataclass(frozen=True)
class Setup:
    """One training, before anything is made.

    Attributes:
        number: What it was drawn from.
        family: A key of `FAMILIES`.
        data: A key of `benchmarks.truth.data.DATA`.
        width: Features of hidden layers.
        depth: Hidden layers or blocks.
        activation: A key of `benchmarks.truth.networks.ACTIVATIONS`.
        norm: `batch`, `layer` or empty.
        dropout: Probability.
        scheme: How weights are drawn: `default`, `he` or `glorot`.
        optimizer: A key of `RATES`.
        rate: Learning rate.
        decay: Weight decay.
        batch: Examples in a batch.
        steps: Steps.
        warmup: Steps over which the rate rises to its value.
        smoothing: Label smoothing.
        clip: Greatest gradient norm, 0 for no clipping.
    """

    number: int
    family: str
    data: str
    width: int
    depth: int
    activation: str
    norm: str
    dropout: float
    scheme: str
    optimizer: str
    rate: float
    decay: float
    batch: int
    steps: int
    warmup: int
    smoothing: float
    clip: float

    @property
    def material(self) -> Data:
        """Its data."""
        return load(self.data)


def draw_setup(number: int) -> Setup:
    """Draw one healthy set-up."""
    chance = random.Random(f"truth {number}")
    family = list(FAMILIES)[number % len(FAMILIES)]
    norm = draw_norm(family, chance)
    depth = draw_depth(family, norm, chance)
    activation = draw_activation(family, chance)
    kind = rate_kind(family, norm)
    optimizer = chance.choice([name for name, kinds in RATES.items() if kind in kinds])
    least, greatest = RATES[optimizer][kind]
    data = chance.choice(FAMILIES[family])
    return Setup(
        number=number,
        family=family,
        data=data,
        width=chance.choice((12, 16, 20)) if family in CONVOLUTIONAL | TRANSFORMERS else chance.choice((24, 32, 48)),
        depth=depth,
        activation=activation,
        norm=norm,
        dropout=chance.choice((0.0, 0.0, 0.1, 0.3)) if family in ("mlp", "cnn") else draw_light_dropout(family, chance),
        scheme=draw_scheme(activation, depth, norm, chance),
        optimizer=optimizer,
        rate=least * (greatest / least) ** chance.random(),
        decay=chance.choice((0.0, 0.0, 1e-4, 1e-3, 1e-2)) if optimizer == "adamw" else chance.choice((0.0, 0.0, 1e-4)),
        batch=chance.choice((16, 32)),
        steps=chance.choice((300, 400, 500)) if family not in FEED_FORWARD else chance.choice((500, 700, 900)),
        warmup=chance.choice((0, 50)) if family in TRANSFORMERS else chance.choice((0, 0, 0, 40)),
        smoothing=chance.choice((0.0, 0.0, 0.1)),
        clip=1.0 if family in RECURRENT else chance.choice((0.0, 0.0, 0.0, 1.0)),
    )


def draw_norm(family: str, chance: random.Random) -> str:
    """A norm that the family may have."""
    if family in ("resnet", "cnn"):
        return "batch" if family == "resnet" else chance.choice(("", "batch"))
    return chance.choice(("", "", "batch", "layer")) if family in FEED_FORWARD else ""


def draw_depth(family: str, norm: str, chance: random.Random) -> int:
    """Hidden layers, blocks or recurrent layers."""
    if family in RECURRENT:
        return chance.choice((1, 1, 2))
    if family in TRANSFORMERS or family in ("resnet", "resnet_no_norm"):
        return 2
    if family == "cnn":
        return chance.choice((2, 3, 4))
    return chance.choice((2, 3, 4, 6, 8)) if norm else chance.choice((1, 2, 3, 4, 5))


def draw_activation(family: str, chance: random.Random) -> str:
    """An activation; a hidden sigmoid is not among them, for it is a fault more often than not."""
    if family in CONVOLUTIONAL:
        return chance.choice(("relu", "relu", "leaky_relu", "gelu", "silu"))
    return chance.choice(("relu", "relu", "leaky_relu", "gelu", "silu", "elu", "tanh"))


def draw_light_dropout(family: str, chance: random.Random) -> float:
    """Dropout of families that are given little of it, if any."""
    return chance.choice((0.0, 0.1)) if family in TRANSFORMERS else 0.0


def draw_scheme(activation: str, depth: int, norm: str, chance: random.Random) -> str:
    """How weights are drawn; torch's default is good for few layers, or under a norm."""
    good = "glorot" if activation == "tanh" else "he"
    return chance.choice(("default", good)) if depth <= 3 or norm else good


def rate_kind(family: str, norm: str) -> str:
    """The kind of network that a rate is for."""
    if family in TRANSFORMERS:
        return "attention"
    if family in ("regression", "autoencoder"):
        # A mean over many outputs makes gradients, and so what descent can bear, that much smaller or larger.
        return "numbers" if family == "regression" else "copies"
    return "recurrent" if family in RECURRENT else "normed" if norm else "plain"


def make_network(setup: Setup) -> nn.Module:
    """The network of a set-up, its weights drawn from torch's random state."""
    data = setup.material
    width, depth, outputs = setup.width, setup.depth, data.outputs
    shape = tuple(data.inputs.shape[1:])
    network: nn.Module
    if setup.family == "autoencoder":
        sizes = [shape[0], *[width] * (depth // 2), 16, *[width] * (depth - depth // 2)]
        network = Stack(sizes, outputs, setup.activation, setup.norm, setup.dropout)
    elif setup.family in FEED_FORWARD:
        network = Stack([shape[0], *[width] * depth], outputs, setup.activation, setup.norm, setup.dropout)
    elif setup.family == "cnn":
        network = Convolutions(shape[0], width, depth, outputs, setup.activation, setup.norm, setup.dropout)
        with torch.no_grad():
            network.eval()(data.inputs[:2])
        network.train()
    elif setup.family in CONVOLUTIONAL:
        return Residual(shape[0], width, depth, outputs, setup.activation, setup.norm)
    elif setup.family in TRANSFORMERS:
        features = data.vocabulary or shape[1]
        is_pre_norm = setup.family == "transformer_pre"
        return Transformer(
            (shape[0], features), width, depth, outputs, setup.dropout, has_tokens=data.vocabulary > 0, pre=is_pre_norm
        )
    else:
        return Recurrent(setup.family, shape[1], width, depth, outputs)
    redraw(network, setup.scheme)
    return network
