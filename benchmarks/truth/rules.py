"""The published rules of other tools, with their published thresholds, on the statistics that `collecting` gives.

Thresholds are those of each tool's documentation or source: SageMaker Debugger's built-in rules (AWS), AUTOTRAINER
(Zhang et al., ICSE 2021), DeepDiagnosis (Wardat et al., ICSE 2022), torchmortem 0.1.1 and neurolens 0.1.1. What needs
data that a training loop does not have (validation sets, images to look at, curvature) is left out. Where a tool looks
at every step, it is given the first ten and every tenth; where it counts epochs, a twentieth of the run is one.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.truth.collecting import Collected

EPOCHS = 20

TINY = 1e-30

Rule = Callable[[Collected], bool]


def is_any(condition: np.ndarray) -> bool:
    """Whether a condition holds anywhere; a comparison with nan does not."""
    return bool(np.any(condition))


def ratios_of(seen: Collected, least: float = 1e-9) -> np.ndarray:
    """Update over weight norm [step module]."""
    return seen.layers["update_norm"] / (seen.layers["weight_norm"] + least)


def windows_of(values: np.ndarray, count: int = EPOCHS) -> np.ndarray:
    """Means over equal parts of a series; parts without a value are nan."""
    return np.array(
        [part[~np.isnan(part)].mean() if np.any(~np.isnan(part)) else np.nan for part in np.array_split(values, count)]
    )


def late(values: np.ndarray) -> np.ndarray:
    """The second half of the collected steps."""
    return values[len(values) // 2 :]


def is_poorly_drawn(seen: Collected) -> bool:
    """PoorWeightInitialization: uneven inputs of activations, or gradients all alike, and a loss that does not fall."""
    first = seen.outputs["input_variance"][:10][:, [not np.all(np.isnan(c)) for c in seen.outputs["inactive"].T]]
    is_uneven = first.shape[1] > 1 and is_any(first.max(axis=1) > 10.0 * np.maximum(first.min(axis=1), TINY))
    is_alike = is_any(seen.layers["gradient_spread"][:10] < 0.001)
    losses = seen.losses[:10]
    is_falling = len(losses) > 5 and is_any(losses[5:] < losses[:5].min())
    return (is_uneven or is_alike) and not is_falling


def is_unchanged(seen: Collected) -> bool:
    """UnchangedTensor: a layer's weights stay the same, to 1e-5, over three collected steps."""
    still = ratios_of(seen) < 1e-5
    return is_any(still[:-2] & still[1:-1] & still[2:]) if len(still) > 2 else False


def is_loss_not_decreasing(seen: Collected) -> bool:
    """LossNotDecreasing: not lower than ten steps before, at the interval of 500 steps at which the tool looks."""
    places = range(500, len(seen.losses), 500)
    return any(not seen.losses[place] < seen.losses[place - 10] for place in places)


def gated(rule: Rule) -> Rule:
    """A rule of AUTOTRAINER's, which asks for gradients only while the accuracy is below 0.7."""

    def judge(seen: Collected) -> bool:
        accuracies = windows_of(seen.accuracies)
        return not np.isnan(accuracies[-1]) and accuracies[-1] < 0.7 and rule(seen)

    return judge


def first_over_last(seen: Collected) -> np.ndarray:
    """Gradient norm of the first layer over that of the last [step]."""
    norms = seen.layers["gradient_norm"]
    return norms[:, 0] / np.maximum(norms[:, -1], TINY)


def is_oscillating(seen: Collected) -> bool:
    """AUTOTRAINER: the accuracy falls and rises by 0.03 in a fifth of the epochs."""
    moves = np.diff(windows_of(seen.accuracies))
    return bool(np.mean(moves <= -0.03) >= 0.2)


def is_slow(seen: Collected) -> bool:
    """AUTOTRAINER: no epoch gains more than 0.01 of accuracy."""
    moves = np.diff(windows_of(seen.accuracies))
    return bool(np.all(moves < 0.01))


def is_mostly(shares: np.ndarray, most: float, sustained: float) -> bool:
    """Whether some module's share lies above a bound in so many of the later steps."""
    return is_any(np.mean(late(shares) > most, axis=0) >= sustained)


def is_low_or_high(seen: Collected, low: float, high: float) -> bool:
    """Whether some module's median update ratio of later steps lies outside of a band; zeros are left out."""
    ratios = late(ratios_of(seen, TINY))
    medians = [np.median(column[column > 0.0]) for column in ratios.T if np.any(column > 0.0)]
    return is_any(np.array(medians) < low) or is_any(np.array(medians) > high)


def is_starved(seen: Collected) -> bool:
    """Torchmortem: the last layer's mean gradient is a hundred times the first's, or more."""
    means = late(np.nan_to_num(seen.layers["gradient_norm"])).mean(axis=0)
    return len(means) > 1 and means[-1] >= TINY and means[-1] >= 100.0 * means[0]


def is_diverging(seen: Collected) -> bool:
    """Torchmortem: the smoothed loss rises in four fifths of the last twenty steps, by a half in all."""
    smoothed = np.convolve(seen.losses, np.ones(10) / 10.0, mode="valid")[-20:]
    return len(smoothed) > 5 and np.mean(np.diff(smoothed) > 0.0) >= 0.8 and smoothed[-1] >= 1.5 * smoothed[0]


def is_uneven(seen: Collected) -> bool:
    """Torchmortem: weight norms of two layers differ a hundredfold at the end, or one has grown tenfold."""
    norms = seen.layers["weight_norm"]
    last = norms[-1][norms[-1] > TINY]
    grown = norms[-1] > 10.0 * np.maximum(norms[0], TINY)
    return (len(last) > 1 and last.max() >= 100.0 * last.min()) or is_any(grown[norms[0] > TINY])


def is_stagnant(seen: Collected) -> bool:
    """Torchmortem: a layer's weight norm ends within 1e-4 of where it began."""
    norms = seen.layers["weight_norm"]
    return is_any(np.abs(norms[-1] - norms[0])[norms[0] > TINY] < 1e-4 * norms[0][norms[0] > TINY])


def is_noisy(seen: Collected) -> bool:
    """Torchmortem: the mean of gradient norms is below their standard deviation, over all layers."""
    norms = late(np.nan_to_num(seen.layers["gradient_norm"]))
    means, spreads = norms.mean(axis=0), norms.std(axis=0)
    told = (means > TINY) & (spreads > TINY)
    return bool(told.any() and (means[told] / spreads[told]).mean() < 1.0)


def rises_above(factor: float) -> Rule:
    """Neurolens: the loss, smoothed as its viewer gets it, is so many times its best so far."""

    def judge(seen: Collected) -> bool:
        smoothed = windows_of(seen.losses, max(2, len(seen.losses) // 20))
        return is_any(smoothed > factor * np.fmax(np.fmin.accumulate(smoothed), TINY))

    return judge


RULES: dict[str, dict[str, Rule]] = {
    "SageMaker Debugger": {
        "VanishingGradient": lambda seen: is_any(seen.layers["gradient_mean"] < 1e-7),
        "ExplodingTensor": lambda seen: is_any(seen.nonfinite),
        "DeadRelu, SaturatedActivation": lambda seen: is_any(seen.outputs["inactive"] > 0.5),
        "PoorWeightInitialization": is_poorly_drawn,
        "WeightUpdateRatio": lambda seen: is_any(ratios_of(seen) > 10.0) or is_any(ratios_of(seen) < 1e-8),
        "AllZero": lambda seen: (
            is_any(seen.layers["gradient_zeros"] >= 1.0) or is_any(seen.layers["weight_norm"] == 0.0)
        ),
        "UnchangedTensor": is_unchanged,
        "LossNotDecreasing": is_loss_not_decreasing,
    },
    "AUTOTRAINER": {
        "vanishing": gated(
            lambda seen: is_any((first_over_last(seen) < 1e-3) & (seen.layers["gradient_norm"][:, 0] < 1e-4))
        ),
        "exploding": gated(lambda seen: is_any(first_over_last(seen) > 70.0)),
        "dying ReLU": gated(lambda seen: is_any(seen.layers["gradient_zeros"] >= 0.7)),
        "not a number": lambda seen: is_any(np.isnan(seen.losses)) or is_any(seen.losses > 1e3),
        "oscillating loss": gated(is_oscillating),
        "slow convergence": gated(is_slow),
    },
    "DeepDiagnosis": {
        "dead node": lambda seen: is_any(
            seen.outputs["not_positive"][:, [kind == "ReLU" for kind in seen.kinds]] >= 0.7
        ),
        "saturated": lambda seen: is_any(
            seen.outputs["above_5"][:, [kind in ("Sigmoid", "Tanh") for kind in seen.kinds]] > 0.5
        ),
        "vanishing": lambda seen: is_any(seen.layers["gradient_mean"] < 1e-7),
        "variance": lambda seen: is_any(seen.outputs["variance"] > 10.0) or is_any(seen.outputs["variance"] < 1e-5),
        "update ratio": lambda seen: is_any(ratios_of(seen) > 0.1) or is_any(ratios_of(seen) < 1e-5),
        "numbers": lambda seen: (
            is_any(seen.nonfinite)
            or is_any(seen.outputs["mean"][:, ["Norm" not in kind for kind in seen.kinds]] == 0.0)
        ),
    },
    "torchmortem": {
        "vanishing": is_starved,
        "exploding": lambda seen: is_any(seen.layers["gradient_norm"] > 1e3),
        "stalling": lambda seen: is_any(np.mean(np.nan_to_num(seen.layers["gradient_norm"]) < 1e-8, axis=0) >= 0.3),
        "update ratio": lambda seen: is_low_or_high(seen, 1e-5, 1e-1),
        "dead": lambda seen: is_mostly(seen.outputs["near_zero"], 0.5, 0.5),
        "saturated": lambda seen: is_mostly(seen.outputs["above_95"], 0.5, 0.5),
        "weights": lambda seen: is_uneven(seen) or is_stagnant(seen),
        "noise": is_noisy,
        "diverging": is_diverging,
    },
    "neurolens": {
        "not a number": lambda seen: is_any(seen.nonfinite),
        "exploding": lambda seen: is_any(seen.layers["gradient_norm"] > 100.0),
        "update ratio": lambda seen: is_any(late(ratios_of(seen)) > 5e-2) or is_any(late(ratios_of(seen)) < 1e-6),
        "diverging": rises_above(3.0),
        "spike": lambda seen: is_any(seen.losses > 10.0 * seen.losses[0]),
        "dead": lambda seen: is_any(seen.outputs["inactive"][:, [kind == "ReLU" for kind in seen.kinds]] > 0.5),
    },
}
"""Rules by tool and name; a tool alarms where any of its rules does."""


def judge_by_rules(seen: Collected) -> dict[str, list[str]]:
    """For each tool the names of its rules that alarm."""
    with np.errstate(all="ignore"):
        return {tool: [name for name, rule in rules.items() if rule(seen)] for tool, rules in RULES.items()}
