import math

import pytest

from gradiometer.activations import SELU_ALPHA, SELU_SCALE
from gradiometer.theory.self_normalising import self_normalising_constants


def test_derives_the_constants_of_selu():
    scale, alpha = self_normalising_constants()
    assert scale == pytest.approx(1.0507009873554804934, abs=1e-12)
    assert alpha == pytest.approx(1.6732632423543772848, abs=1e-12)
    assert (scale, alpha) == (pytest.approx(SELU_SCALE, abs=1e-12), pytest.approx(SELU_ALPHA, abs=1e-12))


def test_derives_what_the_closed_form_gives():
    # E[x; x>0] = 1/sqrt(2 pi), E[e^(kx); x<0] = e^(k²/2) Phi(-k)
    def below(k):
        return math.exp(0.5 * k * k) * 0.5 * math.erfc(k / math.sqrt(2.0))

    alpha = -1.0 / math.sqrt(2.0 * math.pi) / (below(1) - 0.5)
    scale = 1.0 / math.sqrt(0.5 + alpha**2 * (below(2) - 2.0 * below(1) + 0.5))
    assert self_normalising_constants() == (pytest.approx(scale, abs=1e-12), pytest.approx(alpha, abs=1e-12))
