import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gradiometer import watch
from gradiometer.errors import SettingsError
from gradiometer.launching.torchrun import rank_in, refuse_several
from gradiometer.recording.reader import read_run
from gradiometer.schema import Run
from launching.ranks_training import batches, make_network, make_optimizer, train_step

SCRIPT = Path(__file__).with_name("ranks_training.py")

# What dear measurements see of the leader's part alone, and times.
LOCAL_COLUMNS = frozenset(
    {
        "output_similarity",
        "output_rank",
        "gradient_similarity",
        "gradient_rank",
        "similarity_example_count",
        "gradient_subnormal_share",
        "twin_share",
        "constant_loss",
        "input_spread_db",
        "measuring_seconds",
    }
)


def run_on_ranks(folder, way, *options, count=2, watched=("run", "--quiet", "--overhead", "1")):
    """Train on several processes, under gradiometer where its words are given; returns the answer of `torchrun`."""
    program = ["-m", "gradiometer", *watched, "--file", str(folder / "run.db")] if watched else []
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)),
            *program,
            *(str(SCRIPT), way, str(folder), *options),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=folder,
    )
    # A script of several processes that fails has its traceback there; findings alone have exit code 3.
    assert answer.returncode == 0 or "exitcode  : 3 " in answer.stderr, answer.stderr
    return answer


def unsharded_run(step_count: int, device: str = "cpu") -> Run:
    """The same training on the whole batches in this process."""
    network = make_network().to(device)
    optimizer = make_optimizer(network)
    with watch(network, optimizer, overhead=1.0, dear=()) as watching:
        for inputs, target in batches(step_count):
            train_step(network, optimizer, inputs.to(device), target.to(device))
    return watching.run


def assert_same_figures(run: Run, expected: Run) -> None:
    """All that was measured agrees to 1e-5, relative to the greatest value of its kind in the network."""
    assert [layer.name for layer in run.layers] == [layer.name for layer in expected.layers]
    assert [layer.kind for layer in run.layers] == [layer.kind for layer in expected.layers]
    assert run.parameters == expected.parameters
    np.testing.assert_array_equal(run.snapshot_steps, expected.snapshot_steps)
    for columns, known in (
        (run.layer_columns, expected.layer_columns),
        (run.parameter_columns, expected.parameter_columns),
        (run.snapshot_columns, expected.snapshot_columns),
    ):
        for name in known.keys() - LOCAL_COLUMNS:
            # A mean near zero is what is left of greater numbers: 1e-7 of those.
            np.testing.assert_allclose(columns[name], known[name], rtol=1e-5, atol=1e-7, err_msg=name)


def same_weights(first: Path, second: Path, count: int = 2) -> bool:
    return all(
        torch.equal(value, torch.load(second / f"weights-{rank}.pt")[name])
        for rank in range(count)
        for name, value in torch.load(first / f"weights-{rank}.pt").items()
    )


def folders_in(path, *names):
    for name in names:
        (path / name).mkdir()
    return [path / name for name in names]


def test_knows_the_rank_that_a_launcher_gave():
    assert rank_in({"RANK": "3", "WORLD_SIZE": "4"}) == 3
    assert rank_in({"RANK": "0", "WORLD_SIZE": "4"}) == 0
    assert rank_in({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert rank_in({"RANK": "first", "WORLD_SIZE": "4"}) is None
    assert rank_in({}) is None


def test_refuses_to_cure_in_several_processes_at_once():
    with pytest.raises(SettingsError, match="without torchrun"):
        refuse_several({"RANK": "0", "WORLD_SIZE": "2"}, "cure")
    refuse_several({}, "cure")


@pytest.mark.slow
def test_measures_two_processes_as_one_on_the_whole_batch_and_leaves_their_weights_alone(tmp_path):
    bare, watched = folders_in(tmp_path, "bare", "watched")
    run_on_ranks(bare, "ddp", watched=())
    answer = run_on_ranks(watched, "ddp")
    # Rank 0 alone writes a run file and tells the verdict.
    assert sorted(path.suffix for path in watched.iterdir()) == [".db", ".pt", ".pt"]
    assert answer.stderr.count("layers seen") == 1
    assert same_weights(bare, watched)
    run = read_run(watched / "run.db")
    assert run.facts["process_count"] == 2
    assert run.facts["batch_size"] == 32
    assert run.events == ()
    assert_same_figures(run, unsharded_run(5))


@pytest.mark.slow
@pytest.mark.parametrize(("way", "count"), [("fsdp", 2), ("fsdp", 4), ("fsdp_mesh", 4), ("ddp", 4)])
def test_measures_shards_as_the_whole_and_leaves_their_weights_alone(tmp_path, way, count):
    bare, watched = folders_in(tmp_path, "bare", "watched")
    run_on_ranks(bare, way, count=count, watched=())
    run_on_ranks(watched, way, count=count)
    assert same_weights(bare, watched, count)
    assert_same_figures(read_run(watched / "run.db"), unsharded_run(5))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ddp", "fsdp_mixed"])
def test_agrees_on_full_steps_within_a_budget_and_leaves_weights_alone(tmp_path, way):
    bare, watched = folders_in(tmp_path, "bare", "watched")
    run_on_ranks(bare, way, "--steps", "40", watched=())
    run_on_ranks(watched, way, "--steps", "40", watched=("run", "--quiet"))
    assert same_weights(bare, watched)
    run = read_run(watched / "run.db")
    assert run.snapshot_steps[:5].tolist() == [0, 1, 2, 4, 8]
    assert run.events == ()
    assert run.step_count == 40


@pytest.mark.slow
def test_names_the_process_that_alone_met_what_is_not_finite(tmp_path):
    answer = run_on_ranks(tmp_path, "ddp", "--bad-step", "3")
    run = read_run(tmp_path / "run.db")
    events = [event for event in run.events if event.kind == "ranks"]
    assert (events[0].step, events[0].text) == (3, "NaN or infinity on rank 1 only, first in the output of 0")
    assert "rank 1 only" in " ".join(answer.stderr.split())


@pytest.mark.slow
def test_stops_measuring_where_a_process_runs_out_of_inputs_and_lets_the_training_end(tmp_path):
    run_on_ranks(tmp_path, "ddp", "--uneven")
    run = read_run(tmp_path / "run.db")
    assert run.snapshot_steps.tolist() == [0, 1, 2, 3, 4]
    assert (tmp_path / "weights-1.pt").exists()


@pytest.mark.slow
def test_does_not_hang_where_processes_take_different_numbers_of_steps(tmp_path):
    run_on_ranks(tmp_path, "ddp", "--skip-step", "2", "--steps", "8")
    run = read_run(tmp_path / "run.db")
    assert run.snapshot_steps.tolist() == [0, 1]
    assert "rank 1 sent nothing" in run.coverage.line
    assert run.step_count == 8


@pytest.mark.slow
def test_stops_all_processes_at_one_step(tmp_path):
    run_on_ranks(tmp_path, "ddp", "--steps", "50", watched=("check", "--steps", "4"))
    assert read_run(tmp_path / "run.db").step_count == 4
    assert not list(tmp_path.glob("weights-*.pt"))


needs_two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="NCCL takes one process for each GPU")


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("backend", "way"),
    [
        ("gloo", "ddp"),
        pytest.param("nccl", "ddp", marks=needs_two_gpus),
        pytest.param("nccl", "fsdp", marks=needs_two_gpus),
    ],
)
def test_measures_processes_on_gpus_as_one(tmp_path, backend, way):
    bare, watched = folders_in(tmp_path, "bare", "watched")
    options = ("--backend", backend, "--device", "cuda")
    run_on_ranks(bare, way, *options, watched=())
    run_on_ranks(watched, way, *options)
    assert same_weights(bare, watched)
    assert_same_figures(read_run(watched / "run.db"), unsharded_run(5, "cuda"))
