import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import pytest

from gradiometer.errors import SettingsError
from gradiometer.integrations.scalars import STEP, rows_of
from gradiometer.integrations.telling import Telling, tell_all
from gradiometer.integrations.tracker import Tracker
from gradiometer.integrations.wandb import find_active, join, open_tracker
from integrations.wandb_file import file_in, records_in, rows_in, summary_in
from showing.made_run import made_run
from showing.made_turns import measured_fully

wandb = pytest.importorskip("wandb")


@pytest.fixture(scope="module")
def offline() -> Iterator[None]:
    """W&B offline, in a folder of these tests; it reads its settings once in a process."""
    before = dict(os.environ)
    with TemporaryDirectory() as folder:
        os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DIR": folder}
        wandb.setup()
        yield
        wandb.teardown()
    os.environ.clear()
    os.environ |= before


@pytest.mark.slow
def test_tells_wandb_every_number_over_its_own_step(offline: None) -> None:
    run = measured_fully(made_run(hidden_count=10))
    tracker = open_tracker(None, run)
    tell_all(Telling(tracker), run)
    # Its process writes the last rows when it ends, not when the run does.
    wandb.teardown()
    file = file_in(Path(tracker.place.removeprefix("wandb sync ")))
    told = {
        (name, row[STEP]): value
        for row in rows_in(file)
        for name, value in row.items()
        if isinstance(value, int | float) and name.startswith("gradiometer") and "/report/" not in name and name != STEP
    }
    wanted = {(name, row.step): value for row in rows_of(run)[0] for name, value in row.values.items()}
    for key, value in wanted.items():
        assert told[key] == pytest.approx(value, rel=1e-15)
    summary = summary_in(file)
    assert summary["gradiometer/verdict"] == "broken"
    assert summary["gradiometer/finding/vanishing"].startswith("critical: ")
    kinds = [record.WhichOneof("record_type") for record in records_in(file)]
    assert kinds.count("alert") >= 1
    (page,) = (file.parent / "files" / "media" / "html").rglob("*.html")
    assert page.read_text(encoding="utf-8").startswith("<!")


def test_joins_the_run_of_a_script_without_touching_its_steps(offline: None) -> None:
    run = made_run(hidden_count=2)
    mine = wandb.init(project="mine")
    tracker = join(find_active())
    tracker.send(rows_of(run)[0])
    for step in range(8):
        mine.log({"mine": step}, step=10 * step)
        tracker.tick()
        tracker.tick()
    conclude(tracker)
    assert mine.step == 70
    mine.log({"mine": 8}, step=71)
    tracker.close()
    mine.finish()
    wandb.teardown()
    file = file_in(Path(mine.dir).parent)
    rows = rows_in(file)
    assert [(row["_step"], row["mine"]) for row in rows] == [*((10 * step, step) for step in range(8)), (71, 8)]
    told = [row[STEP] for row in rows if STEP in row]
    assert told[:3] == run.snapshot_steps[:3].tolist()
    assert told == sorted(told)
    assert told[-1] == 299
    assert summary_in(file)["gradiometer/verdict"] == "broken"


def test_says_at_once_that_a_script_has_ended_its_run_before_the_verdict(offline: None) -> None:
    mine = wandb.init(project="ended")
    tracker = join(find_active())
    mine.log({"mine": 1})
    mine.finish()
    began = monotonic()
    with pytest.raises(SettingsError, match="the script has ended its run before this one was over"):
        conclude(tracker)
    # W&B itself waits thirty seconds for the answer of a run that has ended.
    assert monotonic() - began < 15.0


def conclude(tracker: Tracker) -> None:
    """Tell the verdict of a run that does not train."""
    Telling(tracker, has_page=False).conclude(made_run(hidden_count=10))
