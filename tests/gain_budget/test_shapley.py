"""Shapley's value against its axioms and against all orders written out."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.gain_budget.shapley import shapley_shares

worth = st.floats(-100.0, 100.0)


def by_all_orders(worths: np.ndarray, count: int) -> list[float]:
    """The definition itself."""
    shares = [0.0] * count
    orders = list(permutations(range(count)))
    for order in orders:
        coalition = 0
        for player in order:
            joined = coalition | (1 << player)
            shares[player] += (worths[joined] - worths[coalition]) / len(orders)
            coalition = joined
    return shares


@given(count=st.integers(1, 4), data=st.data())
def test_gives_the_mean_over_all_orders_and_shares_out_all_there_is(count, data):
    worths = np.array(data.draw(st.lists(worth, min_size=2**count, max_size=2**count)))
    shares = shapley_shares(worths)
    assert shares == pytest.approx(by_all_orders(worths, count), abs=1e-9)
    assert shares.sum() == pytest.approx(worths[-1] - worths[0], abs=1e-9)


def test_gives_a_player_that_changes_nothing_nothing():
    worths = np.array([0.0, 7.0, 0.0, 7.0])
    assert shapley_shares(worths).tolist() == [7.0, 0.0]


def test_gives_players_that_do_the_same_the_same():
    assert shapley_shares(np.array([0.0, 1.0, 1.0, 6.0])).tolist() == [3.0, 3.0]


@given(first=st.lists(worth, min_size=8, max_size=8), second=st.lists(worth, min_size=8, max_size=8))
def test_adds_the_shares_of_two_games(first, second):
    together = shapley_shares(np.array(first) + np.array(second))
    assert together == pytest.approx(shapley_shares(np.array(first)) + shapley_shares(np.array(second)), abs=1e-9)


def test_has_no_share_for_nobody():
    assert len(shapley_shares(np.array([0.0]))) == 0
