"""One layer's gain by what it comes from."""

import math

import pytest

from gradiometer.gain_budget import PART_NAMES, GainParts, add_parts, critical_weights_db, split_gain
from gradiometer.schema import Layer


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        (Layer("a", "BatchNorm2d", "leaf", 0), "normalisation_db"),
        (Layer("a", "layer_norm", "function", 0), "normalisation_db"),
        (Layer("a", "MaxPool2d", "leaf", 0), "pooling_db"),
        (Layer("a", "adaptive_avg_pool2d", "function", 0), "pooling_db"),
        (Layer("a", "Dropout", "leaf", 0), "pooling_db"),
        (Layer("a", "LSTM", "leaf", 0), "recurrence_db"),
        (Layer("a", "Flatten", "leaf", 0), "other_db"),
        (Layer("a", "operations", "block", 0), "other_db"),
    ],
)
def test_puts_a_gain_where_it_belongs(layer, part):
    parts = split_gain(layer, -5.0)
    assert getattr(parts, part) == parts.gain_db == -5.0


def test_splits_the_gain_of_weights_at_the_critical_scale_of_the_activation_beside_them():
    parts = split_gain(Layer("a", "Linear", "leaf", 0, fan_in=3), -5.0, "relu")
    assert parts.weights_critical_db == pytest.approx(10.0 * math.log10(2.0))
    assert parts.weights_excess_db == pytest.approx(-5.0 - 10.0 * math.log10(2.0))
    assert parts.weights_db == parts.gain_db == pytest.approx(-5.0)


def test_takes_only_what_ends_the_network_for_its_output_unit():
    sigmoid = Layer("a", "Sigmoid", "leaf", 0, activation="sigmoid", greatest_slope=0.25)
    assert split_gain(sigmoid, -14.0, is_output_unit=True) == GainParts(output_unit_db=-14.0)
    assert split_gain(Layer("a", "log_softmax", "function", 0), -2.0, is_output_unit=True).output_unit_db == -2.0
    assert split_gain(Layer("a", "Flatten", "leaf", 0), -2.0, is_output_unit=True).other_db == -2.0
    assert split_gain(sigmoid, -14.0).output_unit_db == 0.0


def test_charges_saturation_with_a_gradient_that_an_activation_stops():
    dead = split_gain(Layer("a", "ReLU", "leaf", 0, activation="relu", greatest_slope=1.0), -math.inf)
    assert (dead.activation_slope_db, dead.saturation_db, dead.gain_db) == (0.0, -math.inf, -math.inf)


def test_splits_nothing_where_no_gain_was_measured():
    assert split_gain(Layer("a", "Linear", "leaf", 0, fan_in=3), math.nan) == GainParts()


def test_adds_parts_each_with_its_like():
    many = GainParts(*range(len(PART_NAMES)))
    assert add_parts([many, many]) == GainParts(*(2.0 * part for part in range(len(PART_NAMES))))
    assert many.gain_db == sum(range(len(PART_NAMES)))
    assert add_parts([]) == GainParts()


def test_knows_no_critical_scale_of_an_activation_without_slope_at_zero():
    assert critical_weights_db("tanhshrink") is None
    assert critical_weights_db("no such activation") is None
    assert critical_weights_db(None) == 0.0
