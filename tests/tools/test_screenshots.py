import struct
import subprocess
import sys
from pathlib import Path

import pytest

from browsing import browser

__all__ = ["browser"]

ROOT = Path(__file__).parents[2]


def shoot(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "screenshots.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_says_which_run_file_the_picture_of_a_report_needs(tmp_path: Path) -> None:
    done = shoot("pictures", "--only", "report", folder=tmp_path)
    assert done.returncode == 2
    assert "make demo leaves one, --run names another" in done.stderr
    assert not (tmp_path / "pictures").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("browser")
def test_shoots_a_page_as_wide_as_its_window_and_small_enough_to_keep(tmp_path: Path) -> None:
    done = shoot("pictures", "--only", "theory", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "pictures" / "theory.png").read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (1280, 1000)
    assert 20_000 < len(picture) < 300_000
    assert "TOO LARGE" not in done.stdout
