import math

import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.theory.correlation_map import chi
from gradiometer.theory.critical_scale import critical_sigma_w
from gradiometer.theory.expectation import plan_network
from gradiometer.theory.length_map import fixed_length
from gradiometer.theory.phase_map import map_around, map_phases


@pytest.mark.parametrize("name", ["tanh", "relu", "softplus"])
def test_agrees_with_the_maps_it_tabulates(name):
    known, phases = ACTIVATIONS[name], map_phases(ACTIVATIONS[name], 2.5, 0.6)
    for row in range(0, 61, 15):
        for column in range(0, 61, 12):
            sigma_w, sigma_b = float(phases.sigma_w[column]), float(phases.sigma_b[row])
            q = fixed_length(known, sigma_w, sigma_b)
            if 0.0 < q < math.inf:
                # 1e-4: lengths of the table are 2 % apart
                assert phases.chi_1[row, column] == pytest.approx(chi(known, q, sigma_w), rel=1e-4)
                assert phases.q[row, column] == pytest.approx(q, rel=1e-3)
            else:
                assert phases.q[row, column] == q


def test_changes_sign_at_the_critical_line():
    phases = map_phases(ACTIVATIONS["tanh"], 2.5, 0.6)
    for row in (10, 30, 60):
        edge, _ = critical_sigma_w("tanh", float(phases.sigma_b[row]))
        assert ((phases.chi_1[row] > 1.0) == (phases.sigma_w > edge)).all()


@pytest.mark.parametrize("scales", [("tanh", 3.0, 1.0), ("relu",), ("sigmoid",)])
def test_has_the_network_inside(scales):
    plan = plan_network(*scales)
    phases = map_around(plan)
    assert phases.sigma_w[0] < plan.sigma_w < phases.sigma_w[-1]
    assert phases.sigma_b[0] <= plan.sigma_b < phases.sigma_b[-1]
    assert (phases.chi_1 < 1.0).any()
    assert (phases.chi_1 > 1.0).any()
