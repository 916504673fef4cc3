"""Diagnosing ten times as many layers takes about ten times as long."""

import time

import numpy as np
import pytest

from gradiometer.diagnosing import diagnose
from gradiometer.schema import (
    LAYER_COLUMNS,
    PARAMETER_COLUMNS,
    SNAPSHOT_COLUMNS,
    Coverage,
    Layer,
    LossSeries,
    Parameter,
    Run,
)


def deep_run(pair_count: int, snapshot_count: int = 20) -> Run:
    """Pairs of a linear and a ReLU layer, at whose input end the weights stand still."""
    layers = [
        layer
        for rank in range(pair_count)
        for layer in (
            Layer(
                f"body.{2 * rank}", "Linear", "leaf", 2 * rank, None, None, None, 8, 8, 8, (f"{rank}.w", f"{rank}.b")
            ),
            Layer(f"body.{2 * rank + 1}", "ReLU", "leaf", 2 * rank + 1, None, "relu", 1.0, 8),
        )
    ]
    parameters = [
        Parameter(f"{rank}.{kind}", f"body.{2 * rank}", (8, 8) if kind == "w" else (8,), "float32")
        for rank in range(pair_count)
        for kind in "wb"
    ]
    shape = (snapshot_count, len(layers))
    positions = np.broadcast_to(np.arange(len(layers))[::-1].astype(float), shape)
    layer_numbers = {name: np.ones(shape) for name in LAYER_COLUMNS}
    layer_numbers |= {"trunk_position": positions, "level_db": -6.0 * positions, "gain_db": np.full(shape, -6.0)}
    layer_numbers |= {name: np.zeros(shape) for name in LAYER_COLUMNS if name.endswith(("share", "count"))}
    numbers = {name: np.full((snapshot_count, len(parameters)), 1e-3) for name in PARAMETER_COLUMNS}
    numbers |= {name: np.zeros((snapshot_count, len(parameters))) for name in PARAMETER_COLUMNS if "count" in name}
    numbers["update_ratio"][:, :pair_count] = 1e-12
    steps = np.arange(snapshot_count)
    losses = LossSeries("train.py:1", np.arange(400), np.full(400, 2.3), np.zeros(400, dtype=np.int64))
    return Run(
        facts={"batch_size": 32},
        layers=tuple(layers),
        parameters=tuple(parameters),
        snapshot_steps=steps,
        snapshot_columns={name: np.full(snapshot_count, 0.1) for name in SNAPSHOT_COLUMNS},
        layer_columns=layer_numbers,
        parameter_columns=numbers,
        losses=(losses,),
        coverage=Coverage(len(layers), len(layers)),
    )


def best_seconds(run: Run) -> float:
    """Processor time of the fastest of three diagnoses."""
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        assert [finding.condition for finding in diagnose(run).findings] == ["vanishing"]
        seconds.append(time.process_time() - begun)
    return min(seconds)


@pytest.mark.slow
def test_diagnoses_ten_times_as_many_layers_in_about_ten_times_the_time():
    # A quadratic part would make it a hundred times; the rest is room for a busy machine.
    assert best_seconds(deep_run(5000)) < 30.0 * best_seconds(deep_run(500))


def test_writes_a_level_that_is_beyond_what_a_float_holds_as_a_factor():
    # 1 600 layers of 6 dB each: 10 to the power of 480.
    assert "e+4" in diagnose(deep_run(800)).findings[0].summary
