"""Ray Train: a real `TorchTrainer` on a local Ray, and where its run file ends up."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

import gradiometer

needs_ray_train = pytest.mark.skipif(
    find_spec("ray") is None or find_spec("pyarrow") is None,
    reason="Ray Train needs pyarrow, which Ray's own extra 'train' brings: pip install 'gradiometer[ray-train]'",
)

SCRIPT = """
import json, sys
from pathlib import Path

import ray
import torch
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model

sys.path.insert(0, sys.argv[1])


def loop(config):
    import ray.train
    from torch.nn.functional import cross_entropy

    sys.path.insert(0, config["tests"])
    from integrations.small_nets import examples, small_network
    from gradiometer.integrations.ray_train import watch

    torch.set_num_threads(1)
    rank, size = ray.train.get_context().get_world_rank(), ray.train.get_context().get_world_size()
    model = prepare_model(small_network().eval())  # no dropout: what one process draws, two would draw otherwise
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs, classes = (whole[rank::size] for whole in examples())

    def train():
        for step in range(8):
            optimizer.zero_grad()
            loss = cross_entropy(model(inputs), classes)
            loss.backward()
            optimizer.step()

    if config["is_watched"]:
        with watch(model, optimizer, overhead=1.0):
            train()
    else:
        train()
    inner = getattr(model, "module", model)
    digest = float(sum(p.double().abs().sum() for p in inner.parameters()))
    weights = torch.cat([p.detach().flatten() for p in inner.parameters()]).numpy().tobytes().hex()
    if rank == 0:
        Path(config["out"], f"{config['name']}.json").write_text(json.dumps(weights))
    ray.train.report({"digest": digest})


ray.init(num_cpus=2, include_dashboard=False, log_to_driver=True)
paths = {}
for name, workers, is_watched in (("alone", 1, False), ("one", 1, True), ("two", 2, True)):
    trainer = TorchTrainer(
        loop,
        train_loop_config={"tests": sys.argv[1], "out": sys.argv[2], "name": name, "is_watched": is_watched},
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 0.5}),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(name=name, storage_path=str(Path(sys.argv[2], "storage"))),
    )
    paths[name] = trainer.fit().path
print("PATHS", json.dumps(paths))
"""


@pytest.mark.slow
@needs_ray_train
def test_watches_the_workers_of_a_torch_trainer_as_one_run_and_leaves_their_weights(tmp_path: Path) -> None:
    script = tmp_path / "trainer.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-W", "ignore", str(script), str(Path(__file__).parent.parent), str(tmp_path)]
    # What else this machine does must not have Ray end the workers.
    environment = {**os.environ, "RAY_memory_monitor_refresh_ms": "0", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-3000:]
    line = next(line for line in ended.stdout.splitlines() if line.startswith("PATHS "))
    paths = json.loads(line.removeprefix("PATHS "))
    weights = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in paths}
    assert weights["one"] == weights["alone"]
    one, two = (gradiometer.open(Path(paths[name]) / "run.db") for name in ("one", "two"))
    assert one.step_count == two.step_count == 8
    assert [layer.name for layer in two.layers if layer.role != "block"] == ["0", "1", "2", "3"]
    assert one.facts["trainer"].startswith("ray ")
    # The figures of two workers are those of one on the whole batch.
    assert two.parameter_columns["gradient_rms"] == pytest.approx(one.parameter_columns["gradient_rms"], rel=1e-4)
    assert np.isfinite(two.parameter_columns["update_ratio"]).all()


@needs_ray_train
@pytest.mark.slow
def test_brings_a_run_file_to_a_storage_that_is_no_folder_of_this_machine(tmp_path: Path) -> None:
    from pyarrow import fs

    from gradiometer.integrations.ray_train import bring, free_name, is_there

    remote = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    folder = PurePosixPath("storage")
    for expected in ("run.db", "run-2.db"):
        target = free_name(folder / "run.db", lambda path: is_there(remote, path))
        assert target.name == expected
        local = tmp_path / f"local-{expected}"
        (local / "run.batches").mkdir(parents=True)
        (local / target.name).write_text(expected)
        (local / "run.batches" / "3.safetensors").write_text("kept")
        bring(local, remote, folder)
        assert (tmp_path / "storage" / expected).read_text() == expected
        assert not local.exists()
    assert (tmp_path / "storage" / "run.batches" / "3.safetensors").read_text() == "kept"


@needs_ray_train
@pytest.mark.slow
def test_keeps_a_run_file_here_where_a_storage_can_not_be_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from pyarrow import fs

    from gradiometer.integrations.ray_train import bring

    (tmp_path / "taken").write_text("a file is no folder")
    local = tmp_path / "local"
    local.mkdir()
    (local / "run.db").write_text("run")
    bring(local, fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), PurePosixPath("taken"))
    assert (local / "run.db").read_text() == "run"
    assert f"the run file stays in {local}" in capsys.readouterr().err
