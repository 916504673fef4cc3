"""The budget keeps its promise on simulated trainings."""

import pytest

from gradiometer.measuring.budget import Budget


def simulate(budget: Budget, steps: int, *, full_cost: float, watch_cost: float, bare: float = 1e-3) -> list[int]:
    """Run a training whose costs are known; returns the full steps."""
    full_steps = []
    for step in range(steps):
        is_full = budget.is_full(step)
        spent = full_cost if is_full else watch_cost * budget.is_watched(step)
        if is_full:
            full_steps.append(step)
        budget.account(step, bare + spent, spent, was_full=is_full)
    return full_steps


@pytest.mark.parametrize("allowed", [0.01, 0.05, 0.2])
def test_keeps_the_promise_once_the_advance_is_repaid(allowed: float) -> None:
    budget = Budget(allowed)
    full_steps = simulate(budget, 60_000, full_cost=5e-3, watch_cost=8e-6)
    assert budget.repaid_step is not None
    assert budget.share <= allowed
    # What is allowed is used: at least half of it.
    assert budget.share >= 0.5 * allowed
    assert full_steps[:6] == [0, 1, 2, 4, 8, 16] or allowed == 0.2


def test_takes_a_small_advance_where_little_is_allowed() -> None:
    full_steps = simulate(Budget(0.001), 500, full_cost=5e-3, watch_cost=1e-6)
    assert full_steps == [0, 1]


def test_measures_every_step_where_all_is_allowed() -> None:
    assert simulate(Budget(1.0), 20, full_cost=5e-3, watch_cost=1e-6) == list(range(20))


def test_watches_less_often_where_watching_is_dear() -> None:
    budget = Budget(0.01)
    simulate(budget, 2_000, full_cost=1e-3, watch_cost=50e-6, bare=100e-6)
    watched = [step for step in range(2_000, 4_000) if budget.is_watched(step)]
    assert 0 < len(watched) < 200


def test_watches_every_step_for_a_trial() -> None:
    budget = Budget(0.01, watches_every_step=True)
    simulate(budget, 100, full_cost=1e-3, watch_cost=50e-6, bare=100e-6)
    assert all(budget.is_watched(step) for step in range(100, 200))


def test_books_hidden_costs_but_no_more_than_five_times_its_own() -> None:
    budget = Budget(0.01)
    for step in range(20):
        budget.account(step, 1e-3, 0.0, was_full=False)
    before = budget.spent_seconds
    budget.account(20, 1e-3 + 2e-3, 1e-3, was_full=True)
    assert budget.spent_seconds - before == pytest.approx(2e-3)
    budget.account(21, 1.0, 1e-3, was_full=True)
    assert budget.spent_seconds - before == pytest.approx(2e-3 + 5e-3)


def test_watches_less_often_where_a_few_watched_steps_are_very_dear():
    budget = Budget(0.01)
    for step in range(4000):
        is_watched = budget.is_watched(step)
        # One watched step in sixteen is interrupted by another process.
        spent = 0.0 if not is_watched else 0.01 if step % 16 == 0 else 0.00005
        budget.account(step, 0.02 + spent, spent, was_full=False, was_watched=is_watched)
    late = [budget.is_watched(step) for step in range(3000, 4000)]
    assert 0.0 < sum(late) / len(late) <= 0.5
