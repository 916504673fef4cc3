"""A run file stays below its bound in a long run with turns of every kind; the same code as `benchmarks/growth.py`."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from simulated_run import KINDS, Filling, fill, full_step_bytes  # noqa: E402

MAX_BYTES, STEPS, FULL_INTERVAL, EVENT_INTERVAL, LAYERS = 2 * 2**20, 20_000, 10, 500, 10


@pytest.fixture(scope="module")
def filling(tmp_path_factory) -> Filling:
    return fill(
        tmp_path_factory.mktemp("run") / "run.db",
        steps=STEPS,
        full_interval=FULL_INTERVAL,
        event_interval=EVENT_INTERVAL,
        layer_count=LAYERS,
        max_bytes=MAX_BYTES,
    )


@pytest.mark.slow
def test_never_outgrows_its_bound_with_turns_of_every_kind(filling):
    mean_bytes = sum(full_step_bytes(kind, LAYERS, count=20) for kind in KINDS) / len(KINDS)
    assert mean_bytes * STEPS / FULL_INTERVAL > 8 * MAX_BYTES
    assert MAX_BYTES // 4 < filling.end_bytes <= filling.greatest_bytes <= MAX_BYTES


@pytest.mark.slow
def test_keeps_full_steps_at_every_scale_and_every_kind_of_turn(filling):
    steps = filling.run.snapshot_steps
    newest = np.arange(STEPS - 10 * FULL_INTERVAL, STEPS, FULL_INTERVAL)
    assert set(newest) | {0, FULL_INTERVAL, 2 * FULL_INTERVAL} <= set(steps)
    # Of 40 to 80 full steps nine at least are chosen near log-spaced targets, 1.9 times apart, and nine near even ones,
    # an eighth of the run apart; of a target's neighbours none is further away than the next target.
    assert max(steps[10:] / steps[9:-1]) < 1.9**2
    assert np.diff(steps).max() < STEPS / 4
    for half in (steps[steps < STEPS / 2], steps[steps >= STEPS / 2]):
        kinds = Counter(filling.run.turns[step].measurement if step in filling.run.turns else None for step in half)
        assert set(kinds) == set(KINDS)
        assert max(kinds.values()) <= 3 * min(kinds.values())


@pytest.mark.slow
def test_keeps_every_event_of_a_thinned_run(filling):
    assert [event.step for event in filling.run.events] == list(range(0, STEPS, EVENT_INTERVAL))
