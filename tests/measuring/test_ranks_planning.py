import pytest

from gradiometer.measuring.budget import Budget
from gradiometer.measuring.ranks_meeting import Plan
from gradiometer.measuring.ranks_planning import next_advance, paid_step, plan_after


def simulate(overhead, step_count, bare_seconds, cost_seconds):
    """A leader's plans in a training whose steps all take the same time; returns its budget, full steps, meetings."""
    budget, plan = Budget(overhead), Plan(0, is_full=True)
    full_steps, meeting_count = [], 0
    for step in range(step_count):
        is_full = False
        if step == plan.step:
            meeting_count += 1
            is_full = plan.is_full
            plan = plan_after(step, budget, is_full=is_full)
            assert plan.step > step
        spent_seconds = cost_seconds if is_full else 0.0
        budget.account(step, bare_seconds + spent_seconds, spent_seconds, was_full=is_full)
        if is_full:
            full_steps.append(step)
    return budget, full_steps, meeting_count


def test_measures_every_step_where_all_is_allowed():
    assert simulate(1.0, 9, 0.01, 0.01)[1] == list(range(9))


@pytest.mark.parametrize(("overhead", "first_steps"), [(0.01, [0, 1, 2, 4, 8, 16, 32]), (0.001, [0, 1])])
def test_takes_the_advance_that_one_process_takes(overhead, first_steps):
    _, full_steps, _ = simulate(overhead, 60, 0.01, 0.01)
    assert full_steps == first_steps


@pytest.mark.parametrize("overhead", [0.001, 0.01, 0.05])
@pytest.mark.parametrize("cost_seconds", [0.002, 0.02])
def test_keeps_the_promise_and_uses_most_of_it(overhead, cost_seconds):
    budget, full_steps, meeting_count = simulate(overhead, 20_000, 0.01, cost_seconds)
    assert budget.repaid_step is not None
    assert budget.share <= overhead
    # The watch's part of the share is left to it.
    assert budget.share >= 0.5 * overhead
    assert meeting_count <= 6 * len(full_steps) + 20


def test_foresees_the_step_at_which_the_budget_will_allow_another():
    budget = Budget(0.01)
    for step in range(200):
        budget.account(step, 0.01, 0.0, was_full=False)
    assert paid_step(200, budget, is_full=False) is None
    budget.account(200, 0.11, 0.1, was_full=True)
    foreseen = paid_step(201, budget, is_full=False)
    assert foreseen is not None
    for step in range(201, foreseen):
        budget.account(step, 0.01, 0.0, was_full=False)
    assert budget.is_full(foreseen)


def test_looks_again_before_a_full_step_that_is_far_away():
    budget = Budget(0.001)
    for step in range(100):
        budget.account(step, 0.01, 0.0, was_full=False)
    budget.account(100, 0.02, 0.01, was_full=True)
    plan = plan_after(101, budget, is_full=True)
    assert not plan.is_full
    assert 101 + 16 < plan.step < (paid_step(101, budget, is_full=True) or 0)


def test_hands_on_that_the_training_is_to_stop():
    assert plan_after(4, Budget(0.01), is_full=True, is_last=True).is_last
    assert next_advance(4, Budget(0.01)) == 8
