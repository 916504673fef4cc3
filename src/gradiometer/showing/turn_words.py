"""What the dear measurements say, in words: half-lives, noise scale, outliers, what they cost and left out."""

import math
from collections.abc import Mapping

from gradiometer.noise_scale import NoiseScale
from gradiometer.schema import Run, TimeFade
from gradiometer.showing.newest_turns import Outlier, late_noise_scale, names_of_fades, newest, outliers_of
from gradiometer.units import format_number, format_seconds

MEASUREMENT_WORDS: dict[str, str] = {
    "similarity": "similarity and effective rank",
    "through_time": "gradients through time",
    "per_example": "gradients of single examples",
    "histograms": "histograms",
    "units": "lists of units",
}
"""Dear measurement to its name in words."""

CLEAR_RATIO = 4.0
"""Noise scale over batch size, or the other way round, from which on the terminal speaks of it."""

CLEAR_ERROR = 0.5
"""Standard error over noise scale up to which it is taken for known."""

CLEAR_FADE_DB = 40.0
"""Fade over all time steps from which on the terminal speaks of it, dB: as `vanishing` has it for layers."""


def half_life_in_words(fade: TimeFade) -> str:
    """Say how the gradient changes on its way back through time; empty where it is not known.

    Example:
        >>> half_life_in_words(TimeFade("rnn", half_life_steps=1.37))
        'halves every 1.37 steps'
        >>> half_life_in_words(TimeFade("rnn", half_life_steps=float("inf")))
        'keeps its size'
    """
    steps = fade.half_life_steps
    if steps is None or math.isnan(steps):
        return ""
    if math.isinf(steps):
        return "keeps its size"
    return f"{'halves' if steps > 0 else 'doubles'} every {format_number(abs(steps))} steps"


def fade_db(fade: TimeFade) -> float:
    """How much its half-life takes off the gradient over all time steps, dB; negative where it grows, 0 if unknown."""
    steps = fade.half_life_steps
    return 20.0 * math.log10(2.0) * fade.step_count / steps if steps else 0.0


def noise_scale_in_words(scale: NoiseScale) -> str:
    """Say the noise scale with its error; empty where no step tells it.

    Example:
        >>> noise_scale_in_words(NoiseScale(40.0, 7.0, 2.0, 0.1, 80.0, 1.0, 8))
        '40 ± 7 examples'
    """
    if not scale.step_count:
        return ""
    if math.isnan(scale.examples) or scale.examples < 0.0:
        return "not to be told: the true gradient is lost in the noise of the examples"
    error = f" ± {format_number(scale.examples_error)}" if math.isfinite(scale.examples_error) else ""
    return f"{format_number(scale.examples)}{error} examples"


def outlier_in_words(outlier: Outlier) -> str:
    """Name an outlier by its index in the data set, or else by its place in the step.

    Example:
        >>> outlier_in_words(Outlier(3, 4711, 52.0, 13.0)), outlier_in_words(Outlier(3, None, None, None))
        ('example 4711 of the data set (13 times the median)', 'example 3 of the step (not finite)')
    """
    name = f"{outlier.position} of the step" if outlier.data_index is None else f"{outlier.data_index} of the data set"
    if outlier.norm is None:
        return f"example {name} (not finite)"
    return f"example {name}" + (f" ({format_number(outlier.ratio)} times the median)" if outlier.ratio else "")


def costs_line(run: Run) -> str:
    """What each dear measurement has cost; empty for a run without any.

    Example:
        >>> costs_line(Run(facts={"dear_costs": {"units": {"turn_count": 2, "spent_seconds": 0.25}}}))
        'lists of units: 2 turns, 250 ms'
    """
    costs = run.facts.get("dear_costs")
    if not isinstance(costs, Mapping):
        return ""
    parts = []
    for name, cost in costs.items():
        count = cost.get("turn_count", 0)
        words = f"{MEASUREMENT_WORDS.get(name, name)}: {count} turn{'s' if count != 1 else ''}"
        parts.append(f"{words}, {format_seconds(cost.get('spent_seconds', 0.0))}")
    return "; ".join(parts)


def left_out_line(run: Run, *, shown_count: int = 6) -> str:
    """What the newest turn of each dear measurement left out, each with the reason; empty where nothing."""
    turns = {turn.measurement: turn for _, turn in sorted(run.turns.items())}
    lines = [
        f"{MEASUREMENT_WORDS.get(name, name)}: {what} ({reason})"
        for name, turn in turns.items()
        for what, reason in turn.not_measured
    ]
    more = [f"and {len(lines) - shown_count} more"] if len(lines) > shown_count else []
    return "; ".join([*lines[:shown_count], *more])


def notable_lines(run: Run) -> tuple[str, ...]:
    """What of the dear measurements is worth a line at the end of a run; none where all is as it should be."""
    return tuple(line for line in (fade_remark(run), noise_remark(run), outlier_remark(run)) if line)


def fade_remark(run: Run) -> str:
    """The hidden state on whose way through time the gradient changes most, where it is much; else empty.

    Reverse directions are left out: where only the last output counts, their gradient enters at the far end.
    """
    found = newest(run.fades)
    if found is None:
        return ""
    named = zip(names_of_fades(found[1]), found[1], strict=True)
    forward = [(name, fade) for name, fade in named if fade.state == "hidden" and not fade.is_reverse]
    name, fade = max(forward, key=lambda pair: abs(fade_db(pair[1])), default=("", TimeFade("")))
    if abs(fade_db(fade)) < CLEAR_FADE_DB:
        return ""
    return f"on its way back through {fade.step_count} time steps the gradient of {name} {half_life_in_words(fade)}"


def noise_remark(run: Run) -> str:
    """The noise scale beside the batch, where it is known and far from it; else empty."""
    found, scale = newest(run.examples), late_noise_scale(run)
    if found is None or not scale.examples > 0.0 or not scale.examples_error <= CLEAR_ERROR * scale.examples:
        return ""
    size = found[1].example_count
    if not size or 1.0 / CLEAR_RATIO < scale.examples / size < CLEAR_RATIO:
        return ""
    meaning = "larger batches would pay" if scale.examples > size else "smaller ones would do as well"
    return f"gradient noise scale {noise_scale_in_words(scale)}, in batches of {size}: {meaning}"


def outlier_remark(run: Run) -> str:
    """The hardest outlier of the newest measured batch; empty where there is none, or where nothing is finite."""
    found = newest(run.examples)
    outliers = outliers_of(found[1]) if found is not None else ()
    if found is None or not outliers or len(outliers) == len(found[1].norms):
        return ""
    more = f", and {len(outliers) - 1} more" if len(outliers) > 1 else ""
    return f"outlier at step {found[0]}: {outlier_in_words(outliers[0])}{more}"
