import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gradiometer.showing.figures.parts import (
    MAX_NAMED_ROWS,
    draw,
    empty_parts,
    evenly_chosen,
    extremes_chosen,
    learner_at,
    named_rows,
    numbers,
    shown_name,
    spread_chosen,
    trainable_columns,
    uses_bias,
)
from showing.made_run import made_run, made_snapshot, parameters_of, run_of_snapshots, sigmoid_layers


@given(st.text())
def test_hands_plotly_no_markup_of_a_name_and_loses_no_letter_of_it(name: str) -> None:
    shown = shown_name(name)
    lines = shown.split("<br>")
    assert "<" not in "".join(lines)
    assert "".join(lines).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == name


def test_breaks_long_names_so_that_they_fit_a_phone() -> None:
    lines = shown_name("encoder.layers.11.a_name_without_any_dot_in_it_at_all.weight").split("<br>")
    assert max(map(len, lines)) <= 20


@given(st.integers(0, 3000), st.integers(4, 100))
def test_keeps_both_ends_of_what_it_thins_out(count: int, shown_count: int) -> None:
    chosen = evenly_chosen(count, shown_count)
    assert len(chosen) <= shown_count
    assert not count or (chosen[0], chosen[-1]) == (0, count - 1)
    spread = spread_chosen(np.arange(count, dtype=np.int64), shown_count)
    assert len(spread) <= shown_count
    assert not count or (spread[0], spread[-1]) == (0, count - 1)


def test_loses_no_spike_of_a_long_curve() -> None:
    values = np.zeros(100_000)
    values[41_234], values[7], values[80_000] = 9.0, -9.0, np.nan
    chosen = extremes_chosen(values, 1000)
    assert len(chosen) <= 1000
    assert {41_234, 7} <= set(chosen)


def test_leaves_a_gap_for_what_is_not_a_number() -> None:
    assert numbers(np.array([1.23456789, np.nan, np.inf, -np.inf])) == [1.2346, None, None, None]


def test_names_every_row_of_a_small_network_and_the_frontier_of_a_large_one() -> None:
    assert named_rows(["a", "b", "c"])[:2] == ([0, 1, 2], ["a", "b", "c"])
    chosen, texts, height = named_rows([f"layer{i}" for i in range(500)], always=123)
    assert len(chosen) <= MAX_NAMED_ROWS + 1
    assert texts[chosen.index(123)] == "<b>layer123</b>"
    assert height < 3000


def test_takes_biases_only_where_every_layer_has_one() -> None:
    run = made_run(3)
    assert uses_bias(run)
    assert {run.parameters[index].name.rpartition(".")[2] for _, index, _ in trainable_columns(run)} == {"bias"}
    layers = sigmoid_layers(3)
    parameters = tuple(p for p in parameters_of(layers) if p.name != "body.2.bias")
    mixed = run_of_snapshots(layers, parameters, [made_snapshot(layers, parameters, 0)])
    assert not uses_bias(mixed)
    assert {mixed.parameters[i].name.rpartition(".")[2] for _, i, _ in trainable_columns(mixed)} == {"weight"}


def test_shows_the_layer_in_question_however_many_there_are() -> None:
    run = made_run(250)
    names = [name for name, _, _ in trainable_columns(run, always="body.246")]
    assert "body.246" in names
    assert len(names) <= 61


def test_takes_the_next_layer_towards_the_input_that_can_learn_for_the_harmed() -> None:
    run = made_run(3)
    assert learner_at(run, "body.3") == "body.2"
    assert learner_at(run, "body.2") == "body.2"
    assert learner_at(run, "elsewhere") is None
    assert learner_at(run, None) is None


def test_says_why_there_is_nothing_to_draw() -> None:
    assert draw(empty_parts("nothing here")).layout.annotations[0].text == "nothing here"
