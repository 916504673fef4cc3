from gradiometer.curing import CURES
from gradiometer.curing.trials.pairs import (
    CHANGE_SIZES,
    are_joinable,
    joined,
    pairs_after_race,
    pairs_for_motion,
    pairs_without_winner,
    size_of,
)
from gradiometer.curing.trials.strain import Strain

RATE = "change_learning_rate:range"
WELL, ILL, BROKEN = Strain(0.2, 10.0, True), Strain(3.0, 10.0, True), Strain(6.0, 240.0, False)


def test_brings_a_rate_to_cures_after_which_weights_still_hardly_move():
    remeasured = [("a", WELL), ("b", ILL), ("c", BROKEN), ("change_learning_rate:x10", ILL)]
    assert pairs_for_motion(remeasured) == [f"b+{RATE}"]


def test_brings_a_rate_to_the_best_of_a_race():
    assert pairs_after_race(["a", "b"], is_cured=True) == [f"a+{RATE}"]
    assert pairs_after_race([RATE, "b"], is_cured=True) == []


def test_joins_the_best_of_a_race_with_others_where_its_fault_is_left():
    assert pairs_after_race(["a:1", "a:2", "b"], is_cured=False) == [f"a:1+{RATE}", "a:1+b"]


def test_joins_those_that_were_no_better_alone():
    assert pairs_without_winner([("a", ILL), ("b", WELL)]) == [f"b+{RATE}", "b+a", f"a+{RATE}"]
    assert pairs_without_winner([]) == []


def test_puts_what_acts_on_steps_behind_what_acts_on_the_model():
    assert joined("exchange_optimizer:adam", "redraw_weights:he") == "redraw_weights:he+exchange_optimizer:adam"


def test_joins_no_two_cures_of_one_kind_nor_two_that_set_the_length_of_a_step():
    assert not are_joinable("redraw_weights:he", "exchange_activation:relu+redraw_weights:he")
    assert not are_joinable("exchange_optimizer:adam", RATE)
    assert are_joinable("redraw_weights:he", "insert_normalisation")


def test_knows_how_much_every_cure_changes():
    assert set(CHANGE_SIZES) == set(CURES)
    assert size_of("reduce_regularisation") < size_of("reduce_regularisation:none")
    assert size_of("change_learning_rate:=0.1") < size_of("exchange_optimizer:adam") < size_of("insert_normalisation")
