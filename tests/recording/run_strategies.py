"""Everything that a run file may hold, as strategies of hypothesis: strange names, not measured, not finite."""

import math
from typing import Any

from hypothesis import strategies as st

from gradiometer.schema import (
    LAYER_COLUMNS,
    PARAMETER_COLUMNS,
    SNAPSHOT_COLUMNS,
    Contrast,
    Endpoint,
    ExampleStats,
    Layer,
    LayerStats,
    OctaveHistogram,
    Outcome,
    Parameter,
    ParameterStats,
    Ranking,
    Snapshot,
    StepStats,
    TimeFade,
    Trial,
    Turn,
    UnitMarks,
)

NUMBERS = st.one_of(st.none(), st.floats(), st.sampled_from([5e-324, -2.2e-308, math.inf, -math.inf, math.nan, -0.0]))
COUNTS = st.integers(0, 2**53 - 1)
NAMES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
TEXTS = NAMES
SMALL_COUNTS = st.one_of(st.none(), COUNTS)

layers = st.builds(
    Layer,
    name=NAMES,
    kind=TEXTS,
    role=st.sampled_from(["leaf", "block", "function"]),
    position=st.integers(0, 5),
    call_site=st.none() | TEXTS,
    activation=st.none() | TEXTS,
    greatest_slope=st.none() | st.floats(allow_nan=False),
    unit_count=SMALL_COUNTS,
    fan_in=SMALL_COUNTS,
    fan_out=SMALL_COUNTS,
    parameters=st.lists(NAMES, max_size=3).map(tuple),
    dropped_share=st.none() | st.floats(allow_nan=False),
)
parameters = st.builds(
    Parameter,
    name=NAMES,
    layer=st.none() | NAMES,
    shape=st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
    dtype=TEXTS,
    is_trainable=st.booleans(),
    is_optimized=st.booleans(),
    optimizer=st.none() | TEXTS,
)
steps = st.builds(
    StepStats,
    step=COUNTS,
    losses=st.lists(st.tuples(NAMES, NUMBERS, COUNTS, COUNTS), max_size=3, unique_by=lambda loss: loss[0]).map(tuple),
    learning_rate=NUMBERS,
    total_norm=NUMBERS,
    clipped_total_norm=NUMBERS,
    step_seconds=NUMBERS,
    measuring_seconds=NUMBERS,
    is_skipped=st.booleans(),
    batch_fingerprint=st.none() | TEXTS,
)
trials = st.builds(
    Trial,
    cures=st.lists(TEXTS, max_size=2).map(tuple),
    seed=st.integers(-(2**63), 2**63 - 1),
    sieve=TEXTS,
    run_file=TEXTS,
    status=TEXTS,
    final_loss=st.none() | st.floats(allow_nan=False),
    step_count=COUNTS,
    elapsed_seconds=st.none() | st.floats(allow_nan=False),
    is_paired=st.none() | st.booleans(),
    detail=TEXTS,
)
FINITE = st.floats(allow_nan=False)
INTERVALS = st.none() | st.tuples(FINITE, FINITE)
VERDICTS = st.sampled_from(["better", "worse", "not shown"])
rankings = st.builds(
    Ranking,
    cures=st.lists(TEXTS, max_size=2).map(tuple),
    sieve=TEXTS,
    verdict=st.none() | VERDICTS,
    final_loss=st.none() | FINITE,
    difference=st.none() | FINITE,
    interval=INTERVALS,
    detail=TEXTS,
)
contrasts = st.builds(
    Contrast,
    verdict=VERDICTS,
    site=TEXTS,
    control=st.lists(FINITE, max_size=3).map(tuple),
    treated=st.lists(FINITE, max_size=3).map(tuple),
    moments=st.lists(FINITE, max_size=3).map(tuple),
    difference=st.none() | FINITE,
    interval=INTERVALS,
    confidence=st.floats(0.0, 1.0),
    detail=TEXTS,
)
endpoints = st.builds(
    Endpoint,
    name=NAMES,
    control=st.lists(FINITE, max_size=3).map(tuple),
    treated=st.lists(FINITE, max_size=3).map(tuple),
    difference=st.none() | FINITE,
    interval=INTERVALS,
    verdict=VERDICTS,
    text=TEXTS,
    confidence=st.floats(0.0, 1.0),
)
outcomes = st.builds(
    Outcome,
    verdict=VERDICTS,
    cures=st.lists(TEXTS, max_size=2).map(tuple),
    control=st.lists(FINITE, max_size=3).map(tuple),
    treated=st.lists(FINITE, max_size=3).map(tuple),
    difference=st.none() | FINITE,
    interval=INTERVALS,
    confidence=st.floats(0.0, 1.0),
    is_paired=st.booleans(),
    control_shows_fault=st.booleans(),
    ranking=st.lists(rankings, max_size=2).map(tuple),
    snippet=TEXTS,
    detail=TEXTS,
    held_out=st.none() | st.lists(contrasts, max_size=2).map(tuple),
    held_out_detail=TEXTS,
    equal_time=st.none() | contrasts,
    endpoints=st.lists(endpoints, max_size=2).map(tuple),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def _values(names: tuple[str, ...]) -> st.SearchStrategy[tuple[Any, ...]]:
    whole = ("trunk_position", "window_examples")
    return st.tuples(*(COUNTS if name.endswith("_count") or name in whole else NUMBERS for name in names))


@st.composite
def snapshot_lists(draw: st.DrawFn) -> tuple[list[Layer], list[Parameter], list[Snapshot]]:
    known_layers = draw(st.lists(layers, max_size=4, unique_by=lambda layer: layer.name))
    known_parameters = draw(st.lists(parameters, max_size=4, unique_by=lambda parameter: parameter.name))
    snapshots = []
    for step in sorted(draw(st.sets(COUNTS, max_size=4))):
        seen_layers = draw(st.lists(st.sampled_from(known_layers), unique=True)) if known_layers else []
        seen = draw(st.lists(st.sampled_from(known_parameters), unique=True)) if known_parameters else []
        snapshots.append(
            Snapshot(
                step=step,
                layers=tuple(LayerStats(layer.name, *draw(_values(LAYER_COLUMNS))) for layer in seen_layers),
                parameters=tuple(ParameterStats(one.name, *draw(_values(PARAMETER_COLUMNS))) for one in seen),
                **dict(zip(SNAPSHOT_COLUMNS, draw(_values(SNAPSHOT_COLUMNS)), strict=True)),
            )
        )
    return known_layers, known_parameters, snapshots


FINITE_OR_NONE = st.none() | FINITE
RANKS = st.lists(COUNTS, max_size=4).map(tuple)
SOME_NUMBERS = st.lists(FINITE_OR_NONE, max_size=4).map(tuple)


def examples_of(count: int) -> st.SearchStrategy[ExampleStats]:
    """Examples of a step, an entry of each kind for every one of them."""
    numbers = st.lists(FINITE_OR_NONE, min_size=count, max_size=count).map(tuple)
    return st.builds(
        ExampleStats,
        norms=numbers,
        positions=st.lists(COUNTS, min_size=count, max_size=count).map(tuple),
        data_indices=st.none() | st.lists(SMALL_COUNTS, min_size=count, max_size=count).map(tuple),
        example_count=COUNTS,
        measured_share=FINITE_OR_NONE,
        gradient_squared=FINITE_OR_NONE,
        trace=FINITE_OR_NONE,
        nonfinite_count=COUNTS,
        cosines=st.none() | numbers,
    )


turned_snapshots = st.builds(
    Snapshot,
    step=COUNTS,
    turn=st.builds(
        Turn,
        measurement=TEXTS,
        seconds=FINITE_OR_NONE,
        not_measured=st.lists(st.tuples(NAMES, TEXTS), max_size=2).map(tuple),
    ),
    examples=st.none() | st.integers(0, 4).flatmap(examples_of),
    fades=st.lists(
        st.builds(
            TimeFade,
            layer=NAMES,
            inner_layer=st.integers(0, 3),
            is_reverse=st.booleans(),
            state=st.sampled_from(["hidden", "cell"]),
            step_count=COUNTS,
            stride=COUNTS,
            norms=SOME_NUMBERS,
            gains=SOME_NUMBERS,
            half_life_steps=FINITE_OR_NONE,
            nonfinite_count=COUNTS,
            example_count=SMALL_COUNTS,
        ),
        max_size=3,
        unique_by=lambda fade: (fade.layer, fade.inner_layer, fade.is_reverse, fade.state),
    ).map(tuple),
    histograms=st.lists(
        st.builds(
            OctaveHistogram,
            parameter=NAMES,
            quantity=st.sampled_from(["gradient", "weight", "update"]),
            first_exponent=st.integers(-200, 200),
            counts=RANKS,
            zero_count=COUNTS,
            nonfinite_count=COUNTS,
            subnormal_count=COUNTS,
            sample_size=COUNTS,
            element_count=COUNTS,
        ),
        max_size=3,
        unique_by=lambda found: (found.parameter, found.quantity),
    ).map(tuple),
    unit_marks=st.lists(
        st.builds(
            UnitMarks,
            layer=NAMES,
            unit_count=COUNTS,
            window_examples=COUNTS,
            saturated_count=SMALL_COUNTS,
            dead_count=SMALL_COUNTS,
            saturated=RANKS,
            dead=RANKS,
        ),
        max_size=2,
        unique_by=lambda marks: marks.layer,
    ).map(tuple),
)
