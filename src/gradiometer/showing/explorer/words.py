"""Words and numbers of the explorer's page."""

import math
from collections.abc import Mapping
from types import MappingProxyType

from gradiometer.schema.explored import ExplorerSettings

ACTIVATION_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "sigmoid": "sigmoid",
        "tanh": "tanh",
        "relu": "ReLU",
        "leaky_relu": "leaky ReLU",
        "elu": "ELU",
        "selu": "SELU",
        "gelu": "GELU",
        "silu": "SiLU",
        "identity": "none",
    }
)
START_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "torch": "torch's own",
        "glorot": "Glorot",
        "he": "He",
        "critical": "critical",
        "too_large": "4 × too large",
        "too_small": "4 × too small",
    }
)
COST_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "cross_entropy": "softmax and cross-entropy",
        "sigmoid_cross_entropy": "sigmoid and cross-entropy",
        "squared_error": "sigmoid and squared error",
    }
)
COST_FORMULAS: Mapping[str, str] = MappingProxyType(
    {
        "cross_entropy": "C = −log p, where p is what the softmax says of the right digit; ∂C/∂z = said − right",
        "sigmoid_cross_entropy": "C = −Σ (right · log said + (1 − right) · log (1 − said)); ∂C/∂z = said − right",
        "squared_error": "C = ½ Σ (said − right)²; ∂C/∂a = said − right, and ∂C/∂z = (said − right) · σ′(z)",
    }
)


RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits as the exponent of a power."""


SET_WORDS: Mapping[str, str] = MappingProxyType({"digits": "scikit-learn's digits", "mnist": "MNIST"})
"""Sets of digits to their names."""


def settings_in_words(settings: ExplorerSettings) -> str:
    """A network in a few words.

    Example:
        >>> settings_in_words(ExplorerSettings())
        '2 × 16 ReLU, He, rate 0.1, batches of 32, softmax and cross-entropy'
    """
    hidden = f"{settings.hidden_layers} × {settings.units} {ACTIVATION_WORDS[settings.activation]}"
    parts = (
        hidden if settings.hidden_layers else "no hidden layer",
        START_WORDS[settings.start],
        f"rate {settings.learning_rate:g}",
        f"batches of {settings.batch_size}",
        COST_WORDS[settings.cost],
    )
    return ", ".join(parts)


def layer_name(layer: int, depth: int) -> str:
    """What a layer is called; `depth` is the output's number.

    Example:
        >>> layer_name(0, 3), layer_name(2, 3), layer_name(3, 3)
        ('picture', 'hidden 2', 'output')
    """
    return "picture" if layer == 0 else "output" if layer == depth else f"hidden {layer}"


def unit_name(layer: int, unit: int, depth: int, side: int) -> str:
    """What a unit is called, a pixel by its row and column.

    Example:
        >>> unit_name(0, 11, 3, 8), unit_name(2, 7, 3, 8), unit_name(3, 7, 3, 8)
        ('pixel (1, 3)', 'hidden 2 unit 7', 'output 7')
    """
    if layer == 0:
        return f"pixel ({unit // side}, {unit % side})"
    return f"output {unit}" if layer == depth else f"hidden {layer} unit {unit}"


def exact(value: float) -> str:
    """A number with five significant digits and a true minus sign.

    Example:
        >>> exact(-0.000123456789), exact(2.0), exact(float("nan")), exact(-0.0)
        ('−1.2346e-04', '2', 'not finite', '0')
    """
    if not math.isfinite(value):
        return "not finite"
    if value == 0.0:
        return "0"
    size = abs(value)
    written = f"{size:.4e}" if size < 1e-3 or size >= 1e5 else f"{size:.5g}"
    return f"{'−' if value < 0.0 else ''}{written}"


def signed(value: float) -> str:
    """The same, with a plus sign where it is above zero.

    Example:
        >>> signed(0.25), signed(-0.25)
        ('+0.25', '−0.25')
    """
    return f"+{exact(value)}" if value > 0.0 else exact(value)


def times_in_words(times: float) -> str:
    """How many times, three digits of it.

    Example:
        >>> times_in_words(3.5712), times_in_words(2764.0), times_in_words(2.11e8), times_in_words(1e200)
        ('3.57', '2,760', '2.11 × 10⁸', '1 × 10²⁰⁰')
    """
    if times < 1e5:
        return f"{float(f'{times:.3g}'):,g}"
    mantissa, _, power = f"{times:.2e}".partition("e")
    return f"{float(mantissa):g} × 10{str(int(power)).translate(RAISED)}"


def count_in_words(count: int) -> str:
    """A whole number of any size.

    Example:
        >>> count_in_words(1250), count_in_words(10**20)
        ('1,250', '1 × 10²⁰')
    """
    return f"{count:,}" if count < 10**7 else times_in_words(count)


def paths_in_words(count: int) -> str:
    """How many paths.

    Example:
        >>> paths_in_words(1), paths_in_words(160)
        ('1 path', '160 paths')
    """
    return f"{count_in_words(count)} path{'' if count == 1 else 's'}"


def in_db(level_db: float) -> str:
    """A level as a number.

    Example:
        >>> in_db(-12.04), in_db(0.0), in_db(float("-inf")), in_db(float("nan"))
        ('−12.0 dB', '0.0 dB', '−∞ dB', '–')
    """
    if math.isnan(level_db):
        return "–"
    if math.isinf(level_db):
        return "−∞ dB" if level_db < 0.0 else "∞ dB"
    written = f"{abs(level_db):.1f} dB"
    return written if written == "0.0 dB" else f"{'−' if level_db < 0.0 else '+'}{written}"


def level_in_words(level_db: float) -> str:
    """A level, and how many times weaker or stronger that is.

    Example:
        >>> level_in_words(-40.0), level_in_words(0.0), level_in_words(float("-inf"))
        ('−40.0 dB, 100 times weaker', '0.0 dB, as strong', 'nothing arrives')
    """
    if math.isnan(level_db):
        return "not known"
    if level_db == -math.inf:
        return "nothing arrives"
    words = in_db(level_db)
    times = 10.0 ** (abs(level_db) / 20.0)
    if times < 1.005:
        return f"{words}, as strong"
    return f"{words}, {times_in_words(times)} times {'weaker' if level_db < 0.0 else 'stronger'}"
