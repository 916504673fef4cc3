"""gradiometer, where the verdict fails that stands behind a training ..."""

import errno
from pathlib import Path

import numpy as np
import pytest

from gradiometer.cli.watched import Watcher, WatchOptions, is_refused_by_system, verdict_after
from gradiometer.errors import RunFileError
from gradiometer.settings import Settings


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A run file that its script has written over."""
    file = tmp_path / "run.db"
    file.write_bytes(b"no database")
    return file


def test_leaves_the_exit_code_to_the_script(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verdict_after(damaged, Watcher(WatchOptions(("train.py",)), Settings()), 0) is None
    assert capsys.readouterr().err.count("is not a run file") == 1


@pytest.mark.parametrize("options", [{"is_json": True}, {"fail_on": "warning"}, {"is_check": True}], ids=str)
def test_could_not_do_its_work_where_a_verdict_was_asked_for(damaged: Path, options: dict[str, str]) -> None:
    watcher = Watcher(WatchOptions(("train.py",), **options), Settings())  # type: ignore[arg-type]
    with pytest.raises(RunFileError, match="is not a run file"):
        verdict_after(damaged, watcher, 0)
    assert verdict_after(damaged, watcher, 5) is None


def without_memory() -> Exception:
    """What NumPy raises where the system refuses it memory."""
    with pytest.raises(MemoryError) as refused:
        np.empty(2**60, dtype=np.uint8)
    return refused.value


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (MemoryError(), True),
        (without_memory(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("can't start new thread"), True),
        (ImportError("libgomp.so.1: failed to map segment from shared object"), True),
        (OSError(errno.ENOENT, "No such file"), False),
        (KeyError("loss"), False),
    ],
    ids=str,
)
def test_tells_a_system_that_has_nothing_left_from_a_fault_of_its_own(error: Exception, is_refused: bool) -> None:
    assert is_refused_by_system(error) is is_refused
