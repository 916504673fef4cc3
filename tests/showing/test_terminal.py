import io
from dataclasses import replace

import pytest
from rich.console import Console

from gradiometer.schema import Contrast, Diagnosis, Outcome, Run
from gradiometer.showing.terminal import print_diagnosis, print_outcome
from showing.made_run import made_coverage, made_diagnosis, made_finding, made_outcome, made_run
from showing.made_turns import measured_fully


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False, markup=False, emoji=False)


def printed(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_prints_verdict_then_layer_then_numbers_then_the_next_command(console: Console) -> None:
    print_diagnosis(made_diagnosis(), made_run(is_cured=False), console)
    text = printed(console)
    places = [
        text.index(words) for words in ("BROKEN", "body.1", "-120.4 dB", "-142.5 dB", "21 of 21", "cure train.py")
    ]
    assert places == sorted(places)


def test_prints_a_diagnosis_of_many_findings_on_one_screen(console: Console) -> None:
    many = Diagnosis("broken", tuple(made_finding(f"body.{i}") for i in range(40)), made_coverage(40))
    print_diagnosis(many, made_run(is_cured=False), console)
    assert printed(console).count("\n") <= 40
    assert "34 more findings" in printed(console)


def test_adds_at_most_three_lines_of_dear_measurements(console: Console) -> None:
    print_diagnosis(made_diagnosis(), measured_fully(made_run(is_cured=False)), console)
    text = printed(console)
    assert "the gradient of body.lstm (hidden state) halves every 2 steps" in text
    assert "outlier at step 4: example 1004 of the data set (not finite), and 1 more" in text
    assert text.count("\n") <= 40


def test_prints_layer_names_as_they_are(console: Console) -> None:
    print_diagnosis(made_diagnosis("[red]bo[/]dy"), made_run(is_cured=False), console)
    assert "[red]bo[/]dy" in printed(console)


def test_prints_why_there_is_no_verdict(console: Console) -> None:
    print_diagnosis(Diagnosis("unknown", reason="no full measurement was taken"), Run(), console)
    assert "UNKNOWN" in printed(console)
    assert "No full measurement was taken." in printed(console)


def test_prints_what_was_ignored_and_why(console: Console) -> None:
    ignored = Diagnosis("healthy", (), made_coverage(3), ignored=((made_finding(), "a toy"),))
    print_diagnosis(ignored, made_run(is_cured=False), console)
    assert "ignored: vanishing at body.1, body.0 (a toy)" in printed(console)


def test_prints_a_proof_with_its_interval_and_its_code(console: Console) -> None:
    print_outcome(made_outcome(), console)
    text = printed(console)
    assert "Proved" in text
    assert "97.5 % interval -2.22 to -2.13" in text
    assert "no better than the" in text
    assert "for name, module in list(model.named_modules()):\n    ..." in text


def test_never_breaks_a_line_of_code_that_is_there_to_be_pasted(console: Console) -> None:
    line = "x = " + " + ".join(["1"] * 100)
    print_outcome(Outcome("better", snippet=line), console)
    assert line in printed(console)


def test_says_what_weakens_a_proof(console: Console) -> None:
    print_outcome(Outcome("not shown", control_shows_fault=False, is_paired=False), console)
    text = " ".join(printed(console).replace("│", " ").split())
    assert "the runs count as unpaired" in text
    assert "The control did not show the fault again" in text


def test_prints_the_contrasts_of_a_proof_with_a_warning_where_one_is_worse(console: Console) -> None:
    worse = Contrast("worse", "train.py:18", (0.5, 0.6), (0.9, 0.8), (90.0, 90.0), 0.3, (0.1, 0.5))
    print_outcome(replace(made_outcome(), held_out=(worse,)), console)
    text = " ".join(printed(console).replace("│", " ").split())
    assert "Warning: by held-out loss (train.py:18) the cure is worse" in text
    assert "Held-out loss (train.py:18, step 90) 0.55 without it, 0.85 with it: +0.3" in text


def test_says_what_was_found_in_a_healthy_run_which_the_box_leaves_out(console: Console) -> None:
    finding = replace(made_finding(), severity="info", summary="No gradient reaches enc. Look for detach() behind enc.")
    print_diagnosis(Diagnosis("healthy", (finding,), made_coverage(3)), made_run(is_cured=False), console)
    text = printed(console)
    assert "Look for detach() behind enc." in text
    assert "if nothing is done" not in text


def test_says_which_parameters_are_frozen(console: Console) -> None:
    run = made_run(is_cured=False)
    run = replace(run, parameters=(replace(run.parameters[0], is_trainable=False), *run.parameters[1:]))
    print_diagnosis(made_diagnosis(), run, console)
    assert f"1 of {len(run.parameters)} parameters is frozen (requires_grad is False)" in printed(console)
