"""What a learning-rate range test tells: the rate that suits the network, or the reason why there is none.

Goes by the difference between the losses of the test and those of the still run beside it, where both saw the same
batches, else by the losses themselves, in which a fall has to stand out from what one batch is harder than the next.

The rate that is taken is a seventh of the one at which the mean loss had come down by most of its fall: the growing
rate is about to throw the weights away there, and a loss that stays low over decades tells nothing of where. Some
networks learn nothing in so few steps at any rate. For them a twentieth of the rate is taken at which the loss begins
to rise, where the script's own is far from that. Found in trials: the log has the tables.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.schema import FloatArray, LossSeries, Run
from gradiometer.units import format_number, format_setting

SAFETY = 7.0
"""How far the chosen rate stays below that at which the loss is down."""

MOST = 0.85
"""Share of its whole fall by which the loss is down. The least itself lies anywhere on a plain: for an LSTM under Adam
up to 600 times above the best rate, this one 2.5 times."""

EDGE_SAFETY = 20.0
"""How far the chosen rate stays below that at which the loss begins to rise: over 18 networks this gives the share of
what the best rate brings that a fall gives; a tenth, 0.04 less."""

LEAST_RISE = 0.1
"""A mean loss has begun to rise where it lies above its least so far by this share of the loss of still weights."""

OTHER_SIZE = 10.0
"""Where nothing is learned, a rate less than this many times above or below the script's own tells nothing new."""

HALF_WINDOW = 2
"""Steps on either side that a loss is averaged over."""

LEAST_FALL = 0.025
"""A loss that falls by a smaller share of its first value has not fallen: six sigmoid layers on digits came down by up
to 2.3 %, to a constant guess."""

NOISE_FACTOR = 2.0
"""Without a still run: nor has one that falls by less than this many times the scatter of the first losses. Of pure
noise the least of so many means lies 0.9 times the scatter below, and by more than this once in a hundred tests."""

ERROR_FACTOR = 4.5
"""With one: nor has one of which no mean lies below by this many times its standard error, from the scatter of its own
window, for that grows with the step. Of 54 tests of 18 networks that learn each had one at 4.6 or more; 8 of networks
that learn nothing, 3.7 at most, where they were down by 2.5 %."""


@dataclass(frozen=True, slots=True)
class RangeResult:
    """What a range test found.

    Attributes:
        rate: Rate for the first group of the first optimizer, two significant digits; None where none was found.
        factor: What every group's rate is to be multiplied by, likewise.
        label: The cure that makes the change: a rate where all groups of all optimizers have the same one, else a
            factor; None where no rate was found.
        reason: What the test saw, or why it found none.
    """

    rate: float | None
    factor: float | None
    label: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Curve:
    """The losses of a range test whose rates are known, up to the first that is not finite.

    Attributes:
        steps: Step of each.
        factors: What the script's own rates were multiplied by.
        losses: Loss at the first `backward` call site.
        still: The same batches' losses at the first weights; None where they are not known.
    """

    steps: tuple[int, ...]
    factors: FloatArray
    losses: FloatArray
    still: FloatArray | None

    @property
    def level(self) -> float:
        """Loss before anything is learned."""
        first = self.losses[: max(2 * HALF_WINDOW + 1, len(self.losses) // 5)]
        return float((first if self.still is None else self.still).mean())

    @property
    def means(self) -> FloatArray:
        """Mean losses; with a still run those of the average batch."""
        return smoothed(self.losses if self.still is None else self.losses - self.still + self.level)


def rate_from(run: Run, still: Run | None = None) -> RangeResult:
    """Read the rate from the run of a range test.

    Args:
        run: The run of a trial with `range_test`.
        still: That of the trial beside it with `holds_still`.

    Returns:
        The rate, or the reason why there is none: the loss never fell, or the test did not come to its end.
    """
    refusal = run.facts.get("refusal") or run.facts.get("refusal_at_end")
    if refusal:
        return unfound(str(refusal))
    bases = [float(rate) for rates in (run.facts.get("range_test") or {}).get("base_rates") or () for rate in rates]
    curve = curve_of(run, still)
    if curve is None or not bases:
        return unfound("the range test recorded no loss of a step whose rate is known")
    if len(curve.losses) <= 4 * HALF_WINDOW:
        return unfound(f"the loss was finite in {len(curve.losses)} steps of the range test only")
    means = curve.means
    if has_fallen(curve):
        least = int(np.argmin(means))
        down = int(np.argmax(means <= curve.level - MOST * (curve.level - means[least])))
        words = "most of the fall of the loss had come at a rate of {}, a seventh of that is taken"
        more = "; it had not risen yet when the test ended" if least >= len(means) - 1 - HALF_WINDOW else ""
        return found(bases, float(curve.factors[down]), SAFETY, words + more)
    return rate_below_rise(curve, bases)


def rate_below_rise(curve: Curve, bases: list[float]) -> RangeResult:
    """The rate for a network that learned nothing within the test, where the script's own is of another size."""
    first, last = (format_number(bases[0] * curve.factors[index]) for index in (0, -1))
    fallen_nowhere = f"the loss did not fall at any rate from {first} to {last}"
    means = curve.means
    risen = means - np.minimum.accumulate(means) > LEAST_RISE * abs(curve.level)
    if curve.still is None or not risen.any():
        return unfound(fallen_nowhere)
    factor = float(curve.factors[int(np.argmax(risen))])
    if abs(math.log(factor / EDGE_SAFETY)) < math.log(OTHER_SIZE):
        rise = format_number(bases[0] * factor)
        return unfound(f"{fallen_nowhere}, and the one that is set is of the size that it bears; it rose at {rise}")
    return found(bases, factor, EDGE_SAFETY, "nothing was learned; the loss rose at {}, a twentieth of that is taken")


def curve_of(run: Run, still: Run | None) -> Curve | None:
    """The losses of a range test at known rates; None where it recorded none."""
    facts = run.facts.get("range_test") or {}
    multipliers = {int(step): float(value) for step, value in facts.get("multipliers") or ()}
    if not run.losses or not multipliers:
        return None
    losses = {step: loss for step, loss in finite_losses(run.losses[0]).items() if step in multipliers}
    steps = tuple(losses)
    return Curve(
        steps=steps,
        factors=np.array([multipliers[step] for step in steps]),
        losses=np.array(list(losses.values())),
        still=still_losses(run, still, steps),
    )


def still_losses(run: Run, still: Run | None, steps: tuple[int, ...]) -> FloatArray | None:
    """Losses of still weights in some steps; None where one is missing, or is not known to be of the same batch."""
    if still is None or not still.losses or still.losses[0].site != run.losses[0].site:
        return None
    losses = finite_losses(still.losses[0])
    batches = [(run.fingerprints.get(step), still.fingerprints.get(step)) for step in steps]
    if not steps or any(step not in losses for step in steps) or any(a is None or a != b for a, b in batches):
        return None
    return np.array([losses[step] for step in steps])


def finite_losses(series: LossSeries) -> dict[int, float]:
    """Losses by step, up to the first that is not finite."""
    is_bad = ~np.isfinite(series.values) | (series.nonfinite_counts > 0)
    end = int(np.argmax(is_bad)) if is_bad.any() else len(is_bad)
    return dict(zip(series.steps[:end].tolist(), series.values[:end].tolist(), strict=True))


def has_fallen(curve: Curve) -> bool:
    """Whether some mean lies below the loss before anything was learned by more than chance gives."""
    falls = curve.level - curve.means
    if curve.still is None:
        first = curve.losses[: max(2 * HALF_WINDOW + 1, len(curve.losses) // 5)]
        return bool(falls.max() >= max(LEAST_FALL * abs(curve.level), NOISE_FACTOR * float(first.std(ddof=1))))
    differences = curve.losses - curve.still
    errors = np.array([window.std(ddof=1) / math.sqrt(len(window)) for window in windows_of(differences)])
    return bool(np.any((falls >= LEAST_FALL * abs(curve.level)) & (falls >= ERROR_FACTOR * errors)))


def smoothed(losses: FloatArray) -> FloatArray:
    """Mean over a window around each step, shorter at the ends.

    Example:
        >>> smoothed(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).tolist()
        [2.0, 2.5, 3.0, 4.0, 4.5, 5.0]
    """
    return np.array([window.mean() for window in windows_of(losses)])


def windows_of(losses: FloatArray) -> list[FloatArray]:
    """What stands around each step."""
    return [losses[max(0, step - HALF_WINDOW) : step + HALF_WINDOW + 1] for step in range(len(losses))]


def unfound(reason: str) -> RangeResult:
    """No rate, and why."""
    return RangeResult(None, None, None, reason)


def found(bases: list[float], factor: float, safety: float, words: str) -> RangeResult:
    """A rate, with two significant digits, and the cure that sets it.

    Args:
        bases: Rates of the script's groups.
        factor: What the test goes by, as a factor of these.
        safety: How far to stay below.
        words: What it saw, with a place for that rate.
    """
    chosen = float(f"{factor / safety:.2g}")
    rate = float(f"{bases[0] * chosen:.2g}")
    is_one = len(set(bases)) == 1
    label = f"change_learning_rate:={format_setting(rate)}" if is_one else f"change_learning_rate:x{chosen:g}"
    reason = words.format(format_number(bases[0] * factor))
    return RangeResult(rate, chosen, label.replace("e+", "e"), reason)
