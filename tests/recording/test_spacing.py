from collections import Counter

import numpy as np
import pytest

from gradiometer.recording.spacing import choose_spaced, spread_kinds


@pytest.mark.parametrize("step_count", [2_000, 20_000])
def test_keeps_a_growing_run_covered_however_often_it_is_thinned(step_count: int) -> None:
    left = np.zeros(0, dtype=np.int64)
    for step in range(step_count):
        left = np.append(left, step)
        if len(left) == 200:
            left = left[choose_spaced(left, 100, first_count=20, last_count=25)]
    assert set(range(20)) | {step_count - 1} <= set(left)
    assert np.diff(left).max() < 0.15 * step_count
    assert max(left[20:] / left[19:-1]) < 2.0


def test_keeps_as_many_as_it_may_where_steps_crowd_at_one_end() -> None:
    steps = np.concatenate([[0, 1, 2, 4, 8, 16], np.arange(100_000, 100_400)])
    assert choose_spaced(steps, 150).sum() == 150


@pytest.mark.parametrize("kind_count", [2, 3, 4, 6])
def test_keeps_every_kind_where_kinds_take_strict_turns(kind_count: int) -> None:
    kinds = np.arange(600) % kind_count
    mask = np.arange(600) % kind_count == 0
    spread = spread_kinds(mask, kinds, first_count=0, last_count=0)
    counts = Counter(kinds[spread].tolist())
    assert spread.sum() == mask.sum()
    assert len(counts) == kind_count
    assert max(counts.values()) - min(counts.values()) <= 2


def test_keeps_rare_kinds_beside_common_ones() -> None:
    kinds = np.where(np.arange(4000) % 40 == 0, 1, 0)
    mask = choose_spaced(np.arange(4000), 400, first_count=20, last_count=100)
    spread = spread_kinds(mask, kinds, first_count=20, last_count=100)
    assert spread.sum() == 400
    assert kinds[spread].sum() > 2 * kinds[mask].sum()
    assert (spread[:20].all(), spread[-100:].all()) == (True, True)
