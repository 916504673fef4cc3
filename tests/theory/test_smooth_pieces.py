import math

import numpy as np
import pytest
from scipy import integrate

from gradiometer.errors import SettingsError
from gradiometer.theory.moments import as_activation, mean_square, mean_square_slope, pair_mean
from gradiometer.theory.smooth_pieces import find_pieces

# function, its slope, where one of them jumps
HARD = {
    "ramp with odd ends": (
        lambda x: np.clip(x, -0.3137, 1.7731),
        lambda x: np.where((x > -0.3137) & (x < 1.7731), 1.0, 0.0),
        (-0.3137, 1.7731),
    ),
    "step": (lambda x: np.where(x > 0.3, 1.0, -0.5), np.zeros_like, (0.3,)),
    "absolute value": (np.abs, np.sign, (0.0,)),
    "absolute value beside zero": (lambda x: np.abs(x - 1 / 3), lambda x: np.sign(x - 1 / 3), (1 / 3,)),
    "changes its sign": (lambda x: np.sign(x - 0.7) * x**2, lambda x: np.sign(x - 0.7) * 2.0 * x, (0.7,)),
    "triangle wave": (
        lambda x: np.abs((x / 1.3) % 2.0 - 1.0),
        lambda x: np.sign((x / 1.3) % 2.0 - 1.0) / 1.3,
        tuple(1.3 * k for k in range(-30, 31)),
    ),
    "periodic": (lambda x: np.sin(7.0 * x), lambda x: 7.0 * np.cos(7.0 * x), ()),
    "steep": (
        lambda x: np.tanh(50.0 * (x - 0.3)),
        lambda x: 50.0 / np.cosh(np.clip(50.0 * (x - 0.3), -300, 300)) ** 2,
        (),
    ),
    "narrow bump": (
        lambda x: np.exp(-400.0 * (x - 3) ** 2),
        lambda x: -800.0 * (x - 3) * np.exp(-400.0 * (x - 3) ** 2),
        (),
    ),
}


def integral(function, deviation, kinks):
    """The Gaussian mean of a square by scipy's adaptive quadrature, told every kink."""
    special = sorted({kink / deviation for kink in kinks} | {0.0, 0.3 / deviation, 3.0 / deviation})
    edges = [-12.0, *(place for place in special if abs(place) < 12.0), 12.0]

    def weighted(z):
        return float(function(np.array(deviation * z))) ** 2 * math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

    pairs = zip(edges[:-1], edges[1:], strict=True)
    return sum(integrate.quad(weighted, a, b, limit=500, epsabs=1e-13, epsrel=1e-11)[0] for a, b in pairs)


@pytest.mark.parametrize("name", HARD)
def test_integrates_a_function_whose_kinks_it_was_not_told(name):
    function, slope, kinks = HARD[name]
    known = as_activation(function)
    for q in (0.04, 1.0):
        root = math.sqrt(q)
        assert mean_square(known, q) == pytest.approx(integral(function, root, kinks), rel=1e-9, abs=1e-12)
        # 1e-7: a slope is the derivative of a polynomial that agrees with the function to 1e-12
        assert mean_square_slope(known, q) == pytest.approx(integral(slope, root, kinks), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", HARD)
def test_finds_every_kink_and_no_other(name):
    function, _, kinks = HARD[name]
    found = find_pieces(function, name).kinks
    assert len(found) == len(kinks)
    assert list(found) == pytest.approx(list(kinks), abs=1e-7)


@pytest.mark.parametrize("name", HARD)
def test_knows_the_slope_on_either_side_of_a_kink(name):
    function, slope, kinks = HARD[name]
    x = np.linspace(-6.0, 6.0, 2001) + 1e-4
    away = np.min(np.abs(x[:, None] - np.array([*kinks, 1e9])), axis=1) > 1e-6
    assert find_pieces(function, name).slope(x[away]) == pytest.approx(slope(x[away]), rel=1e-6, abs=1e-6)


def test_agrees_on_pairs_with_a_function_whose_kinks_are_known():
    own, ramp = as_activation(lambda x: np.clip(x, -0.3137, 1.7731)), HARD["ramp with odd ends"][0]
    for correlation in (0.5, 0.99):
        told = pair_mean(ramp, 1.0, correlation, (-0.3137, 1.7731))
        assert pair_mean(own.function, 1.0, correlation, own.kinks) == pytest.approx(told, abs=1e-10)


def test_takes_single_precision_for_what_it_is():
    own = as_activation(lambda x: np.maximum(np.asarray(x, dtype=np.float32), np.float32(0.3)))
    # 1e-3: the kink is looked for to 1e-4, for below it digits are noise
    assert mean_square_slope(own, 1.0) == pytest.approx(0.5 * math.erfc(0.3 / math.sqrt(2.0)), abs=1e-3)


def test_refuses_what_no_polynomial_resembles():
    generator = np.random.default_rng(0)
    with pytest.raises(SettingsError, match="is it random"):
        find_pieces(lambda x: generator.normal(size=x.shape), "noise")
    with pytest.raises(SettingsError, match="NaN or infinity at"):
        find_pieces(lambda x: np.where(x < 2.0, x, np.nan), "hole")
    with pytest.raises(SettingsError, match="fails somewhere from -40 to 40"):
        as_activation(math.sqrt)
