from dataclasses import replace
from pathlib import Path

import pytest

from gradiometer.diagnosing import CONDITIONS
from gradiometer.schema import Diagnosis, Endpoint, Outcome, Run
from gradiometer.showing.plain_reasons import CONDITION_LEADS, CURE_REASONS
from gradiometer.showing.summary_words import Answer, answers_of, large_number, plainly
from gradiometer.showing.wording import CURE_WORDS
from showing.made_run import made_diagnosis, made_outcome, made_run

FILE = Path("runs/ten sigmoids.db")


def answers(run: Run, diagnosis: Diagnosis) -> dict[str, Answer]:
    return {answer.question: answer for answer in answers_of(run, diagnosis, FILE)}


def said(answer: Answer) -> str:
    return " ".join(answer.sentences)


def test_has_plain_words_for_every_condition_and_cure() -> None:
    assert list(CONDITION_LEADS) == list(CONDITIONS)
    assert list(CURE_REASONS) == list(CURE_WORDS)


def test_answers_what_why_cure_and_next_of_a_cured_run() -> None:
    accuracy = Endpoint("accuracy", (0.1,), (0.9,), 0.8, None, "better", "Accuracy: 10 % without it, 90 % with it")
    run = replace(made_run(), outcome=replace(made_outcome(), endpoints=(accuracy,)))
    found = answers(run, made_diagnosis())
    assert list(found) == ["What is wrong", "Why", "What cures it", "What to do next"]
    assert "most of it is lost on the way" in said(found["What is wrong"])
    # Ten factors of a quarter are 2 to the 20th; the -16.5 dB of the weights are a factor of 6.7.
    assert "this alone leaves 1 part in 1 million of the gradient" in said(found["Why"])
    assert "This alone leaves 1 part in 7 of the gradient" in said(found["Why"])
    proof = said(found["What cures it"])
    assert "5 pairs of short trainings of 200 steps" in proof
    assert "ended at 2.3 without it and at 0.124 with it" in proof
    assert "takes 2.13 to 2.22 off the loss, with 97.5 % certainty" in proof
    assert "Accuracy: 10 % without it, 90 % with it." in proof
    assert found["What to do next"].command == "gradiometer run --cure 'runs/ten sigmoids.db' train.py --epochs 3"
    assert found["What to do next"].has_code


def test_tells_what_to_try_where_no_cure_was_tried() -> None:
    found = answers(made_run(is_cured=False), made_diagnosis())
    assert "No cure has been tried yet. First to try: Exchange the activation (relu)" in said(found["What cures it"])
    assert found["What to do next"].command == "gradiometer cure train.py --epochs 3"
    assert "to see which is proved:" in said(found["What to do next"])


def test_says_that_nothing_was_proved() -> None:
    run = replace(made_run(), outcome=Outcome("not shown", detail="the control learned, too"))
    told = said(answers(run, made_diagnosis())["What cures it"])
    assert told.startswith("Nothing is proved")
    assert told.endswith("The control learned, too.")


def test_explains_decibels_only_where_they_are_said() -> None:
    diagnosis = made_diagnosis()
    loud = replace(diagnosis.findings[0], summary="The level is at -142.5 dB, 1.3e+07 times weaker.")
    told = said(answers(made_run(), Diagnosis("broken", (loud,)))["What is wrong"])
    assert "13 million times weaker. (dB counts ratios" in told
    assert "dB counts" not in said(answers(made_run(), diagnosis)["What is wrong"])


@pytest.mark.parametrize("start", ["The main cause", "The likely cause"])
def test_says_the_cause_once(start: str) -> None:
    finding = made_diagnosis().findings[0]
    doubled = replace(finding, summary=f"It does not learn. {start}: {finding.cause.text}.")
    found = answers(made_run(), Diagnosis("broken", (doubled,)))
    assert found["What is wrong"].sentences[-1] == "It does not learn."
    assert "Ten sigmoids" in said(found["Why"])


def test_has_nothing_to_explain_of_a_healthy_run() -> None:
    assert answers(made_run(is_cured=False), Diagnosis("healthy")) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [(7.4, "7"), (999.0, "999"), (1234.0, "1,200"), (2.5e9, "2.5 billion"), (3e12, "3 trillion"), (4e31, "4e+31")],
)
def test_says_large_numbers_as_people_do(value: float, words: str) -> None:
    assert large_number(value) == words


def test_leaves_small_numbers_as_they_are() -> None:
    assert plainly("moves by 7.5e-11, 3.8e+08 times less") == "moves by 7.5e-11, 380 million times less"
