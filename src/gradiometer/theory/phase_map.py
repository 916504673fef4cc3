"""chi_1 over a range of weight and bias scales: where gradients vanish, where they explode, and the edge between.

Two integrals depend on the length alone, E[phi²] and E[phi'²]; they are tabulated once, and every point of the map is
then a search in a table. Between the table's lengths, 2 % apart, values are interpolated: for a picture that is enough.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.activations import Activation
from gradiometer.schema import FloatArray
from gradiometer.theory.expectation import NetworkPlan
from gradiometer.theory.length_map import LARGEST, SMALLEST
from gradiometer.theory.moments import gaussian_mean

LENGTHS = np.geomspace(SMALLEST, LARGEST, 2001)
RESOLUTION = 61
"""Points of the map along each axis."""


@dataclass(frozen=True, slots=True)
class PhaseMap:
    """chi_1 of a network of equal layers over both scales.

    Attributes:
        sigma_w: Scales of the weights, ascending [column].
        sigma_b: Scales of the biases, ascending [row].
        chi_1: Factor on the squared gradient per layer [row column].
        q: Fixed length; 0 where the signal vanishes, inf where it grows without end [row column].
    """

    sigma_w: FloatArray
    sigma_b: FloatArray
    chi_1: FloatArray
    q: FloatArray


def map_phases(
    activation: Activation,
    greatest_sigma_w: float,
    greatest_sigma_b: float,
    *,
    dropout: float = 0.0,
    start: float = 1.0,
) -> PhaseMap:
    """Compute the phase diagram of an activation.

    Args:
        activation: The activation of every layer.
        greatest_sigma_w: Where the map ends on the axis of weights.
        greatest_sigma_b: Where it ends on that of biases.
        dropout: Share of units that dropout silences.
        start: Variance in the first layer.

    Returns:
        The map, from sigma_b = 0 and from a twentieth of the greatest sigma_w.
    """
    sigma_w = np.linspace(0.05 * greatest_sigma_w, greatest_sigma_w, RESOLUTION)
    sigma_b = np.linspace(0.0, greatest_sigma_b, RESOLUTION)
    roots = np.sqrt(LENGTHS)
    square = gaussian_mean(lambda x: activation.function(x) ** 2, 0.0, roots, activation.kinks)
    slope_square = gaussian_mean(lambda x: activation.slope(x) ** 2, 0.0, roots, activation.kinks)
    weight = sigma_w**2 / (1.0 - dropout)
    places = np.array([[settle(w * square + b * b, start) for w in weight] for b in sigma_b])
    at_places = np.interp(places, np.arange(len(LENGTHS)), slope_square)
    q = np.exp(np.interp(places, np.arange(len(LENGTHS)), np.log(LENGTHS)))
    q = np.where(places <= 0.0, 0.0, np.where(places >= len(LENGTHS) - 1, np.inf, q))
    return PhaseMap(sigma_w, sigma_b, weight * at_places, q)


def settle(next_lengths: FloatArray, start: float) -> float:
    """Where in the table of lengths a signal comes to rest.

    Args:
        next_lengths: The length map at each of `LENGTHS`.
        start: Where it begins.

    Returns:
        A place between two indexes of the table; its first or last where the signal vanishes or runs away.
    """
    change = np.log(np.maximum(next_lengths, 1e-300) / LENGTHS)
    begin = int(np.argmin(np.abs(np.log(LENGTHS / start))))
    if abs(change[begin]) < 1e-11:
        return float(begin)
    upward = change[begin] > 0.0
    ahead = np.arange(begin, len(LENGTHS)) if upward else np.arange(begin, -1, -1)
    passed = np.flatnonzero((change[ahead] <= 0.0) if upward else (change[ahead] >= 0.0))
    if not len(passed):
        return float(ahead[-1])
    after = int(ahead[passed[0]])
    before = after - 1 if upward else after + 1
    share = change[before] / (change[before] - change[after])
    return float(before + share * (after - before))


def map_around(plan: NetworkPlan) -> PhaseMap:
    """Compute a map that has a planned network well inside, and the edge of chaos, where it is not far away."""
    small = math.sqrt(max(float(np.mean(plan.activation.slope(np.array([-0.1, 0.1])) ** 2)), 1e-6))
    ends = max(1.6 * plan.sigma_w, 2.0 / small), max(1.6 * plan.sigma_b, 0.6 / small)
    phases = map_phases(plan.felt, *ends, dropout=plan.dropout, start=plan.entry)
    if phases.chi_1.max() >= 1.0:
        return phases
    # The slope at zero foretells an edge that lies further off where a signal has a mean, as a sigmoid's.
    return map_phases(plan.felt, 2.0 * ends[0], ends[1], dropout=plan.dropout, start=plan.entry)
