import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gradiometer.diagnosing import diagnose
from gradiometer.explaining.agreement import describe_examples
from gradiometer.explaining.layer_story import tell_layer
from gradiometer.explaining.story import tell_story
from gradiometer.schema import Diagnosis, Event, Run
from gradiometer.showing.explain_text import MOST_MOMENTS, print_example_story, print_layer_story, print_story
from showing.made_run import made_diagnosis, made_run
from showing.made_turns import measured_fully


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False, markup=False, emoji=False)


def printed(console: Console) -> str:
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def told(run: Run, diagnosis: Diagnosis, console: Console) -> str:
    print_story(tell_story(run, diagnosis, 0 if run.snapshot_count else None), run, diagnosis, console)
    return printed(console)


def test_tells_verdict_run_moments_gradient_reasons_help_and_next_command_in_this_order(console: Console) -> None:
    text = told(made_run(is_cured=False), made_diagnosis(), console)
    words = (
        "BROKEN",
        "What was run",
        "What happened",
        "step 4 From here on it can be told: vanishing (critical)",
        "What became of the gradient",
        "Why: vanishing",
        "And why: saturated",
        "What would help What fits best: exchange the activation (relu) and redraw the weights (he)",
        "What this rests on",
        "Try next: gradiometer cure train.py",
    )
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_tells_what_trials_proved_instead_of_what_might_help(console: Console) -> None:
    text = told(made_run(), made_diagnosis(), console)
    assert "What would help Proved: the cure is better than the control." in text
    assert "What fits best" not in text


def test_glosses_decibels_where_it_says_any(console: Console) -> None:
    assert "-20 dB is a tenth" in told(made_run(), made_diagnosis(), console)


def test_tells_of_a_healthy_run_that_nothing_has_to_be_done(console: Console) -> None:
    text = told(made_run(is_cured=False), Diagnosis("healthy"), console)
    assert "Nothing has to be done." in text
    assert "Why" not in text


def test_tells_of_a_run_without_measurements_why_there_is_no_verdict(console: Console) -> None:
    text = told(Run(), diagnose(Run()), console)
    assert "UNKNOWN" in text
    assert "No step was measured in full" in text


def test_keeps_the_end_where_too_much_happened(console: Console) -> None:
    events = tuple(Event(step, f"kind{step}", "it happened") for step in range(30))
    run = replace(made_run(), events=events)
    text = told(run, made_diagnosis(), console)
    hidden = len(tell_story(run, made_diagnosis(), 0).moments) - MOST_MOMENTS
    assert f"and {hidden} more; --json has them all" in text
    assert "The script ran to its end, after 300 optimizer steps." in text


def test_prints_markup_of_a_layers_name_as_it_is(console: Console) -> None:
    run = made_run(1, prefix="[red].")
    print_layer_story(tell_layer(run, "[red].1", 0), console)
    assert "[red].1 Sigmoid" in printed(console)


def test_tells_one_layers_gain_update_and_units_by_cause(console: Console) -> None:
    run = made_run()
    print_layer_story(tell_layer(run, "body.1", 0), console)
    text = printed(console)
    assert "called at train.py:11" in text
    assert "-12.0 dB the activations' greatest slopes" in text
    assert "Of its 64 units 12 % sit where the activation is flat (saturated), 0 % answer no example (dead)." in text
    print_layer_story(tell_layer(run, "body.2", 0), console)
    assert "How far a step moves body.2.weight" in printed(console)


def test_lists_the_examples_that_pulled_hardest(console: Console) -> None:
    print_example_story(describe_examples(measured_fully(made_run())), console)
    text = printed(console)
    assert "Pulled hardest" in text
    assert "example 1002 of the data set 42.7 times the median" in text
    assert "seen in 2 steps" in text


def test_says_of_a_layer_that_no_step_was_measured(console: Console) -> None:
    print_layer_story(tell_layer(Run(layers=made_run(1).layers), "body.1", None), console)
    assert "No step was measured in full." in printed(console)


@pytest.mark.parametrize("name", ["story", "layer_story"])
def test_needs_no_library_that_draws(name: str) -> None:
    source = Path(__file__).parents[2] / "src" / "gradiometer" / "explaining" / f"{name}.py"
    assert "rich" not in source.read_text(encoding="utf-8").split("\n\n")[1]
