"""The library: watch and check."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import gradiometer
from gradiometer.errors import RunFileError, SettingsError


@pytest.fixture
def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(16, 4)).square().mean().backward()
        optimizer.step()


def test_watches_between_start_and_stop_without_a_call_in_the_loop(model: nn.Sequential, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watching = gradiometer.watch(model, optimizer, file=tmp_path / "run.db")
    train(model, optimizer, 3)
    watching.start()
    train(model, optimizer, 5)
    assert watching.run.step_count == 5
    watching.stop()
    train(model, optimizer, 3)
    assert watching.run.step_count == 5
    assert gradiometer.open(tmp_path / "run.db").step_count == 5
    assert gradiometer.diagnose(gradiometer.open(tmp_path / "run.db")).verdict in {"healthy", "unknown"}


def test_keeps_a_run_in_memory_where_no_file_is_named(model: nn.Sequential) -> None:
    optimizer = torch.optim.Adam(model.parameters())
    with gradiometer.watch(model, optimizer) as watching:
        train(model, optimizer)
    assert watching.run.step_count == 5
    assert watching.run.facts["status"] == "finished"
    assert watching.run.facts["optimizer"] == "Adam"


@pytest.mark.parametrize(
    ("error", "status"), [(ZeroDivisionError("no"), "failed"), (KeyboardInterrupt(), "interrupted")], ids=repr
)
def test_a_loop_that_fails_leaves_its_run(model: nn.Sequential, error: BaseException, status: str) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watching = gradiometer.watch(model, optimizer)

    def fail_amid_training() -> None:
        with watching:
            train(model, optimizer)
            raise error

    with pytest.raises(type(error)):
        fail_amid_training()
    assert watching.run.step_count == 5
    assert watching.run.facts["status"] == status
    assert watching.run.events[-1].kind == "failed"
    assert watching.run.events[-1].text.startswith(type(error).__name__)


def test_check_leaves_model_optimizer_and_random_state_alone(model: nn.Sequential) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
    batches = [(torch.randn(8, 4), torch.randint(0, 2, (8,)))]
    state = torch.get_rng_state()
    diagnosis = gradiometer.check(model, nn.functional.cross_entropy, batches, optimizer)
    assert diagnosis.verdict in {"healthy", "at_risk", "broken", "unknown"}
    assert diagnosis.coverage.seen_count == 3
    assert torch.equal(torch.get_rng_state(), state)
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[0][key])
    assert optimizer.state_dict()["state"] == before[1]["state"]


def test_check_takes_no_more_batches_than_steps_and_keeps_the_random_state(model: nn.Sequential) -> None:
    def endless() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield torch.randn(8, 4), torch.randint(0, 2, (8,))

    state = torch.get_rng_state()
    diagnosis = gradiometer.check(model, nn.functional.cross_entropy, endless(), steps=4)
    assert torch.equal(torch.get_rng_state(), state)
    # Without an optimizer no weight moves, which is no fault.
    assert all(finding.condition != "stuck" for finding in diagnosis.findings)


def test_check_needs_a_batch(model: nn.Sequential) -> None:
    with pytest.raises(SettingsError, match="at least one batch"):
        gradiometer.check(model, nn.functional.mse_loss, [])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_refuses_a_share_that_is_none(model: nn.Sequential, share: float) -> None:
    with pytest.raises(SettingsError, match="share of the training time"):
        gradiometer.watch(model, None, overhead=share)


def test_does_not_write_over_a_file(model: nn.Sequential, tmp_path: Path) -> None:
    (tmp_path / "run.db").write_text("mine")
    with pytest.raises(RunFileError):
        gradiometer.watch(model, None, file=tmp_path / "run.db")
    assert (tmp_path / "run.db").read_text() == "mine"
