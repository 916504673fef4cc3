import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gradiometer.integrations.scalars import STEP, rows_of
from showing.made_run import made_run, write_made_run

pytest.importorskip("trackio")

JOINING = """
import sys, trackio
from gradiometer.integrations.telling import Telling
from gradiometer.integrations.trackio import find_active, join
from gradiometer.recording.reader import read_run
from gradiometer.integrations.scalars import rows_of
run = read_run(sys.argv[1])
mine = trackio.init(project="mine", auto_log_cpu=False, auto_log_gpu=False)
tracker = join(find_active())
tracker.send(rows_of(run)[0])
for step in range(5):
    mine.log({"mine": step})
    tracker.tick()
Telling(tracker, has_page=False).conclude(run)
mine.log({"mine": 5})
mine.finish()
"""


def run_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with trackio's folder, which it reads when it is imported."""
    return subprocess.run(
        [sys.executable, "-P", *words],
        env={**os.environ, "TRACKIO_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def rows_in(folder: Path, project: str) -> list[tuple[int, dict[str, object]]]:
    """Rows as they stand in trackio's own database, in the order they were logged."""
    with sqlite3.connect(folder / f"{project}.db") as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics ORDER BY id").fetchall()
    return [(step, json.loads(metrics)) for step, metrics in rows]


def alerts_in(folder: Path, project: str) -> list[str]:
    with sqlite3.connect(folder / f"{project}.db") as connection:
        return [title for (title,) in connection.execute("SELECT title FROM alerts ORDER BY id")]


@pytest.mark.slow
def test_tells_trackio_every_number_and_the_verdict(tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db")
    folder = tmp_path / "trackio"
    done = run_in(folder, "-m", "gradiometer", "export", str(file), "--to", "trackio:ours", "--json")
    assert json.loads(done.stdout)["told"][0]["tracker"] == "trackio"
    told = {(step, name): value for step, row in rows_in(folder, "ours") for name, value in row.items()}
    wanted = {(row.step, name): value for row in rows_of(made_run())[0] for name, value in row.values.items()}
    assert wanted.keys() - {(299, "gradiometer/overhead_fraction")} <= told.keys()
    for (step, name), value in wanted.items():
        assert told[step, name] == pytest.approx(value, rel=1e-6)
    assert alerts_in(folder, "ours")[-1] == "gradiometer: broken"
    assert list(folder.rglob("*.html"))


def test_joins_the_run_of_a_script_without_touching_its_count(tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db", hidden_count=2)
    folder = tmp_path / "trackio"
    run_in(folder, "-c", JOINING, str(file))
    rows = rows_in(folder, "mine")
    assert [(step, row["mine"]) for step, row in rows if "mine" in row] == [(step, step) for step in range(6)]
    told = [row[STEP] for _, row in rows if STEP in row]
    assert told[:3] == [0, 1, 2]
    assert told[-1] == 299
    assert "gradiometer: broken" in alerts_in(folder, "mine")
