from dataclasses import replace

import pytest

from gradiometer.schema import Contrast, Endpoint, Outcome
from gradiometer.showing.outcome_words import contrast_sentences, outcome_numbers, outcome_warnings
from showing.made_run import made_outcome

HELD_OUT = Contrast("better", "train.py:18", (2.3, 2.3), (0.5, 0.7), (180.0, 200.0), -1.7, (-1.9, -1.5), 0.975)
EQUAL_TIME = Contrast("better", "train.py:30", (2.3,), (0.9,), (1.5,), -1.4, None, detail="a step takes twice as long")


def outcome(**settings: object) -> Outcome:
    known: dict[str, object] = {"held_out": (HELD_OUT,), "equal_time": EQUAL_TIME, **settings}
    return replace(made_outcome(), **known)  # type: ignore[arg-type]


def test_says_what_was_compared_beside_the_verdict_with_interval_and_moment() -> None:
    assert contrast_sentences(outcome()) == [
        "Held-out loss (train.py:18, steps 180 to 200) 2.3 without it, 0.6 with it: -1.7 "
        "(97.5 % interval -1.9 to -1.5).",
        "At equal training time (1.5 s) 2.3 without it, 0.9 with it: -1.4. A step takes twice as long.",
    ]
    assert outcome_warnings(outcome()) == []


def test_says_why_there_is_no_held_out_loss_and_nothing_of_an_older_file() -> None:
    told = contrast_sentences(outcome(held_out=(), held_out_detail="the script does not evaluate in these steps"))
    assert told[0] == "No held-out loss: the script does not evaluate in these steps."
    assert contrast_sentences(made_outcome()) == []


def test_counts_the_held_out_losses_that_it_leaves_out() -> None:
    told = contrast_sentences(outcome(held_out=(HELD_OUT,) * 6, equal_time=None))
    assert len(told) == 5
    assert told[-1] == "2 more held-out losses are in the JSON."


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"held_out": (replace(HELD_OUT, verdict="worse"),)}, "by held-out loss (train.py:18) the cure is worse"),
        ({"equal_time": replace(EQUAL_TIME, verdict="worse")}, "at equal training time the cure is worse"),
        ({"equal_time": replace(EQUAL_TIME, verdict="not shown")}, "is not shown to be better"),
    ],
)
def test_warns_of_a_proved_cure_that_another_comparison_speaks_against(settings: dict[str, object], words: str) -> None:
    (warning,) = outcome_warnings(outcome(**settings))
    assert warning.startswith("Warning: ")
    assert words in warning
    assert outcome_warnings(outcome(**settings, verdict="not shown")) == []


def test_says_and_warns_of_endpoints_that_are_no_loss() -> None:
    balance = Endpoint(
        "balance", (70.0, 72.0), (6.0, 7.0), -64.5, (-70.0, -59.0), "better", "levels ranged over 71 dB."
    )
    gone = Endpoint("fault_gone", (0.0, 0.0), (1.0, 1.0), 1.0, None, "better", "the fault was gone in 2 of 2.")
    told = contrast_sentences(outcome(endpoints=(balance, gone)))
    assert told[-2:] == [
        "Levels ranged over 71 dB: -64.5 (95 % interval -70 to -59).",
        "The fault was gone in 2 of 2.",
    ]
    assert outcome_warnings(outcome(endpoints=(balance, gone))) == []
    (warning,) = outcome_warnings(outcome(endpoints=(replace(balance, verdict="worse"), gone)))
    assert warning == "Warning: by the balance of the levels on the trunk the cure is worse than the control."


def test_leaves_out_numbers_that_are_not_there() -> None:
    assert outcome_numbers(Outcome("not shown")) == ""
    lost = replace(HELD_OUT, treated=(float("inf"),), difference=None, interval=None)
    assert contrast_sentences(outcome(held_out=(lost,)))[0].endswith("2.3 without it, ∞ with it.")
