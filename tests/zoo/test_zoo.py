"""Every network and way to train of the zoo: changed by nothing, measured as autograd says, covered as the run says."""

import gc

import pytest
import torch

from zoo.cases import Case
from zoo.comparing import (
    bits,
    budget_error_db,
    changed,
    compare_gains,
    falsely_covered,
    train,
    untold,
    wrong_levels,
)
from zoo.table import CASES


@pytest.fixture(scope="module", autouse=True)
def _small_heap() -> None:
    """Take what is there already out of the sight of `gc`, which every watch asks who holds the model."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """One case after another, each with all of its tests."""
    return CASES[request.param]


@pytest.fixture(scope="module", params=[name for name, case in CASES.items() if case.is_exact])
def exact_case(request: pytest.FixtureRequest) -> Case:
    """The same of those that the oracle can take apart."""
    return CASES[request.param]


def test_bits_tell_one_bit_apart_and_take_nan_for_nan() -> None:
    one = torch.tensor([1.0, float("nan")])
    assert bits(one) == bits(one.clone())
    assert bits(one) != bits(torch.tensor([1.0 + 2**-23, float("nan")]))
    assert bits(one) != bits(one.double())


def test_is_tried_on_thirty_kinds_and_more() -> None:
    assert len(CASES) >= 30
    assert sum(case.is_exact for case in CASES.values()) >= 30


def test_leaves_all_bits_alone_when_every_step_is_measured(case: Case) -> None:
    assert changed(case, 1.0) == []
    run = train(case, 1.0)[1]
    assert run is not None
    assert run.snapshot_count == run.step_count == case.steps


def test_leaves_all_bits_alone_at_the_default(case: Case) -> None:
    assert changed(case, 0.01) == []
    run = train(case, 0.01)[1]
    assert run is not None
    assert run.snapshot_count >= min(3, case.steps)


def test_gains_along_the_trunk_add_up_to_the_level_difference(case: Case) -> None:
    run = train(case, 1.0)[1]
    assert run is not None
    assert case.trunk == 0 or budget_error_db(run, case) < 1e-3


def test_says_of_every_layer_that_it_did_not_see_why(case: Case) -> None:
    run = train(case, 1.0)[1]
    assert run is not None
    assert untold(run, case) == []


def test_measures_the_levels_that_autograd_gives(exact_case: Case) -> None:
    assert wrong_levels(exact_case) == {}


def test_covers_what_autograd_reaches(exact_case: Case) -> None:
    assert falsely_covered(exact_case) == set()


def test_measures_the_gains_that_autograd_gives(exact_case: Case) -> None:
    count, wrong = compare_gains(exact_case)
    assert wrong == {}
    assert count >= exact_case.gains
