"""What conditions are judged by, held against runs in which they were found."""

import pytest
from all_specimens import SPECIMENS, run_of

from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.judgeable import BASES, what_is_missing
from gradiometer.schema import Run


def test_knows_what_every_condition_is_judged_by() -> None:
    assert list(BASES) == list(CONDITIONS)
    assert all(what_is_missing(Run(), condition) for condition in CONDITIONS)


def test_calls_nothing_missing_of_which_a_quick_specimen_has_a_finding() -> None:
    run = run_of("symmetric", "sick")
    found = {finding.condition for find in CONDITIONS.values() for finding in find(run)}
    assert "symmetric" in found
    assert {condition: what_is_missing(run, condition) for condition in found} == dict.fromkeys(found, "")


@pytest.mark.slow
@pytest.mark.parametrize("condition", SPECIMENS)
def test_calls_nothing_missing_that_was_found(condition: str) -> None:
    run = run_of(condition, "sick")
    found = {finding.condition for find in CONDITIONS.values() for finding in find(run)}
    assert condition in found
    assert {name: what_is_missing(run, name) for name in found} == dict.fromkeys(found, "")


def test_says_that_units_were_not_seen_of_a_run_whose_layers_were_not_opened() -> None:
    run = run_of("symmetric", "sick")
    unopened = Run(
        run.facts,
        parameters=run.parameters,
        snapshot_steps=run.snapshot_steps,
        parameter_columns=run.parameter_columns,
        losses=run.losses,
    )
    assert what_is_missing(unopened, "saturated") == "no activation was seen whose units can be saturated"
    assert what_is_missing(unopened, "linear") == "the layers were not opened"
    assert what_is_missing(unopened, "vanishing") == ""
