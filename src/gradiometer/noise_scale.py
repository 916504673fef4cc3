"""Gradient noise scale: how many examples a batch needs before averaging over more of them stops paying.

It is the variance of the examples' gradients (summed over coordinates: the trace of their covariance) over the squared
norm of the true gradient. Both follow without bias from the examples' squared gradient norms and the squared norm of
the batch's mean gradient. A single step says little; over several steps the two are averaged first and divided then,
for a mean of ratios is biased, and without a mean where a gradient is small.

Source:
    McCandlish, Kaplan, Amodei, "An empirical model of large-batch training", 2018, equation 2.9 (B_simple) and appendix
    A.1 (unbiased estimates from two batch sizes, which the per-example form is for a small batch of one).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema import ExampleStats

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoiseTerms:
    """Unbiased estimates of one step.

    Attributes:
        gradient_squared: Squared norm of the true gradient; negative where noise hides it.
        trace: Trace of the covariance of the examples' gradients.
    """

    gradient_squared: float
    trace: float


@dataclass(frozen=True, slots=True)
class NoiseScale:
    """Gradient noise scale over some steps.

    Attributes:
        examples: The noise scale: trace over gradient_squared, in examples. Negative where the mean of
            gradient_squared is, and nan where it is 0: then the gradient is lost in noise, and the scale unknown but
            large.
        examples_error: Its standard error, by the jackknife over steps; nan for a single step.
        gradient_squared: Mean over the steps of the squared norm of the true gradient; may be negative.
        gradient_squared_error: Standard error of that mean; nan for a single step.
        trace: Mean over the steps of the trace of the covariance.
        trace_error: Standard error of that mean; nan for a single step.
        step_count: Steps that it is from.
    """

    examples: float
    examples_error: float
    gradient_squared: float
    gradient_squared_error: float
    trace: float
    trace_error: float
    step_count: int


def noise_terms(squared_norms: Sequence[float] | FloatArray, batch_squared_norm: float) -> NoiseTerms:
    """Estimate both terms from the examples of one batch.

    Args:
        squared_norms: Squared gradient norm of each example's own loss; at least two.
        batch_squared_norm: Squared norm of the mean of the same gradients (the gradient of the mean loss).

    Returns:
        The estimates; nan for fewer than two examples, or where a norm is not finite.

    Example:
        >>> noise_terms([1.0, 1.0], 0.5)  # two gradients at a right angle: nothing but noise
        NoiseTerms(gradient_squared=0.0, trace=1.0)
    """
    norms = np.asarray(squared_norms, dtype=np.float64)
    if norms.size < 2:
        return NoiseTerms(math.nan, math.nan)
    return noise_terms_of_two_batches(1.0, float(norms.mean()), float(norms.size), batch_squared_norm)


def noise_terms_of_two_batches(
    small_size: float, small_squared_norm: float, large_size: float, large_squared_norm: float
) -> NoiseTerms:
    """Estimate both terms from the mean gradients of batches of two sizes (micro-batches, ranks).

    Args:
        small_size: Examples of a small batch.
        small_squared_norm: Squared norm of its mean gradient, averaged over the small batches.
        large_size: Examples of the large batch.
        large_squared_norm: Squared norm of its mean gradient.

    Returns:
        The estimates; nan where the sizes are equal.

    Example:
        >>> noise_terms_of_two_batches(1, 1.0, 4, 0.25)
        NoiseTerms(gradient_squared=0.0, trace=1.0)
    """
    if large_size == small_size:
        return NoiseTerms(math.nan, math.nan)
    return NoiseTerms(
        gradient_squared=(large_size * large_squared_norm - small_size * small_squared_norm)
        / (large_size - small_size),
        trace=(small_squared_norm - large_squared_norm) / (1.0 / small_size - 1.0 / large_size),
    )


def noise_scale(steps: Sequence[NoiseTerms]) -> NoiseScale:
    """Join the estimates of several steps: the ratio of averages, never the average of ratios.

    Args:
        steps: Estimates of steps near each other in the training, for the true gradient changes. Those that are not
            finite are left out.

    Returns:
        The noise scale with its error; all nan where no step is left.

    Example:
        >>> noise_scale([NoiseTerms(1.0, 30.0), NoiseTerms(3.0, 50.0)]).examples
        20.0
    """
    values = np.array([(step.gradient_squared, step.trace) for step in steps], dtype=np.float64).reshape(-1, 2)
    values = values[np.isfinite(values).all(axis=1)]
    count = len(values)
    if count == 0:
        nan = math.nan
        return NoiseScale(nan, nan, nan, nan, nan, nan, step_count=0)
    gradient_squared, trace = values.mean(axis=0)
    if count > 1:
        left_out = (values.sum(axis=0) - values) / (count - 1)
        examples_error = jackknife_error(ratios(left_out[:, 1], left_out[:, 0]))
        gradient_error, trace_error = values.std(axis=0, ddof=1) / math.sqrt(count)
    else:
        examples_error = gradient_error = trace_error = math.nan
    return NoiseScale(
        examples=float(ratios(trace, gradient_squared)),
        examples_error=examples_error,
        gradient_squared=float(gradient_squared),
        gradient_squared_error=float(gradient_error),
        trace=float(trace),
        trace_error=float(trace_error),
        step_count=count,
    )


def noise_scale_of(measured: Iterable[ExampleStats]) -> NoiseScale:
    """Join what was measured of the examples of several steps, near each other in the training.

    Args:
        measured: Values of `Run.examples`; those without the two terms are left out.

    Example:
        >>> steps = [ExampleStats((1.0,), (0,), trace=trace, gradient_squared=2.0) for trace in (30.0, 50.0)]
        >>> found = noise_scale_of(steps)
        >>> found.examples, found.examples_error
        (20.0, 5.0)
    """
    terms = ((stats.gradient_squared, stats.trace) for stats in measured)
    return noise_scale(
        [NoiseTerms(squared, trace) for squared, trace in terms if squared is not None and trace is not None]
    )


def ratios(numerators: FloatArray, denominators: FloatArray) -> FloatArray:
    """Divide; nan where a denominator is 0."""
    unknown = np.full(np.shape(numerators), math.nan)
    found: FloatArray = np.divide(numerators, denominators, out=unknown, where=denominators != 0.0)
    return found


def jackknife_error(left_out: FloatArray) -> float:
    """Standard error from estimates that each leave one observation out.

    Source:
        Efron, Stein, "The jackknife estimate of variance", Annals of Statistics 1981, equation 1.4.

    Example:
        >>> jackknife_error(np.array([1.0, 2.0, 3.0]))  # doctest: +ELLIPSIS
        1.1547...
    """
    count = len(left_out)
    return float(math.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum()))
