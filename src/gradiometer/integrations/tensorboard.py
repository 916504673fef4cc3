"""TensorBoard: a run as event files, written by tensorboard's own writer, without torch.

The folder is a run of its own in TensorBoard's list; a writer of the script's may use the same parent folder, and is
left alone. Histograms are over log2 of the absolute value, one bin for each power of two.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradiometer.errors import SettingsError
from gradiometer.integrations.scalars import SCALARS, Row, log2_bins
from gradiometer.integrations.tracker import Conclusion, Partner, Tracker, finding_text
from gradiometer.schema import Finding, Run

if TYPE_CHECKING:
    from gradiometer.integrations.sinking import Sink
    from gradiometer.session import Watch

FLUSH_SECONDS = 5
"""How long a number may wait to be seen; tensorboard itself looks every 30 seconds."""

EVENT_FILES = "events.out.tfevents.*"


def open_tracker(place: str | None, run: Run) -> Tracker:
    """Begin event files in a folder.

    Args:
        place: The folder, which need not be there; `runs/gradiometer-` and the time if not given.
        run: The run; nothing of it is needed here.

    Raises:
        SettingsError: Event files are there already: TensorBoard would show both as one run.
    """
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = Path(place or f"runs/gradiometer-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    if any(folder.glob(EVENT_FILES)):
        raise SettingsError(f"{folder} has event files already: choose another folder, or delete them")
    writer = EventFileWriter(str(folder), flush_secs=FLUSH_SECONDS)
    newest = [0]

    def send(rows: Sequence[Row]) -> None:
        for row in rows:
            newest[0] = max(newest[0], row.step)
            add(writer, row.step, [scalar_value(name, value) for name, value in row.values.items()])
            add(writer, row.step, [histogram_value(name, *bins) for name, bins in log2_bins(row).items()])
        writer.flush()

    def tell(finding: Finding) -> None:
        text = f"**{finding.severity}**: {finding_text(finding)}"
        add(writer, finding.step, [text_value(f"gradiometer_finding/{finding.condition}", text)])
        writer.flush()

    def conclude(conclusion: Conclusion) -> None:
        add(writer, newest[0], [text_value("gradiometer_verdict", verdict_text(conclusion))])

    add(writer, 0, [text_value("gradiometer_what_is_what", table_text())])
    return Tracker(f"tensorboard --logdir {folder}", send, tell, conclude, writer.close)


def add(writer: Any, step: int, values: list[Any]) -> None:
    """Write values of one step."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    if values:
        writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))


def scalar_value(name: str, value: float) -> Any:
    """One number."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=name, simple_value=value)


def histogram_value(name: str, counts: list[int], edges: list[float]) -> Any:
    """One histogram."""
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

    middles = [edge + 0.5 for edge in edges[:-1]]
    described = HistogramProto(
        min=edges[0],
        max=edges[-1],
        num=sum(counts),
        sum=sum(count * middle for count, middle in zip(counts, middles, strict=True)),
        sum_squares=sum(count * middle**2 for count, middle in zip(counts, middles, strict=True)),
        # The first bucket is from minus infinity to its limit; it stays empty, so that the next begins at the first.
        bucket_limit=edges,
        bucket=[0, *counts],
    )
    return Summary.Value(tag=name, histo=described)


def text_value(name: str, text: str) -> Any:
    """A text; TensorBoard reads it as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.plugins.text.metadata import create_summary_metadata

    return Summary.Value(
        tag=name,
        metadata=create_summary_metadata(display_name=None, description=None),
        tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode("utf-8")]),
    )


def verdict_text(conclusion: Conclusion) -> str:
    """The verdict with its findings as a list."""
    lines = [f"- **{one.severity}**, {one.condition}: {finding_text(one)}" for one in conclusion.diagnosis.findings]
    return "\n".join([f"**{conclusion.diagnosis.verdict}**: {conclusion.sentence}", "", *lines])


def table_text() -> str:
    """What is told, as a table."""
    lines = [f"| {one.name}{'/LAYER' * one.is_by_layer} | {one.unit} | {one.text} |" for one in SCALARS]
    return "\n".join(["| chart | unit | what it is |", "|---|---|---|", *lines])


def sink(watching: "Watch", folder: str | Path | None = None) -> "Sink":
    """Tell TensorBoard of a training while it goes on, from a process of its own.

    Args:
        watching: What `gradiometer.watch` returned; it needs a file.
        folder: Where the event files go; if not given `runs/gradiometer-` and the time.

    Returns:
        A context manager; or call its `start()` and `stop()`.

    Raises:
        SettingsError: tensorboard is not installed.

    Example:
        `with gradiometer.watch(model, optimizer, file="run.db") as watching, sink(watching): train()`
    """
    from gradiometer.integrations.sinking import sink_of

    return sink_of(PARTNER, watching, None if folder is None else str(folder))


PARTNER = Partner("tensorboard", "tensorboard", open_tracker)
