import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from recorded_material import make_layers, make_parameters, make_snapshot, make_step

from gradiometer.errors import NotARunFileError, RunFileError
from gradiometer.recording.opening import is_network_folder, open_for_writing
from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Event, LayerStats, Parameter, ParameterStats, Snapshot, StepStats, Trial


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )


def test_leaves_one_file_without_companions(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "run.gradiometer"
    with RunWriter(path) as writer:
        writer.add_step(make_step(0))
        writer.flush()
        assert path.with_name(path.name + "-wal").exists()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert writer.fault is None
    assert read_run(path).steps.tolist() == [0]


def test_commits_by_itself_about_every_quarter_second(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:
        writer.add_step(make_step(4))
        deadline = time.monotonic() + 10.0
        while not len(read_run(path).steps):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_shows_a_run_to_others_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:
        for step in range(5):
            writer.add_step(make_step(step))
            writer.flush()
            assert read_run(path).step_count == step + 1
            assert writer.read().step_count == step + 1


def test_costs_the_training_thread_a_few_microseconds_per_call(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run.gradiometer") as writer:
        step = make_step(0)
        rounds = []
        for _ in range(20):
            started = time.perf_counter()
            for _ in range(500):
                writer.add_step(step)
            rounds.append((time.perf_counter() - started) / 500)
    # The best round is free of other processes; it is about 0.5 µs on a laptop.
    assert min(rounds) < 10e-6


def test_refuses_to_overwrite_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    RunWriter(path).close()
    with pytest.raises(RunFileError, match="delete it, or name another"):
        RunWriter(path)


def test_refuses_to_overwrite_what_is_not_a_run_file(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    for is_resumed in (False, True):
        with pytest.raises(NotARunFileError, match="not a run file"):
            RunWriter(path, is_resumed=is_resumed)
    assert path.read_text() == "years of work"
    with pytest.raises(RunFileError, match="is a folder"):
        RunWriter(tmp_path)


def test_adds_trials_to_a_finished_run(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:
        writer.add_layers(make_layers(2))
        writer.add_snapshot(make_snapshot(0, 2))
    trial = Trial(cures=("clip_gradients",), seed=1, sieve="race", run_file="a", status="done", final_loss=0.5)
    with RunWriter(path, is_resumed=True) as writer:
        writer.add_trials([trial])
        writer.add_snapshot(Snapshot(step=1, layers=(LayerStats(layer="body.1", gain_db=9.0),)))
    run = read_run(path)
    assert run.trials == (trial,)
    assert run.layer_columns["gain_db"][1].tolist() == pytest.approx([np.nan, 9.0], nan_ok=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_gives_up_with_a_sentence_where_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    writer = RunWriter(tmp_path / "file" / "run.gradiometer")
    assert writer.fault is not None
    assert writer.fault.startswith("Recording stopped: ")
    assert writer.fault.endswith("Training goes on.")
    writer.add_step(make_step(0))
    writer.flush()
    assert writer.read().step_count == 0
    writer.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root can't write")
def test_gives_up_with_a_sentence_in_a_read_only_folder() -> None:
    writer = RunWriter(Path("/proc/self/run.gradiometer"))
    assert writer.fault is not None
    assert "name another place with --file" in writer.fault
    writer.close()


def test_notices_that_its_file_was_deleted(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    writer = RunWriter(path)
    writer.add_step(make_step(0))
    writer.flush()
    path.unlink()
    writer.add_step(make_step(1))
    writer.flush()
    assert writer.fault is not None
    assert "was deleted or moved" in writer.fault
    writer.add_step(make_step(2))
    writer.close()


def test_gives_up_where_another_program_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    writer = RunWriter(path, busy_seconds=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.add_step(make_step(0))
    writer.flush()
    assert writer.fault is not None
    assert "another program holds" in writer.fault
    other.close()
    writer.close()


def test_survives_a_full_disk_and_keeps_what_was_committed(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from gradiometer.recording.writer import RunWriter
from recorded_material import make_step
writer = RunWriter(Path(sys.argv[1]))
writer.add_step(make_step(0)); writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
for step in range(1, 50_000):
    writer.add_step(make_step(step))
    if step % 1000 == 0: writer.flush()
writer.close()
print(writer.fault)
"""
    path = tmp_path / "run.gradiometer"
    ended = run_python(code, str(path))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Recording stopped: ")
    assert 0 in read_run(path).steps


def test_finishes_the_file_of_a_script_that_never_closes(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from gradiometer.recording.writer import RunWriter
from recorded_material import make_step
kept = RunWriter(Path(sys.argv[1]))
kept.add_step(make_step(0))
memory = RunWriter(None)
memory.add_step(make_step(0))
"""
    path = tmp_path / "run.gradiometer"
    ended = run_python(code, str(path))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert read_run(path).steps.tolist() == [0]


def test_ends_its_thread_when_nobody_holds_the_writer(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run.gradiometer")
    thread = writer._recorder._thread
    assert thread is not None
    writer.add_step(make_step(0))
    del writer
    thread.join(10.0)
    assert not thread.is_alive()
    assert read_run(tmp_path / "run.gradiometer").steps.tolist() == [0]


def test_takes_calls_from_many_threads(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    with RunWriter(path) as writer:

        def add(start: int) -> None:
            for step in range(start, start + 500):
                writer.add_step(make_step(step))
                if step % 100 == 0:
                    writer.flush()

        threads = [threading.Thread(target=add, args=(500 * index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert read_run(path).steps.tolist() == list(range(2000))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_leaves_its_file_alone_in_a_forked_child(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    code = """
import gc, os, sys
from pathlib import Path
from gradiometer.recording.writer import RunWriter
from recorded_material import make_step
writer = RunWriter(Path(sys.argv[1]))
memory = RunWriter(None)
for step in range(20):
    writer.add_step(make_step(step))
    memory.add_step(make_step(step))
    child = os.fork()
    if child == 0:
        writer.add_step(make_step(1000 + step))
        writer.flush()
        assert writer.read().step_count == 0
        if step % 2:
            writer.close()
        del writer, memory
        gc.collect()
        if step % 4 < 2:
            os._exit(0)
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.flush()
    assert writer.fault is None, writer.fault
    assert Path(sys.argv[1] + "-wal").exists()
assert memory.read().step_count == 20
writer.close()
memory.close()
"""
    ended = run_python(code, str(path))
    assert ended.returncode == 0, ended.stderr
    assert read_run(path).steps.tolist() == list(range(20))
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.slow
def test_stays_below_its_bound_and_keeps_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "run.gradiometer"
    max_bytes = 2**20
    writer = RunWriter(path, max_bytes)
    writer.add_layers(make_layers(10))
    writer.add_parameters(make_parameters(10))
    greatest = 0
    for step in range(100_000):
        nonfinite_count = int(step == 31_337)
        writer.add_step(StepStats(step=step, total_norm=2.0, losses=(("train.py:31", 1.0, 1, nonfinite_count),)))
        if step % 100 == 0:
            writer.add_snapshot(make_snapshot(step, 10))
        if step % 2000 == 0:
            writer.flush()
            companion = path.with_name(path.name + "-wal")
            greatest = max(greatest, path.stat().st_size + companion.stat().st_size)
    writer.close()
    assert writer.fault is None
    assert greatest <= max_bytes
    assert max_bytes // 4 < path.stat().st_size <= max_bytes
    run = read_run(path)
    assert set(range(20)) <= set(run.steps.tolist())
    assert set(range(99_900, 100_000)) <= set(run.steps.tolist())
    assert 31_337 in run.steps
    assert run.losses[0].nonfinite_counts.sum() == 1
    assert run.snapshot_steps[0] == 0
    assert run.snapshot_steps[-1] == 99_900
    assert 40 < run.snapshot_count < 1000
    assert not np.isnan(run.layer_columns["gain_db"]).any()


def test_says_that_its_bound_is_too_small_for_the_network(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run.gradiometer", 200_000)
    writer.add_snapshot(make_snapshot(0, 3000))
    writer.close()
    assert writer.fault is not None
    assert "allow more with max_bytes" in writer.fault


def test_uses_a_rollback_journal_on_a_network_file_system(tmp_path: Path) -> None:
    mounts = f"/dev/sda / ext4 rw 0 0\nserver:/export {tmp_path} nfs4 rw 0 0\n"
    assert is_network_folder(tmp_path, mounts)
    connection = open_for_writing(tmp_path / "run.gradiometer", max_bytes=2**20, mounts=mounts)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    connection.close()
    connection = open_for_writing(tmp_path / "other.gradiometer", max_bytes=2**20)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_ignores_what_comes_after_closing(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run.gradiometer")
    writer.close()
    writer.add_event(Event(step=0, kind="note", text="late"))
    writer.flush()
    writer.close()
    assert writer.read().events == ()
    assert writer.fault is None


def test_gives_a_parameter_another_name_with_all_that_was_recorded_of_it(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run.db")
    writer.add_parameters([Parameter("optimizer[0]", None, (2,), "float32"), Parameter("taken", None, (2,), "float32")])
    writer.add_snapshot(Snapshot(0, parameters=(ParameterStats("optimizer[0]", weight_rms=2.0),)))
    writer.rename_parameters([("optimizer[0]", "0.weight"), ("never seen", "b"), ("taken", "0.weight")])
    writer.add_parameters([Parameter("0.weight", "0", (2,), "float32")])
    writer.add_snapshot(Snapshot(1, parameters=(ParameterStats("0.weight", weight_rms=3.0),)))
    writer.close()

    run = read_run(tmp_path / "run.db")
    assert [parameter.name for parameter in run.parameters] == ["0.weight", "taken"]
    assert run.parameter_column("weight_rms")[:, 0].tolist() == [2.0, 3.0]
