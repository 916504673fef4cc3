import ctypes
import sqlite3
import threading
from pathlib import Path

from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import StepStats


def locked(path: Path) -> sqlite3.Connection:
    """A connection of another program that holds the file."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other


def test_says_in_the_file_why_it_stopped_where_that_can_be_written_again(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    writer = RunWriter(path, busy_seconds=0.1)
    writer.add_step(StepStats(step=7))
    writer.flush()
    other = locked(path)
    writer.add_step(StepStats(step=8))
    writer.flush()
    assert writer.fault is not None
    other.close()
    writer.add_facts({"status": "finished"})
    writer.close()
    run = read_run(path)
    assert [(event.step, event.kind) for event in run.events] == [(7, "fault")]
    assert "another program holds" in run.events[0].text
    assert run.facts["status"] == "finished"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.db"]


def test_leaves_another_file_of_the_same_name_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    writer = RunWriter(path)
    writer.flush()
    path.rename(tmp_path / "moved.db")
    with RunWriter(path) as another:
        another.add_step(StepStats(step=1))
    writer.add_step(StepStats(step=2))
    writer.close()
    run = read_run(path)
    assert run.steps.tolist() == [1]
    assert run.events == ()


def test_loses_nothing_to_a_program_that_holds_the_file_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with RunWriter(path) as writer:
        writer.flush()
        other = locked(path)
        threading.Timer(1.2, other.close).start()
        for step in range(5):
            writer.add_step(StepStats(step=step))
        writer.flush()
    assert writer.fault is None
    assert read_run(path).steps.tolist() == list(range(5))


def test_goes_on_recording_where_its_thread_was_ended(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with RunWriter(path) as writer:
        for step in range(3):
            (thread,) = (one for one in threading.enumerate() if one.name == "gradiometer-recording")
            ended = ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
            )
            assert ended == 1
            thread.join(5)
            writer.add_step(StepStats(step=step))
            writer.flush()
        assert writer.fault is None
    assert read_run(path).steps.tolist() == [0, 1, 2]
