"""Runs and diagnoses made by hand, as the showing tests need them; no torch."""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from gradiometer.recording.writer import RunWriter
from gradiometer.schema import (
    LAYER_COLUMNS,
    PARAMETER_COLUMNS,
    SNAPSHOT_COLUMNS,
    STEP_COLUMNS,
    Cause,
    Coverage,
    Diagnosis,
    Event,
    Evidence,
    Finding,
    Layer,
    LayerStats,
    LossSeries,
    Outcome,
    Parameter,
    ParameterStats,
    Ranking,
    Run,
    Snapshot,
    StepStats,
    Trial,
    columns_of,
)

SIGMOID_GAIN_DB = -12.6
LINEAR_GAIN_DB = -1.5
SNAPSHOT_STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)


def sigmoid_layers(hidden_count: int, prefix: str = "body.") -> tuple[Layer, ...]:
    """Linear, sigmoid, linear, sigmoid, ..., linear."""
    layers: list[Layer] = []
    for index in range(2 * hidden_count + 1):
        name, site = f"{prefix}{index}", f"train.py:{10 + index}"
        if index % 2:
            layers.append(
                Layer(name, "Sigmoid", "leaf", index, site, activation="sigmoid", greatest_slope=0.25, unit_count=64)
            )
        else:
            owned = (f"{name}.weight", f"{name}.bias")
            count = 10 if index == 2 * hidden_count else 64
            layers.append(
                Layer(name, "Linear", "leaf", index, site, unit_count=count, fan_in=64, fan_out=64, parameters=owned)
            )
    return tuple(layers)


def parameters_of(layers: Sequence[Layer]) -> tuple[Parameter, ...]:
    """Give a weight of 64 by 64 and a bias of 64 for every linear layer."""
    return tuple(
        Parameter(name, layer.name, (64, 64) if name.endswith("weight") else (64,), "float32")
        for layer in layers
        for name in layer.parameters
    )


def made_snapshot(
    layers: Sequence[Layer], parameters: Sequence[Parameter], step: int, *, cut_at: int | None = None
) -> Snapshot:
    """One full measurement: the level falls from the output to the input; at layer `cut_at` nothing is left of it."""
    level, levels, stats = 0.0, {}, []
    drift = 0.02 * math.log2(1 + step)
    for place, layer in enumerate(reversed(layers)):
        gain = (SIGMOID_GAIN_DB if layer.activation else LINEAR_GAIN_DB) - drift
        if cut_at is not None and layer.position == cut_at:
            gain = -math.inf
        levels[layer.name] = level
        stats.append(
            LayerStats(
                layer.name,
                trunk_position=place,
                output_rms=0.5,
                output_gradient_norm=0.01 * 10 ** (level / 20),
                input_gradient_norm=0.01 * 10 ** ((level + gain) / 20),
                level_db=level,
                gain_db=gain,
                saturated_share=0.125 if layer.activation else None,
                dead_share=0.0 if layer.activation else None,
            )
        )
        level += gain
    speeds = {p.name: 0.01 * 10 ** (levels[p.layer or ""] / 20) for p in parameters}
    return Snapshot(
        step,
        tuple(reversed(stats)),
        tuple(
            ParameterStats(
                p.name,
                gradient_rms=speeds[p.name] / 8,
                weight_rms=0.1,
                update_ratio=speeds[p.name] / 10,
                update_rms=speeds[p.name] / 100,
                learning_rate=0.1,
            )
            for p in parameters
        ),
        # Cross-entropy over ten equally likely classes, mean over 64 examples.
        output_gradient_norm=math.sqrt(0.9) / 8.0,
        loss=2.303,
        measuring_seconds=0.002,
    )


def run_of_snapshots(
    layers: Sequence[Layer], parameters: Sequence[Parameter], snapshots: Sequence[Snapshot], **rest: Any
) -> Run:
    """Put nouns into the columns of a run, as the reader does."""

    def stacked(rows_of_snapshots: list[Sequence[Any]], names: Sequence[str]) -> dict[str, np.ndarray]:
        columns = [columns_of(rows, names) for rows in rows_of_snapshots]
        return {name: np.array([entry[name] for entry in columns]) for name in names}

    return Run(
        layers=tuple(layers),
        parameters=tuple(parameters),
        snapshot_steps=np.array([snapshot.step for snapshot in snapshots], dtype=np.int64),
        snapshot_columns=columns_of(snapshots, SNAPSHOT_COLUMNS),
        layer_columns=stacked([snapshot.layers for snapshot in snapshots], LAYER_COLUMNS),
        parameter_columns=stacked([snapshot.parameters for snapshot in snapshots], PARAMETER_COLUMNS),
        **rest,
    )


def made_loss(step_count: int, *, nan_from: int | None = None) -> LossSeries:
    """A loss that stays near ln 10."""
    steps = np.arange(step_count)
    values = 2.303 + 0.02 * np.sin(0.7 * steps) * np.cos(0.013 * steps)
    counts = np.zeros(step_count, dtype=np.int64)
    if nan_from is not None:
        values[nan_from:], counts[nan_from:] = math.nan, 1
    return LossSeries("train.py:31", steps, values, counts)


def made_outcome() -> Outcome:
    """Five pairs, a cure proved, one cure not shown, one that fell in the race."""
    control, treated = (2.303, 2.302, 2.304, 2.301, 2.303), (0.12, 0.10, 0.17, 0.09, 0.14)
    best = ("exchange_activation:relu+redraw_weights:he",)
    return Outcome(
        "better",
        best,
        control,
        treated,
        -2.1786,
        (-2.22, -2.13),
        0.975,
        ranking=(
            Ranking(best, "trial", "better", 0.124, -2.1786, (-2.22, -2.13)),
            Ranking(("insert_normalisation",), "trial", "not shown", 1.9, -0.4, (-0.9, 0.1)),
            Ranking(
                ("change_learning_rate:x10",),
                "race",
                None,
                2.302,
                None,
                None,
                "no better than the control after 60 steps",
            ),
            Ranking(("clip_gradients",), "remeasure", None, None, None, None, "the gain budget stayed as it was"),
        ),
        snippet="for name, module in list(model.named_modules()):\n    ...\n",
        detail="all five pairs agree",
    )


def made_run(
    hidden_count: int = 10, *, prefix: str = "body.", cut_at: int | None = None, is_cured: bool = True, **facts: Any
) -> Run:
    """A run of the ten-sigmoid kind, by default with trials and their outcome."""
    layers = sigmoid_layers(hidden_count, prefix)
    parameters = parameters_of(layers)
    outcome = made_outcome() if is_cured else None
    trials = (
        tuple(
            Trial(cures, seed, "trial", f"trials/{seed}.run", "done", loss, 200, 1.5, is_paired=True)
            for cures, losses in (((), outcome.control), (outcome.cures, outcome.treated))
            for seed, loss in enumerate(losses)
        )
        if outcome
        else ()
    )
    steps = [StepStats(step, learning_rate=0.1, step_seconds=0.004, measuring_seconds=2e-5) for step in range(300)]
    return run_of_snapshots(
        layers,
        parameters,
        [made_snapshot(layers, parameters, step, cut_at=cut_at) for step in SNAPSHOT_STEPS],
        facts={
            "script": "train.py",
            "arguments": ["--epochs", "3"],
            "status": "finished",
            "started_at": "2026-01-02T03:04:05",
            "python": "3.11.2",
            "torch": "2.13.0",
            "gradiometer": "0.1.0",
            "device": "cpu",
            "seed": 0,
            "step_count": 300,
            "optimizer": "SGD",
            "batch_size": 64,
            "overhead_allowed": 0.01,
            "overhead_measured": 0.0083,
            "measuring_seconds": 0.02,
            "full_measurement_count": 10,
            **facts,
        },
        steps=np.arange(300),
        step_columns=columns_of(steps, STEP_COLUMNS),
        losses=(made_loss(300),),
        events=(Event(16, "repaid", "the advance is repaid"),),
        coverage=made_coverage(len(layers)),
        trials=trials,
        outcome=outcome,
    )


def made_coverage(count: int) -> Coverage:
    """All layers seen."""
    return Coverage(count, count)


def made_finding(layer: str = "body.1", **changes: Any) -> Finding:
    """The vanishing gradient of the ten-sigmoid run."""
    given = {
        "condition": "vanishing",
        "severity": "critical",
        "layers": (layer, "body.0"),
        "cause": Cause("activation_slope", -120.4, "ten sigmoids, whose greatest slope is 1/4"),
        "evidence": (
            Evidence("level", -142.5, "dB", "the gradient that reaches the first layer, relative to the output's"),
            Evidence("update ratio", 7.5e-11, "", "its weights move by this share of themselves in a step"),
        ),
        "cures": ("exchange_activation:relu+redraw_weights:he", "insert_normalisation"),
        "summary": "The gradient is lost on its way back: layers at and before body.1 do not learn.",
        "prognosis": "the loss stays where chance puts it, however long it trains",
        "step": 4,
        "other_causes": (Cause("weight_scale", -16.5, "weights drawn too small"),),
    }
    assert set(changes) <= {spec.name for spec in fields(Finding)}
    return Finding(**(given | changes))


def made_diagnosis(layer: str = "body.1") -> Diagnosis:
    """A broken run with one finding and its consequence."""
    stalled = made_finding(condition="stalled", summary="The loss has not moved since step 0.", layers=(), cures=())
    warning = made_finding(
        condition="saturated",
        severity="warning",
        layers=("body.3",),
        summary="12 % of the units of body.3 are saturated.",
    )
    return Diagnosis("broken", (made_finding(layer, consequences=(stalled,)), warning), made_coverage(21))


def write_made_run(path: Path, *, hidden_count: int = 10, **facts: Any) -> Path:
    """Write the ten-sigmoid run into a real run file."""
    layers = sigmoid_layers(hidden_count)
    parameters = parameters_of(layers)
    run = made_run(hidden_count, **facts)
    writer = RunWriter(path)
    writer.add_facts({name: value for name, value in run.facts.items() if value is not None})
    writer.add_layers(layers)
    writer.add_parameters(parameters)
    for step in SNAPSHOT_STEPS:
        writer.add_snapshot(made_snapshot(layers, parameters, step))
    for step, loss in enumerate(run.losses[0].values.tolist()):
        writer.add_step(StepStats(step, losses=(("train.py:31", loss, 1, 0),), learning_rate=0.1, step_seconds=0.004))
    writer.set_coverage(run.coverage)
    writer.close()
    assert writer.fault is None
    return path
