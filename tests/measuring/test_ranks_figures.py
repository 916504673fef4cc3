import math

import numpy as np
import pytest

from gradiometer.measuring.ranks_combining import disagreement
from gradiometer.measuring.ranks_figures import (
    InputFigures,
    LayerFigures,
    RankFigures,
    ShardFigures,
    UnitFigures,
    UnitShares,
    join_inputs,
    join_layers,
    join_losses,
    join_mean_square,
    join_share,
    join_units,
    join_updates,
)


def layer_of(outputs, gradients, inputs):
    return LayerFigures(
        elements=outputs.size,
        output_rms=float(np.sqrt(np.mean(outputs**2))),
        output_gradient_norm=float(np.linalg.norm(gradients)),
        input_gradient_norm=float(np.linalg.norm(inputs)),
    )


@pytest.mark.parametrize("scale", [1.0, 2.0**-100, 2.0**100])
def test_joins_a_layer_as_the_whole_batch_has_it(scale):
    outputs = np.random.randn(12, 5)
    gradients, inputs = scale * np.random.randn(12, 5), scale * np.random.randn(12, 7)
    # The whole batch's loss is the mean over all examples: each process's own gradients are greater by their number.
    parts = [layer_of(outputs[k::3], 3 * gradients[k::3], 3 * inputs[k::3]) for k in range(3)]
    joined, whole = join_layers(parts, 3), layer_of(outputs, gradients, inputs)
    assert joined.elements == 60
    for name in ("output_rms", "output_gradient_norm", "input_gradient_norm"):
        assert getattr(joined, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_has_no_norm_where_one_process_met_what_is_not_finite():
    good = LayerFigures(4, 1.0, 1.0, 1.0)
    bad = LayerFigures(4, None, None, None, output_nonfinite_count=2, gradient_nonfinite_count=3)
    joined = join_layers([good, bad], 2)
    assert joined == LayerFigures(8, None, None, None, 2, 3)


def test_adds_nothing_for_a_process_to_which_no_gradient_came():
    joined = join_layers([LayerFigures(4, 1.0, 6.0, 2.0), LayerFigures(4, 1.0, None, None)], 2)
    assert (joined.output_gradient_norm, joined.input_gradient_norm) == (3.0, 1.0)


def test_judges_units_on_the_examples_of_all_processes():
    flat = np.array([[1, 1, 0, 0]] * 19 + [[1, 0, 0, 0]] * 1, dtype=float)
    answers = np.array([[0, 0, 0, 1]] + [[0, 1, 0, 0]] * 19)
    parts = [
        UnitFigures(10, tuple(flat[rows].sum(0)), tuple(answers[rows].max(0))) for rows in (slice(0, 10), slice(10, 20))
    ]
    assert join_units(parts, 0.95) == UnitShares(0.5, 0.5, None, 20)
    assert join_units([UnitFigures(3)], 0.95) == UnitShares(None, None, None, 3)


def test_joins_units_that_are_linear_on_the_examples_of_every_process():
    def figures(*counts: float, both: bool = False) -> UnitFigures:
        return UnitFigures(10, piece_counts=counts, has_two_steep_pieces=both)

    assert join_units([figures(10, 10, 0, 3), figures(10, 4, 0, 10)], 0.95).linear == 0.25
    assert join_units([figures(10, 10, 0, 3, both=True), figures(10, 4, 0, 10, both=True)], 0.95).linear == 0.5
    assert join_units([figures(10), UnitFigures(10)], 0.95).linear is None


def shard_of(weights, change, gradient, whole_size, weight=1.0):
    return ShardFigures(
        weight=weight,
        elements=weights.size,
        sampled=weights.size,
        sampled_square=float(weights @ weights),
        update_square=float(change @ change),
        mean_squares={"gradient_rms": float(gradient @ gradient) / whole_size},
        shares={"gradient_zero_share": float(np.mean(gradient == 0)) if gradient.size else None},
    )


@pytest.mark.parametrize("copies", [1, 2])
def test_joins_shards_of_different_sizes_as_the_whole_parameter_has_it(copies):
    weights, change, gradient = np.random.randn(3, 11)
    gradient[:4] = 0.0
    parts = [
        shard_of(*(part[rows] for part in (weights, change, gradient)), whole_size=11, weight=1.0 / copies)
        for rows in (slice(0, 6), slice(6, 11), slice(11, 11))
    ] * copies
    ratio, rms = join_updates(parts)
    assert ratio == pytest.approx(np.linalg.norm(change) / np.linalg.norm(weights))
    assert rms == pytest.approx(math.sqrt(np.mean(change**2)))
    assert join_mean_square(parts, "gradient_rms") == pytest.approx(math.sqrt(np.mean(gradient**2)))
    assert join_share(parts, "gradient_zero_share") == pytest.approx(4 / 11)


def test_joins_inputs_and_losses_of_parts():
    inputs = np.random.randn(12, 3)
    parts = [
        InputFigures(part.mean(), math.sqrt(np.mean(part**2)), np.abs(part).max(), len(part))
        for part in (inputs[:5], inputs[5:])
    ]
    joined = join_inputs(parts)
    assert joined.mean == pytest.approx(inputs.mean())
    assert joined.rms == pytest.approx(math.sqrt(np.mean(inputs**2)))
    assert (joined.greatest, joined.batch_size) == (np.abs(inputs).max(), 12)
    assert join_losses([RankFigures(loss=1.0, has_loss=True), RankFigures(loss=3.0, has_loss=True)]) == 2.0
    assert join_losses([RankFigures(loss=1.0, has_loss=True), RankFigures(has_loss=True)]) is None
    assert join_losses([RankFigures()]) is None


def test_sends_every_number_to_its_last_bit():
    figures = RankFigures(
        layers={"body.0": LayerFigures(8, 5e-324, 1.0 / 3.0, None, 1, 0)},
        units={"act": UnitFigures(4, (1.0, 0.0), None)},
        shards={"weight": ShardFigures(0.5, 4, 2, 1e-300, None, {"weight_rms": 0.1}, {}, 0.7, {"nonfinite": 1})},
        inputs=InputFigures(0.1, 0.2, 0.3, 4),
        loss=2.0 / 3.0,
        has_loss=True,
        first_bad_loss=7,
    )
    assert RankFigures.decode(figures.encode()) == figures


def test_names_the_processes_that_disagree_on_what_is_finite():
    good = RankFigures({"a": LayerFigures(4, 1.0)}, loss=0.1, has_loss=True)
    output = RankFigures({"a": LayerFigures(4, 1.0), "b": LayerFigures(4, output_nonfinite_count=2)})
    gradient = RankFigures({"a": LayerFigures(4, 1.0, gradient_nonfinite_count=1)}, loss=0.1, has_loss=True)
    assert disagreement({0: good, 1: good}) is None
    assert disagreement({0: output, 1: output}) is None
    assert disagreement({0: good, 1: output}) == "NaN or infinity on rank 1 only, first in the output of b"
    assert disagreement({0: good, 1: gradient, 2: gradient}) == (
        "NaN or infinity on ranks 1, 2 only, first in the gradient at a"
    )
    assert disagreement({0: good, 1: gradient, 2: output}) == (
        "NaN or infinity on some ranks only: rank 1 first in the gradient at a; rank 2 first in the output of b"
    )


def test_names_the_process_whose_loss_was_not_finite_first():
    bad = RankFigures(has_loss=True, first_bad_loss=5, last_good_loss=4)
    late = RankFigures(has_loss=True, first_bad_loss=6, last_good_loss=5)
    assert disagreement({0: late, 1: bad}) == "the loss was not finite on rank 1 first, at step 5"
    # Where nobody's loss is known to have been finite then, nothing is claimed.
    assert disagreement({0: RankFigures(has_loss=True, first_bad_loss=6, last_good_loss=4), 1: bad}) is None
