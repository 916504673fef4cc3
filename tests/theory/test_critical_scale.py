import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS, activation_from
from gradiometer.errors import SettingsError
from gradiometer.theory.correlation_map import chi
from gradiometer.theory.critical_scale import critical_scale, critical_sigma_w
from gradiometer.theory.length_map import next_length

# sigma_b², critical sigma_w², q* of tanh
TANH_LINE = [
    (1e-4, 1.0860, 0.0457),
    (0.001, 1.1892, 0.1073),
    (0.01, 1.4242, 0.2733),
    (0.05, 1.7610, 0.5700),
    (0.1, 1.9861, 0.8058),
    (0.2, 2.2852, 1.1645),
    (0.3, 2.5051, 1.4612),
    (0.5, 2.8432, 1.9710),
]


@pytest.mark.parametrize(("sigma_b_square", "sigma_w_square", "q"), TANH_LINE)
def test_finds_the_critical_line_of_tanh_to_four_decimals(sigma_b_square, sigma_w_square, q):
    sigma_w, length = critical_sigma_w("tanh", math.sqrt(sigma_b_square))
    assert sigma_w**2 == pytest.approx(sigma_w_square, abs=5e-5)
    assert length == pytest.approx(q, abs=5e-5)


def test_finds_the_known_scales():
    relu = critical_scale("relu")
    assert (relu.sigma_w**2, relu.sigma_b) == (pytest.approx(2.0), 0.0)
    tanh = critical_scale("tanh")
    assert (tanh.sigma_w, tanh.sigma_b, tanh.q) == (pytest.approx(1.0), 0.0, 0.0)
    # Roberts, Yaida, Hanin 2022, chapter 5
    gelu = critical_scale("gelu")
    assert (gelu.sigma_w**2, gelu.sigma_b**2) == (pytest.approx(1.98305, abs=2e-5), pytest.approx(0.17292, abs=2e-5))
    silu = critical_scale("silu")
    assert (silu.sigma_w**2, silu.sigma_b**2) == (pytest.approx(1.98800, abs=2e-5), pytest.approx(0.55514, abs=2e-5))
    assert silu.q == pytest.approx(14.32, abs=0.01)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "gelu", "silu", "mish", "hardswish", "prelu"])
def test_gives_a_scale_at_which_length_and_gradient_are_kept(name):
    scale = critical_scale(name)
    known = ACTIVATIONS[name]
    assert chi(known, scale.q, scale.sigma_w) == pytest.approx(1.0, abs=1e-9)
    assert next_length(known, scale.q, scale.sigma_w, scale.sigma_b) == pytest.approx(scale.q, rel=1e-6)


@pytest.mark.parametrize("name", ["sigmoid", "hardsigmoid", "softplus", "logsigmoid"])
def test_takes_the_mean_out_of_activations_that_have_one(name):
    scale = critical_scale(name)
    assert scale.output_mean == pytest.approx(float(ACTIVATIONS[name].function(np.zeros(1))[0]))
    assert scale.sigma_w == pytest.approx(1.0 / float(ACTIVATIONS[name].slope(np.zeros(1))[0]))
    assert scale.q == 0.0


def test_gives_the_same_scale_to_a_python_function():
    assert critical_scale(math.tanh).sigma_w == pytest.approx(1.0, abs=1e-6)
    own = critical_scale(lambda x: np.where(x > 0, x, 0.01 * x))
    assert own.sigma_w == pytest.approx(critical_scale("leaky_relu").sigma_w, rel=1e-4)


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu", "relu", "elu"])
def test_keeps_the_gradient_of_a_deep_random_network(name):
    scale, known = critical_scale(name), ACTIVATIONS[name]
    width, depth, totals = 128, 20, []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        hidden, layers = (
            generator.normal(0.0, min(scale.entry_rms, 0.3) if scale.q == 0 else scale.entry_rms, (32, width)),
            [],
        )
        for _ in range(depth):
            weights = scale.sigma_w * np.linalg.qr(generator.normal(size=(width, width)))[0]
            layers.append((weights, known.slope(hidden)))
            biases = generator.normal(0.0, 1.0, width) * scale.sigma_b - scale.output_mean * weights.sum(axis=1)
            hidden = known.function(hidden) @ weights.T + biases
        gradient = generator.normal(0.0, 1.0, (32, width))
        start = np.log(np.square(gradient).sum())
        for weights, slope in reversed(layers):
            gradient = (gradient @ weights) * slope
        totals.append((np.log(np.square(gradient).sum()) - start) / depth)
    # 12 % per layer: a signal of finite size is squashed a little; at PyTorch's default a sigmoid keeps 2 %
    assert math.exp(np.mean(totals)) == pytest.approx(1.0, abs=0.12)


def test_refuses_what_lets_no_gradient_through():
    with pytest.raises(SettingsError, match="constant"):
        critical_scale(activation_from("constant", np.zeros_like, np.zeros_like))
    with pytest.raises(SettingsError, match="flat around zero"):
        critical_scale("hardshrink")
    with pytest.raises(SettingsError, match="smaller sigma_b"):
        critical_sigma_w("relu", 0.5)
    with pytest.raises(SettingsError, match="smaller sigma_b"):
        critical_sigma_w(activation_from("constant", np.zeros_like, np.zeros_like), 0.5)
