import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gradiometer.curing.trials.scratch import LOCK_FILE, UNLOCKED_SECONDS, remove_stale, temporary_folder

KILLED = """\
import os, signal
from gradiometer.curing.trials.scratch import temporary_folder
with temporary_folder() as folder:
    open(folder + "/left", "w").close()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process keeps its temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_removes_at_the_next_start_what_a_killed_cure_has_left(place: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(place)}, capture_output=True, text=True
    )
    left = Path(killed.stdout.strip())
    assert (left / "left").exists()

    with temporary_folder() as folder:
        assert Path(folder).parent == place
        assert not left.exists()
        assert Path(folder).is_dir()
    assert list(place.iterdir()) == []


def test_leaves_the_folder_of_a_cure_that_goes_on(place: Path) -> None:
    with temporary_folder() as first, temporary_folder() as second:
        assert remove_stale(place) == []
        assert Path(first).is_dir()
        assert Path(second).is_dir()


def test_leaves_alone_what_is_no_folder_of_its_own(place: Path) -> None:
    elsewhere = place / "mine"
    elsewhere.mkdir()
    (elsewhere / LOCK_FILE).touch()
    (place / "gradiometer-cure-link").symlink_to(elsewhere)
    (place / "gradiometer-cure-file").touch()
    (place / "gradiometer-cure-new").mkdir()
    assert remove_stale(place) == []

    old = place / "gradiometer-cure-old"
    old.mkdir()
    long_ago = time.time() - UNLOCKED_SECONDS - 60.0
    os.utime(old, (long_ago, long_ago))
    assert remove_stale(place) == [old]
    assert (elsewhere / LOCK_FILE).exists()
