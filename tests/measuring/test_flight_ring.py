"""gradiometer, where it remembers the last losses ..."""

import math

import numpy as np
import pytest

from gradiometer.measuring.flight_ring import OBSERVED_STEPS, Alarm, FlightRing, Observation

STEPS = 3000


def alarms_of(losses: np.ndarray) -> list[Alarm]:
    """The alarms that a series of losses raises."""
    ring = FlightRing()
    found = []
    for step, loss in enumerate(losses.tolist()):
        is_finite = math.isfinite(loss)
        alarm = ring.add(Observation(step, loss if is_finite else None, 0 if is_finite else 1))
        found += [] if alarm is None else [alarm]
    return found


def healthy(name: str) -> np.ndarray:
    """A noisy loss that falls, as sound trainings have them."""
    generator = np.random.default_rng(3)
    falling = 0.3 + 2.0 * np.exp(-np.arange(STEPS) / 500)
    noises = {
        "normal": 1 + 0.1 * generator.standard_normal(STEPS),
        "coarse": np.abs(1 + 0.5 * generator.standard_normal(STEPS)),
        "exponential": generator.exponential(size=STEPS),
        "single examples": -np.log(generator.beta(8, 1, size=STEPS)),
        "last batch of an epoch": np.where(np.arange(STEPS) % 50 == 49, 1.5, 1.0),
        "waves": 1 + 0.5 * np.sin(np.arange(STEPS) / 30),
        "signed": generator.standard_normal(STEPS) / falling,
    }
    return falling * noises[name]


@pytest.mark.parametrize(
    "name",
    ["normal", "coarse", "exponential", "single examples", "last batch of an epoch", "waves", "signed"],
)
def test_raises_no_alarm_on_a_healthy_loss(name: str) -> None:
    assert alarms_of(healthy(name)) == []


@pytest.mark.parametrize(("name", "factor"), [("normal", 3.0), ("coarse", 30.0)])
def test_raises_an_alarm_where_the_loss_jumps(name: str, factor: float) -> None:
    losses = healthy(name)
    losses[2000] = factor * np.median(losses[1900:2000]) * (1.5 if name == "normal" else 1.0)
    assert [(alarm.step, alarm.kind) for alarm in alarms_of(losses)] == [(2000, "jump")]


def test_raises_one_alarm_for_a_row_of_losses_that_are_no_numbers() -> None:
    losses = healthy("normal")
    losses[500:] = math.nan
    assert [(alarm.step, alarm.kind) for alarm in alarms_of(losses)] == [(500, "non_finite")]


def test_raises_an_alarm_again_where_it_had_passed_for_long() -> None:
    losses = healthy("normal")
    losses[500:503] = math.inf
    losses[900] = math.nan
    assert [alarm.step for alarm in alarms_of(losses)] == [500, 900]


def test_raises_an_alarm_for_a_parameter_with_a_finite_loss() -> None:
    alarm = FlightRing().add(Observation(4, 0.5), "a weight of fc.bias")
    assert alarm == Alarm(4, "non_finite", "a weight of fc.bias is NaN or infinite")


def test_says_nothing_of_the_first_steps() -> None:
    assert alarms_of(np.array([1.0, 1.0, 50.0, 1.0, 1000.0])) == []


def test_remembers_a_bounded_number_of_observations() -> None:
    ring = FlightRing()
    for step in range(3 * OBSERVED_STEPS):
        ring.add(Observation(step, 1.0))
    assert len(ring.observations) == OBSERVED_STEPS
    assert 0 < ring.memory_bytes < 200_000
