"""Blocks of paths that meet, against sums by hand."""

import math

import pytest

from gradiometer.gain_budget.blocks import Member, split_block
from gradiometer.gain_budget.parts import GainParts
from gradiometer.gain_budget.wiring import Norms
from gradiometer.units import decibels


def member(output: float, gain_db: float, **kinds: float) -> Member:
    parts = GainParts(**(kinds or {"weights_excess_db": gain_db}))
    return Member(Norms(output, output * 10.0 ** (gain_db / 20.0)), parts)


def test_shares_out_a_block_of_a_skip_and_a_branch_by_hand():
    # Branch: weights x 2, activation x 1/4. Squares: 1 (skip) + 4, 1 + 1/16, 1 + 1/4 for both.
    weights_db, slope_db = decibels(2.0), decibels(0.25)
    members = [
        Member(Norms(0.25, 0.5), GainParts(weights_excess_db=weights_db)),
        Member(Norms(1.0, 0.25), GainParts(activation_slope_db=slope_db)),
    ]
    gain_db = 10.0 * math.log10(1.25)
    parts = split_block(gain_db, 1.0, members)
    w, a, both = (10.0 * math.log10(square / 2.0) for square in (5.0, 1.0625, 1.25))
    assert parts.weights_excess_db == pytest.approx((w + (both - a)) / 2.0, abs=1e-12)
    assert parts.activation_slope_db == pytest.approx((a + (both - w)) / 2.0, abs=1e-12)
    assert parts.skip_db == pytest.approx(10.0 * math.log10(2.0), abs=1e-12)
    assert parts.gain_db == pytest.approx(gain_db, abs=1e-12)


def test_adds_gains_up_along_a_block_of_one_path():
    members = [
        member(0.25, -6.0),
        member(0.5, decibels(0.5), activation_slope_db=decibels(0.5)),
        member(1.0, decibels(0.5)),
    ]
    gain_db = -6.0 + decibels(0.25)
    parts = split_block(gain_db, 1.0, members)
    assert parts.weights_excess_db == pytest.approx(-6.0 + decibels(0.5), abs=1e-9)
    assert parts.activation_slope_db == pytest.approx(decibels(0.5), abs=1e-9)
    assert parts.skip_db == pytest.approx(0.0, abs=1e-9)


def test_shares_equally_between_two_kinds_of_layers_that_do_the_same_on_branches_of_their_own():
    members = [
        Member(Norms(1.0, 0.5), GainParts(weights_excess_db=decibels(0.5))),
        Member(Norms(1.0, 0.5), GainParts(normalisation_db=decibels(0.5))),
    ]
    parts = split_block(10.0 * math.log10(0.5), 1.0, members)
    assert parts.weights_excess_db == pytest.approx(parts.normalisation_db, abs=1e-12)
    assert parts.skip_db == pytest.approx(10.0 * math.log10(2.0), abs=1e-12)


def test_counts_what_paths_that_agree_or_pull_apart_make_of_the_sum_as_the_skip_s():
    members = [Member(Norms(1.0, 1.0), GainParts(weights_excess_db=0.0))]
    assert split_block(decibels(2.0), 1.0, members).skip_db == pytest.approx(decibels(2.0), abs=1e-12)
    assert split_block(decibels(0.5), 1.0, members).skip_db == pytest.approx(decibels(0.5), abs=1e-12)


def test_follows_a_gradient_through_a_layer_that_several_read():
    # Two readers of one tensor hand back 0.6 and 0.7 of what comes to them.
    between = math.hypot(0.6, 0.7)
    members = [
        Member(Norms(between, 0.5 * between), GainParts(activation_slope_db=decibels(0.5))),
        Member(Norms(1.0, 0.6), GainParts(weights_excess_db=decibels(0.6))),
        Member(Norms(1.0, 0.7), GainParts(weights_excess_db=decibels(0.7))),
    ]
    parts = split_block(decibels(0.5 * between), 1.0, members)
    assert parts.activation_slope_db == pytest.approx(decibels(0.5), abs=1e-9)
    assert parts.weights_excess_db == pytest.approx(10.0 * math.log10(0.85 / 2.0), abs=1e-9)
    assert parts.skip_db == pytest.approx(10.0 * math.log10(2.0), abs=1e-9)


def test_charges_the_part_that_stops_all_with_a_block_that_lets_nothing_through():
    stopping = Member(Norms(1.0, 0.0), GainParts(saturation_db=-math.inf))
    assert split_block(-math.inf, 1.0, [member(1.0, -3.0), stopping]) == GainParts(saturation_db=-math.inf)
    assert split_block(-math.inf, 1.0, [member(1.0, -3.0)]) == GainParts(other_db=-math.inf)


def test_counts_a_block_without_measured_layers_as_other_and_one_that_was_not_measured_as_nothing():
    assert split_block(-4.0, 1.0, []) == GainParts(other_db=-4.0)
    assert split_block(math.nan, 1.0, [member(1.0, -3.0)]) == GainParts()
