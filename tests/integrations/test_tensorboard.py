from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradiometer.errors import SettingsError
from gradiometer.integrations.scalars import rows_of
from gradiometer.integrations.telling import Telling, tell_all
from gradiometer.integrations.tensorboard import open_tracker
from gradiometer.schema import Run
from showing.made_run import made_run
from showing.made_turns import made_histograms, measured_fully


def read_back(folder: Path) -> EventAccumulator:
    """What TensorBoard itself reads of a folder, all of it."""
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0, "histograms": 0}).Reload()


def told_run(run: Run, folder: Path) -> EventAccumulator:
    tell_all(Telling(open_tracker(str(folder), run)), run)
    return read_back(folder)


def test_tells_tensorboard_every_number_at_its_step(tmp_path: Path) -> None:
    run = made_run(hidden_count=2)
    events = told_run(run, tmp_path / "events")
    told = {(tag, one.step): one.value for tag in events.Tags()["scalars"] for one in events.Scalars(tag)}
    wanted = {(name, row.step): value for row in rows_of(run)[0] for name, value in row.values.items()}
    assert told.keys() == wanted.keys()
    assert all(told[key] == np.float32(value) for key, value in wanted.items())


def test_tells_tensorboard_the_verdict_and_the_findings_in_words(tmp_path: Path) -> None:
    events = told_run(made_run(hidden_count=10), tmp_path / "events")
    texts = {
        tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
        for tag in events.Tags()["tensors"]
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "text"
    }
    assert texts["gradiometer_verdict"].startswith("**broken**")
    assert "gradiometer_finding/vanishing" in texts
    assert "| gradiometer/loss |" in texts["gradiometer_what_is_what"]


def test_tells_tensorboard_histograms_whose_bins_are_powers_of_two(tmp_path: Path) -> None:
    run = measured_fully(made_run(hidden_count=2))
    step = int(run.snapshot_steps[0])
    parameters = [parameter.name for parameter in run.parameters]
    bare = Run(snapshot_steps=run.snapshot_steps[:1], histograms={step: made_histograms(parameters)})
    tracker = open_tracker(str(tmp_path), bare)
    tracker.send(rows_of(bare)[0])
    tracker.close()
    events = read_back(tmp_path)
    (one,) = events.Histograms(f"gradiometer_log2_weight/{parameters[0]}")
    histogram = one.histogram_value
    assert (one.step, histogram.num, histogram.min, histogram.max) == (step, 1000, -6.0, -2.0)
    assert (histogram.bucket_limit, histogram.bucket) == ([-6.0, -5.0, -4.0, -3.0, -2.0], [0, 125, 250, 500, 125])


def test_adds_to_no_event_files_that_are_there(tmp_path: Path) -> None:
    told_run(made_run(hidden_count=2), tmp_path)
    with pytest.raises(SettingsError, match="choose another folder"):
        open_tracker(str(tmp_path), made_run(hidden_count=2))
