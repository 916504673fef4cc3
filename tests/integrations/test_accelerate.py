"""Accelerate: real accelerators around a small training loop, watched and not."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradiometer
from gradiometer.errors import RunFileError
from integrations.small_nets import batches, same_weights, small_network


@pytest.fixture(autouse=True)
def _forgets_the_accelerator() -> Iterator[None]:
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)


def trained(
    file: Path | None, precision: str = "no", accumulated: int = 1, *, is_compiled: bool = False
) -> tuple[nn.Module, list[float], Any]:
    """A model after its training, the losses that its loop saw, and the watch."""
    from accelerate import Accelerator

    from gradiometer.integrations.accelerate import watch

    accelerator = Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=accumulated)
    plain = small_network()
    model, optimizer, loader = accelerator.prepare(plain, torch.optim.Adam(plain.parameters(), lr=0.01), batches())
    model = torch.compile(model, backend="eager") if is_compiled else model
    losses: list[float] = []
    torch.manual_seed(7)
    watching = nullcontext() if file is None else watch(accelerator, model, optimizer, file=file, overhead=1.0)
    with watching:
        for _ in range(2):
            for inputs, classes in loader:
                with accelerator.accumulate(model):
                    loss = F.cross_entropy(model(inputs), classes)
                    accelerator.backward(loss)
                    if accelerator.sync_gradients:
                        accelerator.clip_grad_norm_(model.parameters(), 0.5)
                    optimizer.step()
                    optimizer.zero_grad()
                    losses.append(loss.item())
    return plain, losses, watching


@pytest.mark.parametrize(("precision", "accumulated"), [("no", 1), ("no", 4), ("bf16", 1)])
def test_leaves_every_weight_of_a_prepared_training_as_it_would_be(
    tmp_path: Path, precision: str, accumulated: int
) -> None:
    watched, losses, watching = trained(tmp_path / "run.db", precision, accumulated)
    assert same_weights(watched, trained(None, precision, accumulated)[0])
    run = gradiometer.open(tmp_path / "run.db")
    assert run.step_count == 16 // accumulated
    assert run.loss is not None
    # Accelerate divides by the number of accumulated batches before it calls backward.
    means = np.reshape(losses, (-1, accumulated)).mean(1) / accumulated
    assert run.loss.values == pytest.approx(means, rel=1e-5)
    assert [layer.name for layer in run.layers if layer.role != "block"] == ["0", "1", "2", "3"]
    assert run.facts["trainer"].startswith("accelerate ")
    assert run.facts["optimizer"] == "Adam"
    assert watching.diagnose().verdict == gradiometer.diagnose(run).verdict


@pytest.mark.slow
def test_measures_a_model_that_was_compiled_before_by_its_parameters_alone(tmp_path: Path) -> None:
    watched, _, watching = trained(tmp_path / "run.db", is_compiled=True)
    assert same_weights(watched, trained(None, is_compiled=True)[0])
    assert watching.run.step_count == 16
    assert not watching.run.layers
    assert "compiled" in watching.run.coverage.line
    assert np.isfinite(watching.run.parameter_columns["update_ratio"]).all()


def test_says_which_file_is_in_the_way_and_why_a_training_ended(tmp_path: Path) -> None:
    from accelerate import Accelerator

    from gradiometer.integrations.accelerate import watch

    accelerator, model = Accelerator(cpu=True), small_network()
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))

    def fail_amid_training() -> None:
        with watch(accelerator, model, [optimizer], file=tmp_path / "run.db"):
            model(torch.ones(2, 8)).sum().backward()
            optimizer.step()
            raise ZeroDivisionError("amid the training")

    with pytest.raises(ZeroDivisionError):
        fail_amid_training()
    run = gradiometer.open(tmp_path / "run.db")
    assert (run.step_count, run.facts["status"]) == (1, "failed")
    assert run.events[-1].text == "ZeroDivisionError: amid the training"
    with pytest.raises(RunFileError, match=r"run\.db"):
        watch(accelerator, model, optimizer, file=tmp_path / "run.db")
