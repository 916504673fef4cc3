from dataclasses import replace

import pytest

from gradiometer.curing import CURES
from gradiometer.schema import Diagnosis, Parameter, Run
from gradiometer.showing.wording import (
    CURE_WORDS,
    VERDICT_WORDS,
    cure_in_words,
    frozen_line,
    layers_in_words,
    next_command,
    number_beside,
    verdict_sentence,
)
from showing.made_run import made_diagnosis, made_run


def test_says_what_a_pair_of_cures_does() -> None:
    words = cure_in_words("change_learning_rate:x0.1+clip_gradients:1.0")
    assert words == "change the learning rate (x0.1) and clip the gradients (1.0)"


def test_says_the_name_of_a_cure_it_has_no_words_for() -> None:
    assert cure_in_words("rest_a_while") == "rest a while"


def test_names_the_whole_network_where_a_finding_names_no_layer() -> None:
    assert layers_in_words(()) == "the whole network"


def test_tells_to_try_a_cure_with_the_script_as_it_was_called(tmp_path) -> None:
    run = made_run(is_cured=False, script="my script.py", arguments=["--name", "a b"])
    assert next_command(run, made_diagnosis(), None) == "gradiometer cure 'my script.py' --name 'a b'"


def test_tells_to_read_the_report_of_a_healthy_run(tmp_path) -> None:
    command = next_command(made_run(is_cured=False), Diagnosis("healthy"), tmp_path / "a b.run")
    assert command == f"gradiometer report '{tmp_path / 'a b.run'}'"


def test_tells_to_run_on_where_too_little_was_seen() -> None:
    assert next_command(made_run(), Diagnosis("unknown"), None) == "gradiometer run train.py --epochs 3"


@pytest.mark.parametrize(
    ("way_out", "told"),
    [
        ("open_compiled", "gradiometer run --open-compiled train.py --epochs 3"),
        ("watch", "gradiometer.watch(model, optimizer) around the training loop, in the script"),
        ("more_steps", "more steps: the script itself ended here"),
    ],
)
def test_tells_what_would_show_more(way_out: str, told: str) -> None:
    assert next_command(made_run(status="finished"), Diagnosis("unknown", way_out=way_out), None) == told


def test_tells_to_run_the_whole_script_where_it_was_stopped() -> None:
    stopped = made_run(status="stopped")
    command = next_command(stopped, Diagnosis("unknown", way_out="more_steps"), None)
    assert command == "gradiometer run train.py --epochs 3"


def test_has_no_command_for_a_run_without_script_and_file() -> None:
    assert next_command(made_run(script=None), made_diagnosis(), None) == ""


@pytest.mark.parametrize("place", ["train.py:12", "interactive", "lab one-layer"])
def test_has_no_command_that_would_not_run_for_what_watch_recorded(place: str, tmp_path) -> None:
    run = made_run(is_cured=False, script=place)
    assert next_command(run, made_diagnosis(), None) == ""
    assert next_command(run, made_diagnosis(), tmp_path / "a.db").startswith("gradiometer report ")


def test_names_frozen_parameters_which_may_be_a_mistake() -> None:
    frozen = [Parameter(f"{place}.weight", str(place), (4, 4), "float32", is_trainable=False) for place in range(5)]
    free = Parameter("5.weight", "5", (4, 4), "float32")
    assert frozen_line(Run(parameters=(free,))) == ""
    assert frozen_line(Run(parameters=(frozen[2], free))) == (
        "1 of 2 parameters is frozen (requires_grad is False): 2.weight"
    )
    assert frozen_line(Run(parameters=(*frozen, free))) == (
        "5 of 6 parameters are frozen (requires_grad is False): 0.weight, 1.weight, 2.weight and 2 more"
    )


def test_says_with_a_healthy_verdict_what_is_too_early_to_tell() -> None:
    diagnosis = Diagnosis("healthy", reason="it is too early to tell whether it learns: the loss went from 2 to 1.9")
    assert verdict_sentence(diagnosis) == (
        "Nothing was found that keeps this network from learning. "
        "It is too early to tell whether it learns: the loss went from 2 to 1.9."
    )


def test_says_why_there_is_no_verdict() -> None:
    assert verdict_sentence(Diagnosis("unknown", reason="no step was taken")) == "No step was taken."
    assert verdict_sentence(Diagnosis("unknown")) == VERDICT_WORDS["unknown"][1]


@pytest.mark.parametrize(
    ("value", "unit", "text", "number"),
    [
        (-142.5, "dB", "the level at body.0", "-142.5 dB"),
        (-142.5, "dB", "the level at body.0 is \u2212142.5 dB", ""),
        (12.0, "time steps", "of 60 time steps the last 12 get a gradient", ""),
        (float("inf"), "examples", "the noise is as large as", "∞ examples"),
        (0.996, "", "the loss went from 1.397 to 0.005898 in 577 steps", ""),
        (None, "", "the loss is NaN from step 4 on", ""),
    ],
)
def test_sets_a_number_beside_words_that_do_not_say_it(value, unit, text, number) -> None:
    assert number_beside(text, value, unit) == number


def test_names_the_page_of_a_condition_that_no_cure_can_mend():
    diagnosis = made_diagnosis()
    worst = replace(diagnosis.findings[0], condition="mismatched_loss", cures=())
    uncurable = replace(diagnosis, findings=(worst, *diagnosis.findings[1:]))
    assert next_command(made_run(is_cured=False), uncurable, None) == "gradiometer docs mismatched_loss"


def test_has_words_for_every_cure() -> None:
    assert list(CURE_WORDS) == list(CURES)
