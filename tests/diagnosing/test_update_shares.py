"""The ledger of the update's size against trainings whose numbers are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from specimens import Chain, make_clusters
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing.causes import update_causes
from gradiometer.diagnosing.update_shares import UpdateShares, shares_of_update, telling_snapshot
from gradiometer.diagnosing.weight_motion import WeightMotion, weight_motions
from gradiometer.schema import Run
from gradiometer.session import watch
from gradiometer.units import decibels

OPTIMIZERS = {
    "SGD": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=1e-2),
    "Adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
    "RMSprop": lambda parameters, rate: torch.optim.RMSprop(parameters, lr=rate),
}


def trained(optimizer, model, steps: int = 4, most_norm: float | None = None) -> Run:
    points, labels = make_clusters()
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(points[:64]), labels[:64]).backward()
            if most_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), most_norm)
            optimizer.step()
    return watching.run


@settings(max_examples=8)
@given(
    kind=st.sampled_from(sorted(OPTIMIZERS)),
    rate=st.sampled_from([1e-5, 1e-3, 1e-1, 10.0]),
    is_clipped=st.booleans(),
    seed=st.integers(0, 100),
)
def test_adds_the_shares_up_to_the_update_ratio(kind, rate, is_clipped, seed):
    torch.manual_seed(seed)
    model = Chain(2, nn.Tanh())
    run = trained(OPTIMIZERS[kind](model.parameters(), rate), model, most_norm=1e-2 if is_clipped else None)
    for motion in weight_motions(run):
        for index in range(run.snapshot_count):
            shares = shares_of_update(run, motion, index)
            assert shares.ratio_db == pytest.approx(decibels(motion.ratios[index] / 1e-3), abs=1e-9)


def test_charges_plain_descent_with_gradient_and_rate_alone():
    torch.manual_seed(0)
    model = Chain(2, nn.Tanh())
    run = trained(torch.optim.SGD(model.parameters(), lr=1e-3), model)
    shares = shares_of_update(run, weight_motions(run)[0], 0)
    assert shares.learning_rate_db == pytest.approx(-40.0)
    assert shares.clipping_db == pytest.approx(0.0, abs=1e-6)
    # What is measured of an update in single precision is off by a ten-thousandth or so.
    assert shares.optimizer_db == pytest.approx(0.0, abs=0.05)


def test_charges_clipping_with_what_it_takes():
    torch.manual_seed(0)
    model = Chain(2, nn.Tanh())
    run = trained(torch.optim.SGD(model.parameters(), lr=0.1), model, steps=1, most_norm=1e-3)
    total = math.sqrt(
        sum(
            float(rms) ** 2 * parameter.element_count
            for rms, parameter in zip(run.parameter_columns["gradient_rms"][0], run.parameters, strict=True)
        )
    )
    shares = shares_of_update(run, weight_motions(run)[0], 0)
    assert shares.clipping_db == pytest.approx(decibels(1e-3 / total), abs=0.01)


def test_says_what_would_be_gone_at_the_usual_rate_of_an_adaptive_optimizer():
    torch.manual_seed(0)
    model = Chain(2, nn.Tanh())
    run = trained(torch.optim.Adam(model.parameters(), lr=0.1), model)
    motion = weight_motions(run)[0]
    cause, *_ = update_causes(run, motion, float(motion.ratios[0]))
    assert (cause.name, cause.share_db) == ("learning_rate", pytest.approx(40.0))


def test_blames_the_gradient_where_the_rate_is_usual():
    torch.manual_seed(0)
    model = Chain(2, nn.Tanh())
    points, labels = make_clusters()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            (1e-6 * F.cross_entropy(model(points[:64]), labels[:64])).backward()
            optimizer.step()
    run = watching.run
    motion = weight_motions(run)[0]
    causes = update_causes(run, motion, motion.late_ratio)
    assert [cause.name for cause in causes] == ["gradient"]
    assert causes[0].share_db < -60.0


def test_says_that_an_update_is_lost_in_the_last_digit_of_the_weights():
    torch.manual_seed(0)
    model = Chain(2, nn.Tanh())
    run = trained(torch.optim.SGD(model.parameters(), lr=1e-12), model)
    motion = weight_motions(run)[0]
    assert shares_of_update(run, motion, 0).optimizer_db == -math.inf
    names = [cause.name for cause in update_causes(run, motion, 0.0)]
    assert (names[0], names[-1]) == ("learning_rate", "number_format")


def test_gives_no_share_to_what_was_not_measured():
    torch.manual_seed(0)
    model = Chain(2, nn.Tanh())
    run = trained(torch.optim.SGD(model.parameters(), lr=1e-3), model)
    motion = weight_motions(run)[0]
    run.parameter_columns["learning_rate"][:] = math.nan
    shares = shares_of_update(run, motion, 0)
    assert shares.learning_rate_db == 0.0
    assert shares.ratio_db == pytest.approx(decibels(float(motion.ratios[0]) / 1e-3), abs=1e-9)
    unmeasured = WeightMotion("a", motion.parameter, 0, np.array([math.nan]), math.nan, np.zeros(1), np.zeros(1))
    assert shares_of_update(run, unmeasured, 0) == UpdateShares()


def test_looks_at_the_measurement_that_is_nearest_to_a_median():
    ratios = np.array([1.0, 3.0, math.nan, 9.0])
    motion = WeightMotion("a", "a.weight", 0, ratios, 3.0, ratios, ratios)
    assert [telling_snapshot(motion, ratio) for ratio in (0.5, 3.5, 100.0)] == [0, 1, 3]
    blind = WeightMotion("a", "a.weight", 0, np.full(3, math.nan), math.nan, ratios, ratios)
    assert telling_snapshot(blind, 1.0) == 2
