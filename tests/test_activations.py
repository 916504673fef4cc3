import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gradiometer.activations import (
    ACTIVATIONS,
    FLAT_SHARE,
    FUNCTION_ACTIVATIONS,
    MODULE_ACTIVATIONS,
    activation_from,
    activation_of,
    parameters_of,
)
from gradiometer.errors import SettingsError

MODULES = sorted(set(MODULE_ACTIVATIONS) - {"RReLU"})  # RReLU draws its slope
CORNERS = {"Hardswish": (-3.0, 3.0)}  # where torch 2.6 takes the slope of the other side
POINTS = np.concatenate([np.linspace(-9.0, 9.0, 721), [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]])


def torch_module(name):
    module = getattr(torch.nn, name)
    return (module(0.0, 0.0) if name == "Threshold" else module()).double()


@pytest.mark.parametrize("name", MODULES)
def test_knows_every_activation_as_torch_computes_it(name):
    known = ACTIVATIONS[MODULE_ACTIVATIONS[name]]
    points = POINTS[~np.isin(POINTS, CORNERS.get(name, ()))]
    x = torch.tensor(points, requires_grad=True)
    output = torch_module(name)(x)
    output.sum().backward()
    # 1e-12: float64 arithmetic in another order; torch's softplus turns linear only beyond 20
    np.testing.assert_allclose(known.function(points), output.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(known.slope(points), x.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_knows_the_greatest_slope_and_where_it_falls_flat(name):
    known = ACTIVATIONS[name]
    grid = np.linspace(-40.0, 40.0, 400_001)
    slopes = np.abs(known.slope(grid))
    assert known.greatest_slope == pytest.approx(slopes.max(), rel=2e-4)  # the grid stops just short of a jump
    threshold = FLAT_SHARE * known.greatest_slope
    below, above = known.flat_below, known.flat_above
    assert below is None or (slopes[grid < below - 1e-9] < threshold).all()
    assert above is None or (slopes[grid > above + 1e-9] < threshold).all()
    assert below is None or slopes[(grid > below) & (grid < below + 0.01)].max() >= threshold * 0.99
    assert (below is None) == (slopes[0] >= threshold)
    assert (above is None) == (slopes[-1] >= threshold)


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_calls_rectifier_what_has_a_range_of_zero_output_and_zero_slope(name):
    known = ACTIVATIONS[name]
    grid = np.linspace(-10.0, 10.0, 2001)
    is_zero = np.abs(known.function(grid)) < 1e-300
    is_silent = is_zero & (known.slope(grid) == 0.0)
    assert known.is_rectifier == (is_silent.sum() > 10)


def test_takes_parameters_under_the_names_that_torch_gives_them():
    x = torch.linspace(-5.0, 5.0, 101, dtype=torch.float64)
    assert np.allclose(activation_of("leaky_relu", negative_slope=0.3).function(x.numpy()), F.leaky_relu(x, 0.3))
    assert np.allclose(activation_of("elu", alpha=2.0).function(x.numpy()), F.elu(x, 2.0))
    assert np.allclose(activation_of("celu", alpha=2.0).function(x.numpy()), F.celu(x, 2.0))
    assert np.allclose(activation_of("softplus", beta=3.0).function(x.numpy()), F.softplus(x, 3.0))
    assert np.allclose(activation_of("hardtanh", min_val=-2.0, max_val=0.5).function(x.numpy()), F.hardtanh(x, -2, 0.5))
    assert np.allclose(activation_of("gelu", approximate="tanh").function(x.numpy()), F.gelu(x, approximate="tanh"))
    assert activation_of("elu", alpha=2.0).greatest_slope == 2.0
    assert parameters_of("softshrink") == ("lambd",)


def test_says_which_activations_and_parameters_there_are():
    with pytest.raises(SettingsError, match="known are sigmoid"):
        activation_of("sigmiod")
    with pytest.raises(SettingsError, match="it has"):
        activation_of("elu", beta=1.0)


def test_leads_every_spelling_to_a_known_activation():
    assert set(MODULE_ACTIVATIONS.values()) <= set(ACTIVATIONS)
    assert set(FUNCTION_ACTIVATIONS.values()) <= set(ACTIVATIONS)
    for name in FUNCTION_ACTIVATIONS:
        homes = (torch, F, torch.Tensor, torch.special)
        assert any(callable(getattr(home, name, None)) for home in homes), name


def test_makes_an_activation_of_a_constant_without_claiming_that_it_is_flat():
    constant = activation_from("constant", np.zeros_like, np.zeros_like)
    assert constant.greatest_slope == 0.0
    assert constant.flat_below is None
