import os
import time
from pathlib import Path

import pytest

from gradiometer.recording.liveness import is_alive, last_write
from gradiometer.schema import Run


def test_takes_a_run_to_be_alive_whose_log_was_written_to(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    for name, age_seconds in (("run.db", 7200.0), ("run.db-wal", 60.0), ("run.db-shm", 0.0)):
        (tmp_path / name).touch()
        moment = time.time() - age_seconds
        os.utime(tmp_path / name, (moment, moment))
    assert time.time() - last_write(file) == pytest.approx(60.0, abs=10.0)
    assert is_alive(Run(facts={"status": "running"}), last_write(file))
    (tmp_path / "run.db-wal").unlink()
    assert not is_alive(Run(facts={"status": "running"}), last_write(file))


def test_takes_a_run_whose_file_is_gone_to_be_over(tmp_path: Path) -> None:
    assert not is_alive(Run(), last_write(tmp_path / "gone.db"))
