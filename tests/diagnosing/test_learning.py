"""Whether a loss moves, on made series whose trend and noise are known."""

import numpy as np
import pytest
from specimens import run_of

from gradiometer.diagnosing.chance import Guess
from gradiometer.diagnosing.learning import DEFAULT_LIMITS, judge_loss, judge_series, noise_of
from gradiometer.schema import LossSeries, Run

CHANCE = float(np.log(10.0))


def series(values, nonfinite=()) -> LossSeries:
    values = np.asarray(values, dtype=np.float64)
    counts = np.zeros(len(values), dtype=np.int64)
    counts[list(nonfinite)] = 1
    values = np.where(counts > 0, np.nan, values)
    return LossSeries("train.py:1", np.arange(len(values), dtype=np.int64), values, counts)


def noisy(trend, sigma=0.02, seed=0):
    return np.asarray(trend) + sigma * np.random.default_rng(seed).normal(size=len(trend))


def state_of_series(values, chance=None):
    guess = None if chance is None else Guess(chance, DEFAULT_LIMITS.chance_margin)
    return judge_series(series(values), guess, DEFAULT_LIMITS).state


@pytest.mark.parametrize(
    ("name", "values", "chance", "state"),
    [
        ("falls", noisy(np.linspace(2.3, 0.5, 400)), CHANCE, "falling"),
        ("falls by a little beyond its noise", noisy(np.linspace(1.0, 0.9, 400), 0.01), None, "falling"),
        ("lies still at chance", noisy(np.full(400, CHANCE)), CHANCE, "at_chance"),
        (
            "comes down to chance from above",
            noisy(np.r_[np.linspace(15, 2.3, 50), np.full(350, 2.3)]),
            CHANCE,
            "at_chance",
        ),
        ("lies still and chance is unknown", noisy(np.full(400, 1.7)), None, "flat"),
        ("lies still above chance", noisy(np.full(400, 3.1)), CHANCE, "above"),
        ("lies still far below chance", noisy(np.full(400, 0.1), 0.01), CHANCE, "converged"),
        (
            "leaves chance at the end",
            noisy(np.r_[np.full(300, CHANCE), np.linspace(CHANCE, 2.1, 100)]),
            CHANCE,
            "falling",
        ),
        ("lies still for too few steps", noisy(np.full(100, CHANCE)), CHANCE, "short"),
        ("is too noisy to tell", noisy(np.full(400, 1.0), 2.0), None, "short"),
        ("grows", noisy(np.linspace(1.0, 9.0, 400)), None, "diverging"),
        ("grows within a few steps", np.geomspace(1.0, 1e9, 8), None, "diverging"),
        ("was down and came back", noisy(np.r_[np.linspace(2.3, 0.3, 200), np.full(200, 2.2)]), CHANCE, "relapsed"),
        ("falls below zero", noisy(np.linspace(0.1, -0.8, 400)), None, "falling"),
    ],
)
def test_names_what_a_loss_does_that(name, values, chance, state):
    assert state_of_series(values, chance) == state


def test_calls_still_losses_falling_seldom_enough():
    states = [state_of_series(noisy(np.full(400, 1.0), 0.05, seed)) for seed in range(200)]
    assert set(states) == {"flat"}


def test_sees_nothing_in_a_single_loss_or_none():
    assert state_of_series([1.0]) == "unseen"
    assert judge_loss(Run()).state == "unseen"


def test_tells_the_first_loss_that_is_no_number_and_judges_the_others():
    broken = series(noisy(np.linspace(2.3, 0.5, 400)), nonfinite=range(300, 400))
    motion = judge_series(broken, Guess(CHANCE, 0.05), DEFAULT_LIMITS)
    assert motion.nonfinite_step == 300
    assert motion.state == "falling"
    assert motion.is_harmed
    assert not motion.is_learning


def test_measures_the_noise_of_a_series_whatever_its_trend():
    values = noisy(np.linspace(5.0, 1.0, 5000), 0.1)
    # The median of 5000 jumps scatters by about 1.7 %; four of that.
    assert noise_of(values) == pytest.approx(0.1, rel=0.07)


def test_says_so_where_no_loss_was_seen():
    assert judge_loss(Run()).text == "no loss was seen"


def test_knows_what_guessing_gives_in_a_real_run():
    motion = judge_loss(run_of("stalled", "sick"))
    # The entropy of ten classes drawn at random is a little below that of ten that are equally frequent.
    assert 0.99 * CHANCE < motion.chance < CHANCE
    assert f"a constant guess gives {motion.chance:.4g}" in motion.text


@pytest.mark.parametrize(
    ("name", "values", "chance", "state"),
    [
        ("comes far down and bounces near zero", 10.0 ** noisy(np.linspace(0, -6, 400), 0.7), 1.0, "falling"),
        (
            "leaves its plateau at the very end",
            noisy(np.r_[np.full(330, 1.0), np.linspace(1, 0.8, 70)]),
            1.0,
            "falling",
        ),
        ("restarts four times", np.tile(np.geomspace(1.0, 0.05, 100), 4), 1.0, "falling"),
        ("has one great spike in its tail", np.r_[np.geomspace(1, 0.1, 380), 50.0, np.full(19, 0.1)], 1.0, "falling"),
        ("wins next to nothing in many steps", noisy(np.r_[2.4, np.full(1999, 2.26)], 0.02), CHANCE, "at_chance"),
        ("stays above a constant guess", noisy(np.linspace(5.0, 4.9, 400), 0.1), CHANCE, "above"),
        ("starts above and is soon there", noisy(np.linspace(9.0, 2.4, 400), 0.1), CHANCE, "falling"),
        ("starts below by luck and lies still", noisy(np.full(400, 2.25), 0.03), CHANCE, "at_chance"),
        ("lies still for sixty steps", noisy(np.full(60, CHANCE)), CHANCE, "short"),
        (
            "is lost again after it was learned",
            np.r_[np.geomspace(2.3, 0.02, 300), np.full(200, 2.3)],
            CHANCE,
            "relapsed",
        ),
    ],
)
def test_tells_learning_beside_a_constant_guess_where_a_loss(name, values, chance, state):
    assert state_of_series(values, chance) == state


def test_compares_stretches_of_steps_where_later_losses_were_seldom_recorded():
    steps = np.r_[np.arange(200), np.arange(200, 2000, 90)]
    values = np.where(steps < 1000, 0.1, 2.3)
    sparse = LossSeries("train.py:1", steps, values.astype(float), np.zeros(len(steps), dtype=np.int64))
    motion = judge_series(sparse, Guess(CHANCE, 0.05), DEFAULT_LIMITS)
    assert motion.end == pytest.approx(2.3)
    assert motion.turn_step == 1010
