import pytest

from gradiometer import diagnosing
from gradiometer.prescribing import (
    MEASURES_AGAINST,
    NEEDING_PRELUDES,
    PRESCRIPTIONS,
    can_act_on,
    cures_for,
    needs_prelude,
)

CAUSES = {
    "activation_slope",
    "saturation",
    "weight_scale",
    "depth",
    "learning_rate",
    "input_scale",
    "normalisation",
    "number_format",
    "loss",
    "pooling",
    "skip",
    "recurrence",
    "gradient",
    "clipping",
    "optimizer",
    "target_scale",
    "batch_size",
    "symmetry",
    "accumulation",
    "activation",
    "regularisation",
    "unknown",
}
CORRECTED_BY_HAND = {"disconnection"}
CONDITIONS = {"vanishing", "exploding", "saturated", "dead", "stuck", "non_finite", "stalled", "thrashing"}


def test_has_a_prescription_for_every_cause_and_measures_against_every_condition():
    assert set(PRESCRIPTIONS) == CAUSES | CORRECTED_BY_HAND
    assert set(MEASURES_AGAINST) == set(diagnosing.CONDITIONS)
    assert all(len(set(labels)) == len(labels) > 0 for labels in map(PRESCRIPTIONS.get, CAUSES))


def test_prescribes_nothing_where_the_program_itself_has_to_be_corrected():
    assert all(PRESCRIPTIONS[cause] == () for cause in CORRECTED_BY_HAND)
    assert {cures_for("mismatched_loss", cause) for cause in CAUSES} == {(), ("fix_loss_pairing",)}


@pytest.mark.parametrize("condition", sorted(CONDITIONS))
@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_prescribes_in_the_order_of_the_table_what_can_act_on_the_condition(condition, cause):
    labels = cures_for(condition, cause)
    assert labels == tuple(label for label in PRESCRIPTIONS[cause] if label in labels)
    assert labels or cause in {"symmetry", "batch_size", "accumulation", "activation", "regularisation"}
    assert all(can_act_on(condition, label) for label in labels)


def test_never_raises_the_learning_rate_of_a_network_that_explodes():
    for cause in CAUSES:
        assert not any(label.startswith("change_learning_rate:x1") for label in cures_for("exploding", cause))


def test_takes_an_unheard_of_cause_for_unknown_and_rules_nothing_out_for_an_unheard_of_condition():
    assert cures_for("vanishing", "moonlight") == cures_for("vanishing", "unknown")
    assert cures_for("tired", "loss") == PRESCRIPTIONS["loss"]


def test_knows_which_cures_need_a_prelude() -> None:
    from gradiometer.curing import CURES
    from gradiometer.curing.choosing import SEARCHED_RATE

    needing = {name for name, kind in CURES.items() if "samples" in kind.needs}
    assert set(NEEDING_PRELUDES) == needing | {SEARCHED_RATE}
    assert needs_prelude("clip_gradients, pretrain_layers:rbm")
    assert not needs_prelude("change_learning_rate:=0.1")
