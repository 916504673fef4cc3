import math

import numpy as np
import pytest

from gradiometer.theory.depth_limits import depth_limits, layers_to


@pytest.mark.parametrize("chi_1", [0.25, 0.9, 1.3])
def test_says_where_a_gradient_leaves_single_precision(chi_1):
    bound = np.finfo(np.float32).tiny if chi_1 < 1.0 else np.finfo(np.float32).max
    layers, gradient, root = 0, np.float64(1.0), math.sqrt(chi_1)
    while np.finfo(np.float32).tiny <= gradient <= np.finfo(np.float32).max:
        gradient *= root
        layers += 1
    assert layers_to(float(bound), chi_1) == pytest.approx(layers, abs=1.0)
    limits = depth_limits(chi_1=chi_1, xi_c=math.inf, xi_gradient=math.inf, length_growth=1.0, width=None)
    assert limits[0].name == "float32"
    assert limits[0].layers == pytest.approx(layers, abs=1.0)


def test_puts_the_tightest_first_and_names_none_twice():
    limits = depth_limits(chi_1=0.9, xi_c=9.5, xi_gradient=9.5, length_growth=1.0, width=40)
    assert [limit.name for limit in limits] == ["width", "correlation", "float32", "length"]
    assert limits[1].layers == pytest.approx(57.0)
    chaotic = depth_limits(chi_1=1.2, xi_c=8.0, xi_gradient=5.5, length_growth=1.0, width=None)
    assert [limit.name for limit in chaotic[:2]] == ["gradient", "correlation"]


def test_has_no_limit_where_all_is_kept_and_a_hard_one_where_all_is_lost():
    kept = depth_limits(chi_1=1.0, xi_c=math.inf, xi_gradient=math.inf, length_growth=1.0, width=None)
    assert all(limit.layers == math.inf for limit in kept)
    assert layers_to(2.0**-126, 0.0) == 1.0
