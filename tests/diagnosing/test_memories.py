"""How a gradient's way back through time is read, on hand-made runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from specimens import BATCH, adam, train
from specimens_learning import Recurrent, make_sequences

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.exploding_memory import find_exploding_memory
from gradiometer.diagnosing.fading_memory import find_fading_memory, still_share
from gradiometer.schema import LossSeries, Parameter, Run, TimeFade

CHANCE = 1.4


def losses(values: list[float] | np.ndarray) -> LossSeries:
    steps = np.arange(len(values), dtype=np.int64)
    return LossSeries("train.py:1", steps, np.asarray(values, dtype=np.float64), np.zeros(len(steps), dtype=np.int64))


def run_with(gains: tuple[float | None, ...], curve: np.ndarray, *, accuracy: float = 0.5, ratio: float = 1e-3) -> Run:
    """A run of one recurrent layer, measured in full at a few steps, through time at step 2."""
    steps = np.array([step for step in (0, 2, 8, 32, 128, 256) if step < len(curve)])
    ones = np.ones(len(steps))
    columns = {"gradient_rms": ones, "gradient_nonfinite_count": 0.0 * ones, "gradient_zero_share": 0.0 * ones,
               "weight_rms": ones, "update_rms": ratio * ones, "update_ratio": ratio * ones,
               "learning_rate": 0.1 * ones}  # fmt: skip
    return Run(
        facts={"batch_size": BATCH, "step_count": len(curve)},
        parameters=(Parameter("rnn.weight_hh_l0", "rnn", (8, 8), "float32"),),
        snapshot_steps=steps,
        snapshot_columns={
            "loss": curve[steps],
            "constant_loss": CHANCE * ones,
            "batch_accuracy": np.linspace(0.25, accuracy, len(steps)),
        },
        parameter_columns={name: column[:, None] for name, column in columns.items()},
        fades={2: (TimeFade("rnn", step_count=len(gains), norms=gains, gains=gains),)},
        losses=(losses(curve),),
    )


def noise(count: int) -> np.ndarray:
    return 0.01 * np.random.default_rng(0).standard_normal(count)


def powers(step_gain: float, count: int) -> tuple[float, ...]:
    return tuple(step_gain**age for age in range(count))


SLOW_FALL = np.linspace(CHANCE, 0.8, 400) + noise(400)
LATE_FALL = np.concatenate([np.full(240, CHANCE), np.linspace(CHANCE, 0.7, 160)]) + noise(400)
EARLY_FALL = np.concatenate([np.linspace(CHANCE, 0.9, 30), np.full(370, 0.9)]) + noise(400)


@pytest.mark.parametrize(
    ("gains", "is_found"),
    [
        (powers(1.86, 8), True),  # 76-fold in eight time steps
        (powers(1.1, 60), True),  # 277-fold, slowly
        (powers(1.2, 8), False),  # 3.6-fold
        (powers(1.05, 60), False),  # 18-fold, by less than 1.3 at each step
        (tuple(1.0 + age for age in range(200)), False),  # adds up: a loss at every time step
        ((1.0, 50.0, 300.0, 400.0, 300.0, 200.0, 100.0, 20.0, 1.0, 0.1), False),  # sequences that end early
        ((None,) * 8, False),
    ],
)
def test_finds_a_gradient_that_grows_as_a_power_of_the_time_steps(gains, is_found):
    found = find_exploding_memory(run_with(gains, SLOW_FALL))
    assert [finding.severity for finding in found] == (["warning"] if is_found else [])


def test_leaves_a_growing_gradient_alone_where_the_network_has_learned_well_or_it_grows_no_more():
    run = run_with(powers(2.0, 12), SLOW_FALL)
    assert find_exploding_memory(run)
    assert not find_exploding_memory(run_with(powers(2.0, 12), SLOW_FALL, accuracy=1.0))
    later = TimeFade("rnn", step_count=12, gains=powers(0.9, 12))
    assert not find_exploding_memory(replace(run, fades={**run.fades, 128: (later,)}))
    assert find_exploding_memory(replace(run, fades={**run.fades, 128: run.fades[2]}))


def test_reads_the_growth_of_very_long_sequences():
    long = TimeFade("rnn", step_count=100_000, stride=196, gains=(1.0,) * 500 + (20.0,) * 10)
    assert not find_exploding_memory(replace(run_with(powers(1.0, 8), SLOW_FALL), fades={2: (long,)}))


@pytest.mark.parametrize(
    ("curve", "settings", "is_found"),
    [
        (LATE_FALL, {}, True),
        (LATE_FALL, {"accuracy": 1.0}, False),
        (LATE_FALL, {"ratio": 1e-4}, False),  # slow weights make any network slow
        (EARLY_FALL, {}, False),  # what noisy data give is learned from the start
        (LATE_FALL[:245], {}, False),  # too few steps to tell
    ],
)
def test_finds_a_short_memory_where_it_holds_learning_up(curve, settings, is_found):
    found = find_fading_memory(run_with(powers(0.55, 60), curve, **settings))
    assert [finding.severity for finding in found] == (["warning"] if is_found else [])


def test_leaves_a_memory_alone_that_reaches_half_of_the_sequence_or_is_not_known():
    assert find_fading_memory(run_with(powers(0.05, 8), LATE_FALL))
    assert not find_fading_memory(run_with(powers(0.55, 16), LATE_FALL))
    assert not find_fading_memory(run_with((None,) * 60, LATE_FALL))


@pytest.mark.parametrize(("is_batch_first", "expected"), [(False, ["fading_memory"]), (True, [])])
def test_tells_a_layer_that_takes_the_batch_for_time(is_batch_first, expected):
    torch.manual_seed(0)
    model = Recurrent(is_loop=False)
    model.recurrence.batch_first = is_batch_first
    diagnosis = diagnose(train(model, adam(3e-3), steps=340, data=make_sequences(-2), overhead=0.05))
    found = [finding for finding in diagnosis.findings if finding.severity != "info"]
    assert [finding.condition for finding in found] == expected
    assert all("batch_first" in finding.summary for finding in found)


def test_counts_how_long_a_loss_lay_beside_a_constant_guess():
    assert still_share(losses(LATE_FALL), CHANCE) == pytest.approx(0.65, abs=0.051)
    assert still_share(losses(EARLY_FALL), CHANCE) <= 0.05
    assert still_share(losses(np.full(50, CHANCE)), CHANCE) == 1.0
    assert still_share(losses([]), CHANCE) == 1.0


def test_puts_a_short_memory_under_the_rate_that_keeps_a_network_from_learning():
    run = train(Recurrent(is_loop=False), adam(1e-8), steps=340, data=make_sequences(0), overhead=0.05)
    diagnosis = diagnose(run)
    assert [finding.condition for finding in diagnosis.findings if finding.severity != "info"] == ["stuck"]
    assert "fading_memory" in {following.condition for following in diagnosis.findings[0].consequences}
