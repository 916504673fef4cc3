import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiometer.gain_budget import gain_budget
from gradiometer.schema import Layer, Run
from gradiometer.showing.figures.layer_tree import (
    BLOCK_QUANTITIES,
    MOST_ROWS,
    all_open,
    blocks_around,
    default_openness,
    layer_tree,
    lines_at,
    rows_at,
    values_of,
)
from showing.made_run import made_run

PIECES = st.sampled_from(["a", "b", "c", "0", "1", "relu#2"])
NAMES = st.lists(st.lists(PIECES, min_size=1, max_size=4).map(".".join), unique=True, max_size=60)


def layers_named(names: list[str]) -> list[Layer]:
    return [Layer(name, "Linear", "leaf", place) for place, name in enumerate(names)]


def nested_run(block_count: int = 3) -> Run:
    """The ten-sigmoid run with its layers put into blocks of seven."""
    run = made_run()
    layers = [replace(layer, name=f"body.{layer.position // 7}.{layer.position % 7}") for layer in run.layers]
    names = {old.name: new.name for old, new in zip(run.layers, layers, strict=True)}
    owned = tuple(replace(parameter, layer=names[parameter.layer or ""]) for parameter in run.parameters)
    assert len({layer.name.split(".")[1] for layer in layers}) == block_count
    return replace(run, layers=tuple(layers), parameters=owned)


@given(NAMES, st.data())
@settings(max_examples=60, deadline=None)
def test_gives_every_layer_one_row_whatever_is_open(names: list[str], data: st.DataObject) -> None:
    tree = layer_tree(layers_named(names))
    blocks = sorted(all_open(tree))
    opened = data.draw(st.sets(st.sampled_from(blocks))) if blocks else set()
    held = [column for row in rows_at(tree, opened) for column in row.columns]
    assert sorted(held) == list(range(len(names)))
    lines = [line.block.name for line in lines_at(tree, all_open(tree))]
    assert len(lines) == len(set(lines))


@given(NAMES)
@settings(max_examples=60, deadline=None)
def test_is_the_layers_when_all_is_open_and_the_whole_when_nothing_is(names: list[str]) -> None:
    tree = layer_tree(layers_named(names))
    rows = rows_at(tree, all_open(tree))
    assert sorted(row.name for row in rows if row.columns) == sorted(names)
    assert [row.columns for row in rows_at(tree, ())] == [tuple(range(len(names)))]
    for column, name in enumerate(names):
        assert name in [row.name for row in rows_at(tree, blocks_around(tree, column))]


@pytest.mark.parametrize("count", [1, 21, 96, 1000, 5000])
def test_opens_any_chain_to_a_screen_of_rows(count: int) -> None:
    tree = layer_tree(layers_named([f"body.{place}" for place in range(count)]))
    rows = rows_at(tree, default_openness(tree))
    assert min(count, 10) <= len(rows) <= MOST_ROWS
    assert [column for row in rows for column in row.columns] == list(range(count))


def test_opens_blocks_of_one_size_together() -> None:
    names = [f"layers.{block}.{part}" for block in range(12) for part in ("norm", "query", "key", "value", "out", "up")]
    tree = layer_tree(layers_named(["embedding", *names, "head"]))
    assert [row.name for row in rows_at(tree, default_openness(tree))] == [
        "embedding",
        *(f"layers.{block}.*" for block in range(12)),
        "head",
    ]


def test_puts_what_runs_before_a_layer_beside_it() -> None:
    layers = [Layer("body.0", "Linear", "leaf", 0), Layer("before body.1", "operations", "block", 1)]
    (body,) = layer_tree(layers).parts
    assert [part.name for part in body.parts] == ["body.0", "before body.1"]


def test_gives_layers_their_own_numbers_and_the_whole_the_trunk_s_gain() -> None:
    run = nested_run()
    tree = layer_tree(run.layers)
    rows = rows_at(tree, all_open(tree))
    for name in ("level_db", "saturated_share", "dead_share"):
        assert np.array_equal(values_of(run, rows, name), run.layer_columns[name], equal_nan=True)
    whole = values_of(run, [tree], "gain_db")[:, 0]
    assert whole == pytest.approx([gain_budget(run, moment).level_change_db for moment in range(run.snapshot_count)])


@pytest.mark.parametrize("opened", [(), ("*",), ("*", "body.*"), ("*", "body.*", "body.1.*")])
def test_keeps_the_sum_of_all_gains_whatever_is_open(opened: tuple[str, ...]) -> None:
    run = nested_run()
    tree = layer_tree(run.layers)
    gains = values_of(run, rows_at(tree, opened), "gain_db")
    assert np.nansum(gains, axis=1) == pytest.approx(values_of(run, [tree], "gain_db")[:, 0])


def test_joins_levels_shares_and_update_ratios_of_a_block() -> None:
    run = nested_run()
    block = layer_tree(run.layers).parts[0].parts[1]
    assert block.columns == tuple(range(7, 14))
    moment = 4
    owned = [
        index for index, one in enumerate(run.parameters) if one.layer in {f"body.1.{place}" for place in range(7)}
    ]
    weights = [index for index in owned if len(run.parameters[index].shape) == 2]
    moved = [run.parameter_columns["update_ratio"][moment, index] * 0.1 * 64 for index in weights]
    expected = {
        "level_db": run.layer_columns["level_db"][moment, 7],
        "saturated_share": 0.125,
        "dead_share": 0.0,
        "update_ratio": math.hypot(*moved) / math.hypot(*[0.1 * 64] * len(weights)),
    }
    for name, value in expected.items():
        assert values_of(run, [block], name, [moment])[0, 0] == pytest.approx(value), name


def test_weighs_shares_by_units() -> None:
    layers = (replace(nested_run().layers[1], unit_count=30), replace(nested_run().layers[3], unit_count=10))
    run = Run(layers=layers, snapshot_steps=np.array([0]), layer_columns={"dead_share": np.array([[0.0, 1.0]])})
    assert values_of(run, [layer_tree(layers)], "dead_share")[0, 0] == 0.25


@pytest.mark.parametrize("name", BLOCK_QUANTITIES)
def test_has_no_value_where_nothing_was_measured(name: str) -> None:
    run = Run(layers=nested_run().layers, snapshot_steps=np.array([0]))
    tree = layer_tree(run.layers)
    assert np.isnan(values_of(run, [tree, *rows_at(tree, all_open(tree))], name)).all()
    assert values_of(Run(), [layer_tree(())], name).shape == (0, 1)


def test_hands_on_a_gradient_of_zero() -> None:
    run = made_run(3, cut_at=3)
    tree = layer_tree(run.layers)
    assert values_of(run, [tree], "level_db")[0, 0] == -math.inf
    assert values_of(run, [tree], "gain_db")[0, 0] == -math.inf
