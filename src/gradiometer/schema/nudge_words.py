"""`Nudges` as a few plain sentences."""

import math
from typing import TYPE_CHECKING

import numpy as np

from gradiometer.errors import GradiometerError
from gradiometer.units import format_number

if TYPE_CHECKING:
    from gradiometer.schema.explained import Nudges, SensitiveWeight

MOST_OUTPUTS_NAMED = 3
"""Outputs whose wanted change is told one by one."""


def story_of(nudges: "Nudges", example: int) -> str:
    """What one example is, what the network says, what should change, and where the loss listens most.

    Args:
        nudges: What the batch asks.
        example: Rank of the example in the batch.

    Raises:
        GradiometerError: There is no such example.
    """
    if not 0 <= example < nudges.example_count:
        raise GradiometerError(f"There is no example {example}: the batch has {nudges.example_count}, counted from 0.")
    sentences = [
        *told_guess(nudges, example),
        *told_outputs(nudges, example),
        *told_sensitive(nudges),
        *told_agreement(nudges),
        *told_direction(nudges),
    ]
    return " ".join(sentences)


def told_guess(nudges: "Nudges", example: int) -> list[str]:
    """What the example is and what the network says, where there are classes."""
    outputs, targets = nudges.outputs, nudges.targets
    if outputs is None or targets is None or outputs.ndim != 2 or not np.isfinite(outputs[example]).all():
        return [f"The loss of the batch is {number(nudges.loss)}."]
    said, right = int(np.argmax(outputs[example])), targets[example]
    verdict = ", and the network says so" if said == right else f"; the network says {said}"
    return [f"Example {example} is a {right}{verdict}. The loss of the batch is {number(nudges.loss)}."]


def told_outputs(nudges: "Nudges", example: int) -> list[str]:
    """Which outputs should rise and which fall."""
    if nudges.wanted is None or nudges.wanted.ndim != 2:
        return []
    row = nudges.wanted[example]
    if not np.isfinite(row).all():
        return ["What its outputs should do can't be told: their gradient is not finite."]
    if not row.any():
        return ["Nothing is asked of its outputs: their gradient is zero."]
    largest = [place for place in np.argsort(-np.abs(row), kind="stable")[:MOST_OUTPUTS_NAMED].tolist() if row[place]]
    parts = [
        f"output {place} should {'rise' if row[place] > 0.0 else 'fall'} by {number(abs(row[place]))}"
        for place in largest
    ]
    return [f"To lower the loss, in proportion: {', '.join(parts)}."]


def told_sensitive(nudges: "Nudges") -> list[str]:
    """To which weight the loss is most sensitive."""
    if not nudges.sensitive or nudges.sensitive[0].gradient == 0.0:
        return ["The loss is sensitive to no weight: every gradient is zero."]
    first = nudges.sensitive[0]
    than = f", {number(first.times_median)} times as much as to the median weight" if first.times_median else ""
    direction = "lowering" if first.gradient > 0.0 else "raising"
    return [
        f"The loss is most sensitive to {place_of(first)}{than}: {direction} it by 0.001 "
        f"lowers the loss by about {number(abs(first.gradient) * 1e-3)}."
    ]


def told_agreement(nudges: "Nudges") -> list[str]:
    """Where examples cancel each other most, with more than one of them."""
    known = [(one.agreement, one.parameter) for one in nudges.parameters if one.agreement is not None]
    if nudges.example_count < 2 or not known:
        return []
    least, most = min(known), max(known)
    chance = 1.0 / math.sqrt(nudges.example_count)
    text = f"Of what single examples ask, {share(most[0])} is left in their mean at {most[1]}"
    if least[1] != most[1]:
        text += f" and {share(least[0])} at {least[1]}"
    return [f"{text}; examples that asked at random would leave {share(chance)}."]


def told_direction(nudges: "Nudges") -> list[str]:
    """How far the batch points where all the data point."""
    if nudges.true_cosine is None:
        return []
    return [f"The batch's direction has a cosine of {nudges.true_cosine:.2f} with that of the whole data set."]


def place_of(weight: "SensitiveWeight") -> str:
    """A weight as code would name it.

    Example:
        >>> from gradiometer.schema.explained import SensitiveWeight
        >>> place_of(SensitiveWeight("0.weight", (3, 7), 0.5))
        '0.weight[3, 7]'
    """
    return f"{weight.parameter}[{', '.join(map(str, weight.index))}]"


def number(value: float | None) -> str:
    """A number of three digits in words that a sentence can hold."""
    return format_number(value)


def share(value: float) -> str:
    """A share in percent.

    Example:
        >>> share(0.354)
        '35 %'
    """
    return f"{100.0 * value:.0f} %"
