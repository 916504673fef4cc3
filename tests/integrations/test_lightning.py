"""PyTorch Lightning: the real trainers of both packages, with the callback and without."""

import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gradiometer
from gradiometer.errors import RunFileError
from gradiometer.integrations.lightning import GradiometerCallback
from integrations.small_nets import batches, same_weights, small_network

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
    "logger": False,
    "max_epochs": 2,
}


@pytest.fixture(autouse=True)
def _passes_over_what_lightning_warns_of() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def module_of(package: ModuleType, kind: str = "automatic") -> Any:
    """A LightningModule of a package: `automatic`, `manual` or `two` optimizers."""

    class Module(package.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = small_network()
            self.seen: list[float] = []
            self.automatic_optimization = kind == "automatic"

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor | None:
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            self.seen.append(loss.item())
            return loss if kind == "automatic" else step_by_hand(self, loss)

        def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
            F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            whole = torch.optim.Adam(self.net[0 if kind == "two" else slice(None)].parameters(), lr=0.01)
            return [whole, torch.optim.SGD(self.net[3].parameters(), lr=0.1)] if kind == "two" else whole

    return Module()


def step_by_hand(module: Any, loss: Tensor) -> None:
    """What a module does itself in manual optimization."""
    found = module.optimizers()
    optimizers = found if isinstance(found, list) else [found]
    for optimizer in optimizers:
        optimizer.zero_grad()
    module.manual_backward(loss)
    for optimizer in optimizers:
        optimizer.step()


def fitted(package: ModuleType, callback: Any = None, kind: str = "automatic", **options: Any) -> Any:
    """A module after its training, with the callback or without one."""
    module = module_of(package, kind)
    torch.manual_seed(7)
    trainer = package.Trainer(**{**QUIET, **options}, callbacks=callback)
    trainer.fit(module, batches(), batches())
    return module


def package_named(name: str) -> ModuleType:
    """One of Lightning's two packages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


@pytest.fixture
def package() -> ModuleType:
    return package_named("lightning.pytorch")


CASES = {
    "accumulated": ("lightning.pytorch", "automatic", {"accumulate_grad_batches": 4, "gradient_clip_val": 0.01}),
    "bf16": ("lightning.pytorch", "automatic", {"precision": "bf16-mixed"}),
    "manual": ("lightning.pytorch", "manual", {}),
    "two optimizers": ("lightning.pytorch", "two", {}),
    "float64": ("lightning.pytorch", "automatic", {"precision": "64-true"}),
    "old name": ("pytorch_lightning", "automatic", {}),
    "old name, manual": ("pytorch_lightning", "manual", {}),
}
QUICK = {"accumulated", "two optimizers"}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in CASES]
)
def test_leaves_every_weight_of_a_fit_as_it_would_be_and_tells_its_losses(case: str) -> None:
    name, kind, options = CASES[case]
    package = package_named(name)
    callback = GradiometerCallback(overhead=1.0, is_quiet=True)
    watched = fitted(package, callback, kind, **options)
    assert same_weights(watched, fitted(package, None, kind, **options))
    accumulated = options.get("accumulate_grad_batches", 1)
    run = callback.run
    assert run.step_count == len(watched.seen) // accumulated == 16 // accumulated
    # Lightning divides by the number of accumulated batches before it calls backward.
    means = np.reshape(watched.seen, (-1, accumulated)).mean(1) / accumulated
    assert run.loss is not None
    assert run.loss.values == pytest.approx(means, rel=1e-5)
    assert [layer.name for layer in run.layers if layer.role != "block"] == ["net.0", "net.1", "net.2", "net.3"]
    assert run.coverage.seen_count == run.coverage.total_count == 4
    assert {one.name for one in run.parameters} == {f"net.{n}.{w}" for n in (0, 3) for w in ("weight", "bias")}
    assert run.facts["trainer"] == f"{name.partition('.')[0]} {package.__version__}"
    # Which optimizers make a round is known when the first steps again.
    assert np.isfinite(run.parameter_columns["update_ratio"][1 if kind == "two" else 0 :]).all()
    clipped = run.parameter_columns["clipped_gradient_rms"] < 0.5 * run.parameter_columns["gradient_rms"]
    assert clipped.all() == ("gradient_clip_val" in options)


def test_measures_a_fit_that_ends_after_one_batch_and_says_its_verdict(
    package: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = GradiometerCallback(file=tmp_path / "run.db")
    fitted(package, callback, fast_dev_run=True)
    assert gradiometer.open(tmp_path / "run.db").step_count == callback.run.step_count == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gradiometer: ")]
    assert len(said) == 1
    assert said[0].startswith(f"gradiometer: {callback.diagnose().verdict}")
    assert said[0].endswith(f"(gradiometer report {tmp_path / 'run.db'})")


def test_closes_the_run_of_a_fit_that_fails_and_leaves_no_hook(package: ModuleType) -> None:
    callback = GradiometerCallback()
    module = module_of(package)
    trainer = package.Trainer(**QUIET, callbacks=[callback])

    def fail(outputs: Any, batch: Any, index: int) -> None:
        if index == 3:
            raise ZeroDivisionError("amid the training")

    module.on_train_batch_end = fail
    with pytest.raises(ZeroDivisionError):
        trainer.fit(module, batches())
    run = callback.run
    assert (run.step_count, run.facts["status"]) == (4, "failed")
    assert run.events[-1].text == "ZeroDivisionError: amid the training"
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
    assert torch.autograd.backward.__module__ == "torch.autograd"


def test_begins_a_run_with_every_fit_and_refuses_a_file_that_is_there(package: ModuleType, tmp_path: Path) -> None:
    in_memory, in_file = GradiometerCallback(is_quiet=True), GradiometerCallback(tmp_path / "run.db", is_quiet=True)
    for _ in range(2):
        fitted(package, in_memory, max_epochs=1)
        assert in_memory.run.step_count == 8
    fitted(package, in_file, max_epochs=1)
    with pytest.raises(RunFileError, match=r"run\.db"):
        fitted(package, in_file, max_epochs=1)


def test_tells_a_trainers_loggers_the_key_numbers_of_full_steps(package: ModuleType, tmp_path: Path) -> None:
    logger = package.loggers.CSVLogger(tmp_path)
    callback = GradiometerCallback(log=True, is_quiet=True)
    fitted(package, callback, logger=logger, log_every_n_steps=1)
    rows = np.genfromtxt(Path(logger.log_dir) / "metrics.csv", delimiter=",", names=True, deletechars="")
    run = callback.run
    assert 1 < run.snapshot_count < run.step_count
    deepest = run.layer_columns["level_db"][:, run.trunk(0)[-1]]
    assert rows["gradiometer/level_at_input_db"] == pytest.approx(deepest, rel=1e-6)
    assert (rows["gradiometer/overhead_fraction"] > 0).all()


def test_is_a_callback_of_the_trainers_package_also_as_a_copy(package: ModuleType) -> None:
    callback = GradiometerCallback("run.db", 0.05, dear=("units",), log=True)
    package.Trainer(**QUIET, callbacks=callback)
    for one in (callback, pickle.loads(pickle.dumps(callback))):
        assert isinstance(one, package.Callback)
        assert isinstance(one, GradiometerCallback)
        assert one.settings == callback.settings
    with pytest.raises(RuntimeError, match="open the run file"):
        _ = callback.run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "other"), [("lightning.pytorch", "pytorch_lightning"), ("pytorch_lightning", "lightning")]
)
def test_never_imports_the_other_package(ours: str, other: str) -> None:
    program = f"""
import sys, {ours}
from gradiometer.integrations.lightning import GradiometerCallback
assert isinstance(GradiometerCallback(), sys.modules["{ours}"].Callback)
assert "{other}" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)


@pytest.mark.slow
def test_records_two_processes_as_one_run_with_the_figures_of_one_on_the_whole_batch(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        """
import os, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
import lightning.pytorch as pl
from torch.utils.data import DataLoader, TensorDataset
from gradiometer.integrations.lightning import GradiometerCallback
from integrations.small_nets import BATCH, examples
from integrations.test_lightning import QUIET, module_of

processes = int(sys.argv[2])
module = module_of(pl)
module.net[2].p = 0.0  # two processes would drop out other units than one
rank = int(os.environ.get("LOCAL_RANK", 0))  # Lightning's own sampler would shuffle
loader = DataLoader(TensorDataset(*(whole[rank::processes] for whole in examples())), batch_size=BATCH // processes)
strategy = {"strategy": "ddp" if processes > 1 else "auto", "devices": processes, "use_distributed_sampler": False}
callback = GradiometerCallback(f"run{processes}.db", overhead=1.0)
trainer = pl.Trainer(**QUIET | {"max_epochs": 1}, **strategy, callbacks=[callback])
trainer.fit(module, loader)
"""
    )
    for processes in (1, 2):
        command = [sys.executable, "-W", "ignore", str(script), str(Path(__file__).parent.parent), str(processes)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert ended.stderr.count("gradiometer: ") == 1
    one, two = (gradiometer.open(tmp_path / f"run{processes}.db") for processes in (1, 2))
    assert one.step_count == two.step_count == 8
    layers = [[layer.name for layer in run.layers if layer.role != "block"] for run in (one, two)]
    assert layers[0] == layers[1] == ["net.0", "net.1", "net.2", "net.3"]
    for column in ("gradient_rms", "update_ratio"):
        # Sums round in another order.
        assert two.parameter_columns[column] == pytest.approx(one.parameter_columns[column], rel=1e-3)
