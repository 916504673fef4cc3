import pytest

from gradiometer.schema import Run
from gradiometer.showing.cost_words import cost_line


def run_of(steps: int, allowed: float, spent_seconds: float, training_seconds: float) -> Run:
    return Run(
        facts={
            "step_count": steps,
            "overhead_allowed": allowed,
            "overhead_measured": spent_seconds / training_seconds,
            "measuring_seconds": spent_seconds,
            "training_seconds": training_seconds,
        }
    )


@pytest.mark.parametrize(
    ("steps", "allowed", "spent_seconds", "training_seconds"),
    [(20, 0.9, 0.1, 0.05), (20, 0.5, 0.03, 0.05), (800, 0.01, 0.1, 1.0), (3, 0.2, 5.0, 0.4)],
)
def test_says_after_how_many_steps_an_advance_is_repaid(
    steps: int, allowed: float, spent_seconds: float, training_seconds: float
) -> None:
    line = cost_line(run_of(steps, allowed, spent_seconds, training_seconds))
    told = int(line.partition("repaid after about ")[2].partition(" steps")[0].replace(",", ""))
    # By then the allowed share of the training time has grown to what was spent.
    grown_seconds = allowed * training_seconds * told / steps
    assert spent_seconds <= grown_seconds <= 2.0 * spent_seconds
    assert told > steps


def test_names_no_step_where_the_numbers_of_a_file_make_no_sense() -> None:
    for allowed, training_seconds in ((5e-324, 1.0), (0.01, 5e-324)):
        facts = {**run_of(20, allowed, 1e300, 1.0).facts, "training_seconds": training_seconds}
        assert "over budget" in cost_line(Run(facts=facts))


def test_speaks_of_no_repayment_where_measuring_cost_less_than_was_allowed() -> None:
    assert cost_line(run_of(1000, 0.01, 0.005, 1.0)) == "0.5 % of the training time, 1 % allowed, 5 ms in all"
    assert cost_line(Run()) == ""
