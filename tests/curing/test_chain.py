"""Several cures as one: applied in an order in which none undoes another, however they were written."""

import pytest
import torch

from gradiometer.curing import CURES, parse_cure
from gradiometer.curing.chain import WEIGHTS_LAST
from gradiometer.errors import SettingsError
from tests.curing.cure_contract import patient_of
from tests.curing.patients import first_batch, fresh_model


@pytest.mark.parametrize(
    ("written", "applied"),
    [
        ("redraw_weights:critical+exchange_activation:gelu", "exchange_activation:gelu+redraw_weights:critical"),
        ("scale_to_unit_variance+redraw_weights:he", "redraw_weights:he+scale_to_unit_variance"),
        ("change_learning_rate:x0.1+clip_gradients:1", "change_learning_rate:x0.1+clip_gradients:1"),
        ("redraw_weights:he+clip_gradients:1", "clip_gradients:1+redraw_weights:he"),
    ],
)
def test_what_gives_weights_their_values_comes_last(written: str, applied: str) -> None:
    assert parse_cure(written).label == applied


def test_critical_weights_are_drawn_for_the_activation_that_comes_with_them() -> None:
    """The oracle is the two cures applied by hand, the activation first."""
    cured, by_hand = (patient_of(lambda: fresh_model("functional"), first_batch()) for _ in range(2))
    parse_cure("redraw_weights:critical+exchange_activation:gelu").apply(cured)
    parse_cure("exchange_activation:gelu").apply(by_hand)
    parse_cure("redraw_weights:critical").apply(by_hand)
    pairs = zip(cured.model.state_dict().items(), by_hand.model.state_dict().items(), strict=True)
    for (name, value), (_, expected) in pairs:
        assert torch.equal(value, expected), name


def test_every_cure_that_is_put_in_order_exists() -> None:
    assert set(WEIGHTS_LAST) <= set(CURES)


def test_a_misspelt_cure_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'clip_gradients'"):
        parse_cure("clip_gradient")
