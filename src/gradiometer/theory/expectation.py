"""Everything that theory says of one network before it is trained, together.

What is asked is a network of equal layers: one activation, one scale of weights and biases, perhaps dropout. Where no
scale is given it is the critical one (`critical_scale`), with the mean of the activation's output taken out by the
biases where that belongs to it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal

from gradiometer.activations import Activation, activation_from
from gradiometer.errors import SettingsError
from gradiometer.theory.correlation_map import chi, correlation_depth_scale, depth_scale, fixed_correlation, widened
from gradiometer.theory.critical_scale import critical_scale, critical_sigma_w
from gradiometer.theory.depth_limits import DepthLimit, depth_limits
from gradiometer.theory.isometry import slope_excess
from gradiometer.theory.learning_rate import layer_gradient, suggested_learning_rate
from gradiometer.theory.length_map import LARGEST, fixed_length, length_depth_scale, next_length
from gradiometer.theory.moments import as_activation, small_signal_slope_square
from gradiometer.theory.recurrence import half_life, largest_singular_value, safe_singular_value

Phase = Literal["ordered", "critical", "chaotic"]
"""Gradients vanish, are kept, or explode."""

USUAL_DEPTHS = (10, 30, 100, 300, 1000)
"""Depths that learning rates are listed for."""

USUAL_WIDTH = 128
"""Width that learning rates are given for where none is known."""


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A plain network before it is made.

    Attributes:
        activation: The hidden activation.
        sigma_w: Scale of the weights: their variance is sigma_w² / fan_in.
        sigma_b: Scale of the biases.
        output_mean: What the biases take out, b = -W·output_mean.
        entry: Variance of the first layer's pre-activations.
        depth: Layers, or steps of a recurrent one; None for not known.
        width: Units of a hidden layer; None for not known.
        dropout: Share of units that dropout silences.
        is_recurrent: Depth is time: the same weights at every step.
        is_orthogonal: Weights are orthogonal matrices; Gaussian otherwise.
    """

    activation: Activation
    sigma_w: float
    sigma_b: float = 0.0
    output_mean: float = 0.0
    entry: float = 1.0
    depth: int | None = None
    width: int | None = None
    dropout: float = 0.0
    is_recurrent: bool = False
    is_orthogonal: bool = False

    @property
    def felt(self) -> Activation:
        """The activation with its mean taken out, which is what the next layer feels."""
        if self.output_mean == 0.0:
            return self.activation
        known, mean = self.activation, self.output_mean
        return activation_from(
            known.name, lambda x: known.function(x) - mean, known.slope, known.greatest_slope, kinks=known.kinks
        )


@dataclass(frozen=True, slots=True)
class SuggestedRates:
    """Learning rates for one depth.

    Attributes:
        depth: Layers.
        momentum: Descent with momentum 0.9.
        plain: Descent without momentum.
        adam: Adam.
    """

    depth: int
    momentum: float
    plain: float
    adam: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """What theory expects of a network; field names as in the papers where they have one.

    Attributes:
        activation: Name of the activation.
        sigma_w: Scale of the weights.
        sigma_b: Scale of the biases.
        output_mean: What the biases take out.
        dropout: Share of units that dropout silences.
        depth: Layers or steps that were asked for.
        width: Units of a hidden layer.
        is_recurrent: Depth is time.
        is_orthogonal: Weights are orthogonal matrices.
        phase: Whether gradients vanish, are kept, or explode.
        q: Fixed length; 0 where the signal vanishes, inf where it grows without end.
        chi_1: Factor on the squared gradient per layer.
        correlation: c*, the correlation that any two inputs settle at; nan without a fixed length.
        xi_q: Layers over which a length settles.
        xi_c: Layers over which a correlation settles.
        xi_gradient: Layers over which the squared gradient changes by the factor e.
        half_life: Layers over which the gradient's norm falls to half, or doubles.
        critical_sigma_w: Where the edge of chaos lies at this sigma_b; None for nowhere, as under dropout.
        spread_per_layer: What a layer adds to the relative variance of the squared singular values.
        limits: What limits the depth, the tightest first.
        learning_rates: What is suggested for each optimizer, at the depth asked for or at the usual ones; none beyond
            six depth scales, and none for weights that are shared through time.
        largest_singular_value: That of the weights, in the limit of wide layers.
        safe_singular_value: Below it no gradient can explode, and every one vanishes.
    """

    activation: str
    sigma_w: float
    sigma_b: float
    output_mean: float
    dropout: float
    depth: int | None
    width: int | None
    is_recurrent: bool
    is_orthogonal: bool
    phase: Phase
    q: float
    chi_1: float
    correlation: float
    xi_q: float
    xi_c: float
    xi_gradient: float
    half_life: float
    critical_sigma_w: float | None
    spread_per_layer: float
    limits: tuple[DepthLimit, ...]
    learning_rates: tuple[SuggestedRates, ...]
    largest_singular_value: float
    safe_singular_value: float


def plan_network(
    activation: Activation | str | Callable[..., Any],
    sigma_w: float | None = None,
    sigma_b: float | None = None,
    *,
    dropout: float = 0.0,
    **shape: Any,
) -> NetworkPlan:
    """Complete what is given of a network.

    Args:
        activation: An activation, its name, or a Python function.
        sigma_w: Scale of the weights; the critical one for this sigma_b if not given.
        sigma_b: Scale of the biases; if not given 0, or where sigma_w is not given either, that of the critical point.
        dropout: Share of units that dropout silences, 0 to below 1.
        shape: `depth`, `width`, `is_recurrent` and `is_orthogonal` of the plan.

    Returns:
        The plan.

    Raises:
        SettingsError: A scale is negative, dropout is not a share, or no critical scale exists.

    Example:
        >>> round(plan_network("relu").sigma_w ** 2, 9)
        2.0
    """
    if (sigma_w is not None and not 0.0 < sigma_w < math.inf) or (
        sigma_b is not None and not 0.0 <= sigma_b < math.inf
    ):
        raise SettingsError("sigma_w has to be above 0 and sigma_b at least 0, both finite")
    if not 0.0 <= dropout < 1.0:
        raise SettingsError("dropout is a share of units: at least 0 and below 1")
    known = as_activation(activation)
    if sigma_w is not None:
        return NetworkPlan(known, sigma_w, sigma_b or 0.0, dropout=dropout, **shape)
    if sigma_b:
        edge, q = critical_sigma_w(known, sigma_b)
        return NetworkPlan(known, edge, sigma_b, entry=q, dropout=dropout, **shape)
    scale = critical_scale(known)
    entry = scale.entry_rms**2 if scale.q == 0.0 else scale.q
    return NetworkPlan(known, scale.sigma_w, scale.sigma_b, scale.output_mean, entry, dropout=dropout, **shape)


def expect(plan: NetworkPlan) -> Expectation:
    """Say what theory expects of a network.

    Args:
        plan: The network.

    Returns:
        The expectation.

    Example:
        >>> expected = expect(plan_network("tanh", 1.0, 0.05**0.5))
        >>> expected.phase, round(expected.q, 4), round(expected.chi_1, 3), round(expected.xi_c, 1)
        ('ordered', 0.1936, 0.759, 3.6)
    """
    felt, forward_w = plan.felt, widened(plan.sigma_w, plan.dropout)
    q = fixed_length(felt, forward_w, plan.sigma_b, plan.entry)
    chi_1 = forward_w**2 * small_signal_slope_square(felt) if q == 0.0 else chi(felt, min(q, LARGEST), forward_w)
    scales = {"dropout": plan.dropout, "start": plan.entry}
    xi_c = correlation_depth_scale(felt, plan.sigma_w, plan.sigma_b, **scales)
    limits = depth_limits(
        chi_1=chi_1,
        xi_c=xi_c,
        xi_gradient=depth_scale(chi_1),
        length_growth=growth_of(plan, q, chi_1),
        width=plan.width,
    )
    own = {spec.name: getattr(plan, spec.name) for spec in fields(plan) if spec.name not in ("activation", "entry")}
    return Expectation(
        activation=felt.name,
        **own,
        phase=phase_of(chi_1),
        q=q,
        chi_1=chi_1,
        correlation=fixed_correlation(felt, plan.sigma_w, plan.sigma_b, **scales),
        xi_q=length_depth_scale(felt, forward_w, plan.sigma_b, plan.entry),
        xi_c=xi_c,
        xi_gradient=depth_scale(chi_1),
        half_life=half_life(chi_1),
        critical_sigma_w=None if plan.dropout else nearest_edge(felt, plan.sigma_b),
        spread_per_layer=slope_excess(felt, min(q, LARGEST)) / (1.0 - plan.dropout) - float(plan.is_orthogonal),
        limits=limits,
        learning_rates=rates_within(plan, limits),
        largest_singular_value=largest_singular_value(plan.sigma_w, is_orthogonal=plan.is_orthogonal),
        safe_singular_value=safe_singular_value(felt),
    )


def growth_of(plan: NetworkPlan, q: float, chi_1: float) -> float:
    """Factor on the signal's variance per layer where it has no fixed length; 1 where it has one."""
    if q == 0.0:
        return 1.0 if phase_of(chi_1) == "critical" else chi_1
    if math.isinf(q):
        return next_length(plan.felt, LARGEST, widened(plan.sigma_w, plan.dropout), plan.sigma_b) / LARGEST
    return 1.0


def phase_of(chi_1: float) -> Phase:
    """Ordered, critical within 1 in a million, or chaotic.

    Example:
        >>> phase_of(0.9), phase_of(1.0), phase_of(1.2)
        ('ordered', 'critical', 'chaotic')
    """
    if abs(chi_1 - 1.0) < 1e-6:
        return "critical"
    return "ordered" if chi_1 < 1.0 else "chaotic"


def nearest_edge(activation: Activation, sigma_b: float) -> float | None:
    """Critical sigma_w at this sigma_b; None where chi_1 does not reach 1."""
    try:
        if sigma_b > 0.0:
            return critical_sigma_w(activation, sigma_b)[0]
        scale = critical_scale(activation)
    except SettingsError:
        return None
    return scale.sigma_w if scale.sigma_b == 0.0 and scale.output_mean == 0.0 else None


def rates_within(plan: NetworkPlan, limits: tuple[DepthLimit, ...]) -> tuple[SuggestedRates, ...]:
    """Suggested learning rates at the depth that is planned, or at the usual ones, as far as a network can learn."""
    if plan.is_recurrent:
        return ()
    deepest = min((limit.layers for limit in limits if limit.name in ("correlation", "gradient")), default=math.inf)
    depths = [plan.depth] if plan.depth else USUAL_DEPTHS
    return tuple(rates_at(plan, depth) for depth in depths if depth <= deepest)


def rates_at(plan: NetworkPlan, depth: int) -> SuggestedRates:
    """Suggested learning rates of a planned network at one depth."""
    width = plan.width or USUAL_WIDTH
    gradient = layer_gradient(plan.felt, plan.sigma_w, plan.sigma_b, depth=depth, width=width, entry=plan.entry)
    return SuggestedRates(
        depth,
        suggested_learning_rate(depth, sigma_w=plan.sigma_w, gradient=gradient),
        suggested_learning_rate(depth, momentum=0.0, sigma_w=plan.sigma_w, gradient=gradient),
        suggested_learning_rate(depth, optimizer="adam", width=width, sigma_w=plan.sigma_w),
    )
