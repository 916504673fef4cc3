"""A long run stays as small as a short one; the same code as `benchmarks/soak.py`, with fewer steps."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

from soak import Soak, soak  # noqa: E402

MAX_BYTES = 2**19


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Soak:
    return soak(tmp_path_factory.mktemp("soak"), steps=20_000, max_bytes=MAX_BYTES, overhead=0.1)


@pytest.mark.slow
def test_trains_the_same_weights_for_twenty_thousand_steps(soaked: Soak) -> None:
    assert soaked.is_unchanged
    assert soaked.fault == ""
    assert soaked.run.step_count == 20_000


@pytest.mark.slow
def test_holds_no_more_memory_files_or_threads_at_the_end_than_amid_a_run(soaked: Soak) -> None:
    half, last = soaked.samples[len(soaked.samples) // 2], soaked.samples[-1]
    # Python takes memory from the system in arenas of 1 MiB: one may come at any time.
    assert last.held_bytes - half.held_bytes <= 2 * 2**20
    # The file is full by then, and with it SQLite's pages of it.
    assert last.database_bytes - half.database_bytes <= 2**17
    assert last.thread_count == half.thread_count
    assert last.descriptor_count == half.descriptor_count
    assert max(sample.file_bytes for sample in soaked.samples) <= MAX_BYTES
