"""Hugging Face `Trainer`: the real one on a tiny GPT-2 of random weights, with the callback and without."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gradiometer
from gradiometer.errors import RunFileError
from integrations.small_nets import same_weights

# Importing the trainer alone takes five seconds; what it shares with others `test_accelerate` tests quickly.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _passes_over_what_transformers_warns_of() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tiny_model() -> Any:
    """A GPT-2 of two blocks, the same weights each time."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    return GPT2LMHeadModel(GPT2Config(vocab_size=31, n_positions=16, n_embd=16, n_layer=2, n_head=2))


def sentences() -> list[dict[str, torch.Tensor]]:
    """Rows of token numbers, the same each time."""
    rows = torch.randint(0, 31, (32, 12), generator=torch.Generator().manual_seed(5))
    return [{"input_ids": row, "labels": row} for row in rows]


def trained(folder: Path, callback: Any = None, resume: str | None = None, **options: Any) -> tuple[Any, list[float]]:
    """A model after its training, and the losses that the trainer logged."""
    from transformers import Trainer, TrainingArguments

    settings = {
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "max_grad_norm": 0.25,
        "max_steps": 8,
        "per_device_train_batch_size": 4,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
    }
    arguments = TrainingArguments(output_dir=str(folder), **{**settings, **options})
    callbacks = [] if callback is None else [callback]
    trainer = Trainer(tiny_model(), arguments, train_dataset=sentences(), callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return trainer.model, [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize(
    ("accumulated", "precision"),
    [
        (1, "float32"),
        (2, "float32"),
        (1, "bf16"),
    ],
)
def test_leaves_every_weight_of_a_training_as_it_would_be_and_tells_its_losses(
    tmp_path: Path, accumulated: int, precision: str
) -> None:
    from gradiometer.integrations.transformers import GradiometerCallback

    options = {"gradient_accumulation_steps": accumulated, "bf16": precision == "bf16"}
    callback = GradiometerCallback(tmp_path / "run.db", overhead=1.0, is_quiet=True)
    watched, logged = trained(tmp_path / "watched", callback, **options)
    assert same_weights(watched, trained(tmp_path / "alone", **options)[0])
    run = gradiometer.open(tmp_path / "run.db")
    assert run.step_count == len(logged) == 8
    assert run.loss is not None
    # The trainer divides by the number of accumulated batches before it calls backward, and logs its sum.
    assert run.loss.values * accumulated == pytest.approx(logged, abs=1e-4)
    # PyTorch's attention drops out by itself.
    assert {name.rpartition(".")[2] for name, _ in run.coverage.unseen} <= {"attn_dropout"}
    assert "transformer.h.1.mlp.c_proj" in [layer.name for layer in run.layers]
    assert run.facts["trainer"].startswith("transformers ")
    norms = run.step_columns["total_norm"], run.step_columns["clipped_total_norm"]
    assert (norms[0] > 0.25).any()
    assert norms[1] == pytest.approx(np.minimum(norms[0], 0.25), rel=1e-3)


def test_records_a_resumed_training_as_a_run_of_its_own_that_says_where_it_began(tmp_path: Path) -> None:
    from gradiometer.integrations.transformers import GradiometerCallback

    callback = GradiometerCallback(is_quiet=True, overhead=1.0)
    whole, logged = trained(tmp_path, callback, save_strategy="steps", save_steps=5)
    watched, _ = trained(tmp_path, callback, resume=str(tmp_path / "checkpoint-5"))
    assert same_weights(watched, whole)
    assert callback.run.facts["first_trainer_step"] == 5
    assert callback.run.step_count == 3
    assert callback.run.loss is not None
    assert callback.run.loss.values == pytest.approx(logged[5:], abs=1e-4)


def test_closes_the_run_of_a_training_that_fails_when_it_is_told_or_when_the_next_begins(tmp_path: Path) -> None:
    from transformers import TrainerCallback

    from gradiometer.integrations.transformers import GradiometerCallback

    class Failing(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 3:
                raise ZeroDivisionError("amid the training")

    class Both(GradiometerCallback, Failing):
        pass

    callback = Both(tmp_path / "run.db", is_quiet=True)
    with pytest.raises(ZeroDivisionError) as failure:
        trained(tmp_path, callback)
    callback.stop(failure.value)
    run = gradiometer.open(tmp_path / "run.db")
    assert (run.step_count, run.facts["status"]) == (3, "failed")
    with pytest.raises(RunFileError, match=r"run\.db"):
        trained(tmp_path, callback)
    assert not torch.nn.modules.module._global_forward_pre_hooks


def test_closes_the_run_of_a_program_that_a_failed_training_ends(tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(
        """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from transformers import TrainerCallback
from gradiometer.integrations.transformers import GradiometerCallback
from integrations.test_transformers_trainer import trained

class Failing(GradiometerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise ZeroDivisionError("amid the training")

trained(Path("out"), Failing("run.db"))
"""
    )
    command = [sys.executable, "-W", "ignore", str(script), str(Path(__file__).parent.parent)]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "ZeroDivisionError" in ended.stderr
    run = gradiometer.open(tmp_path / "run.db")
    assert (run.step_count, run.facts["status"]) == (3, "failed")
    assert run.events[-1].text == "ZeroDivisionError: amid the training"
