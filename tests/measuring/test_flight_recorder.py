"""gradiometer, where its flight recorder runs along ..."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from gradiometer.measuring.kept_batches import is_same, read_batch
from gradiometer.measuring.kept_weights import differing, moment_of, write_moment
from gradiometer.recording.keeping import Bounds, Keeping, batches_folder, kept_files, weights_folder
from gradiometer.schema import Run
from gradiometer.session import Session, Watch

BAD_STEP = 21


def trained(file: Path | None, keeping: Keeping | None, spoil, *, steps: int = 40) -> tuple[Run, dict[int, Tensor]]:
    """Train a small network; `spoil` changes batch and loss factor of each step. Gives the run and the batches."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    session = Session(file, 0.2, keeping=keeping, watches_every_step=True)
    batches = {}
    with Watch(model, (optimizer,), session):
        for step in range(steps):
            inputs, targets = torch.randn(16, 6), torch.randn(16, 2)
            factor = spoil(step, inputs)
            batches[step] = inputs.clone()
            optimizer.zero_grad()
            (factor * (model(inputs) - targets).square().mean()).backward()
            optimizer.step()
    return session.run, batches


def poison(step: int, inputs: Tensor) -> float:
    if step == BAD_STEP:
        inputs[4, 1] = float("nan")
    return 1.0


def enlarge(step: int, inputs: Tensor) -> float:
    return 100.0 if step == 30 else 1.0


def test_keeps_the_batch_in_which_the_loss_became_no_number(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    run, batches = trained(file, Keeping(Bounds(4)), poison)
    events = [(event.step, event.kind) for event in run.events]
    assert events == [(BAD_STEP, "non_finite")]
    kept = kept_files(batches_folder(file))
    assert list(kept) == [BAD_STEP]
    tensors, header = read_batch(kept[BAD_STEP])
    assert is_same(tensors["batch.0.0"], batches[BAD_STEP])
    assert is_same(tensors["batch.0.0"][:0], tensors["beside.targets"][:0, :1].expand(0, 6))
    assert (header["step"], header["kind"], header["is_overwritten"]) == (BAD_STEP, "non_finite", [False])
    assert header["observations"][-1]["step"] == BAD_STEP
    assert len(header["python_state_after"][1]) == 625


def test_keeps_the_random_state_that_the_step_began_with(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    trained(file, Keeping(Bounds(4)), poison)
    tensors, _ = read_batch(kept_files(batches_folder(file))[BAD_STEP])
    states: list[Tensor] = []

    def remember(step: int, inputs: Tensor) -> float:
        states.append(torch.get_rng_state())
        return 1.0

    trained(None, None, remember)
    assert torch.equal(tensors["random.0.torch"], states[BAD_STEP])


def test_keeps_no_code_in_a_batch(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    trained(file, Keeping(Bounds(4)), poison)
    content = kept_files(batches_folder(file))[BAD_STEP].read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert all(isinstance(entry, dict) for entry in header.values())


def test_measures_the_next_steps_in_full(tmp_path: Path) -> None:
    run, _ = trained(tmp_path / "run.db", Keeping(Bounds(4)), poison)
    assert {BAD_STEP + 1, BAD_STEP + 2, BAD_STEP + 3} <= set(run.snapshot_steps.tolist())


def test_tells_of_a_jump(tmp_path: Path) -> None:
    run, _ = trained(tmp_path / "run.db", Keeping(Bounds(4)), enlarge)
    (event,) = run.events
    assert (event.step, event.kind) == (30, "jump")
    assert "the loss jumped to" in event.text
    assert event.text.endswith("its batch is kept in run.batches")


@pytest.mark.parametrize("keeping", [None, Keeping(), Keeping(Bounds(0))])
def test_keeps_nothing_unless_asked(tmp_path: Path, keeping: Keeping | None) -> None:
    trained(tmp_path / "run.db", keeping, poison)
    assert [path.name for path in tmp_path.iterdir()] == ["run.db"]


def test_says_why_a_batch_is_not_kept(tmp_path: Path) -> None:
    run, _ = trained(tmp_path / "run.db", Keeping(Bounds(4, 1000)), poison)
    (event,) = run.events
    assert "its batch is not kept" in event.text
    assert not batches_folder(tmp_path / "run.db").exists()


def test_tells_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    run, _ = trained(file, Keeping(Bounds(4)), poison)
    facts = run.facts["flight_recorder"]
    assert facts["kept_batch_count"] == 1
    assert facts["kept_batch_bytes"] == kept_files(batches_folder(file))[BAD_STEP].stat().st_size
    assert 0 < facts["memory_bytes"] < 100_000


def test_stores_a_digest_of_some_batches() -> None:
    first, _ = trained(None, Keeping(), lambda step, inputs: 1.0)
    second, _ = trained(None, Keeping(), lambda step, inputs: 1.0)
    other, _ = trained(None, Keeping(), lambda step, inputs: 1.0 + 0 * inputs.mul_(2.0).sum().item())
    shared = first.fingerprints.keys() & second.fingerprints.keys() & other.fingerprints.keys()
    assert len(shared) >= 4
    assert all(first.fingerprints[step] == second.fingerprints[step] for step in shared)
    assert all(first.fingerprints[step] != other.fingerprints[step] for step in shared)


def test_raises_no_alarm_for_what_a_gradient_scaler_leaves_out() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    session = Session(None, 1.0)
    with Watch(model, (optimizer,), session):
        for _ in range(6):
            optimizer.zero_grad()
            loss = 4.0 * model(torch.randn(8, 4)).square().mean()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    run = session.run
    assert run.step_columns["is_skipped"][0] == 1.0
    assert [event for event in run.events if event.kind in {"jump", "non_finite"}] == []


def test_trains_to_the_same_weights_to_the_bit(tmp_path: Path) -> None:
    weights = []
    for keeping in (None, Keeping(Bounds(4), Bounds(2))):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(8, 1))
        optimizer = torch.optim.Adam(model.parameters())
        session = Session(tmp_path / f"{keeping is None}.db", 0.3, keeping=keeping)
        with Watch(model, (optimizer,), session):
            for step in range(80):
                optimizer.zero_grad()
                ((1e6 if step == 60 else 1.0) * model(torch.randn(8, 4)).square().mean()).backward()
                optimizer.step()
        weights.append(model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert list(kept_files(weights_folder(tmp_path / "False.db"))) == [64]


def test_tells_weights_apart_to_the_bit(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    path = tmp_path / "step-00000001.safetensors"
    write_moment(moment_of({"": model}, [optimizer]), path)
    assert differing(path, moment_of({"": model}, [optimizer])) == []
    with torch.no_grad():
        model[1].running_mean.add_(1e-7)
        optimizer.state[model[0].bias]["exp_avg"].neg_()
    torch.rand(1)
    assert differing(path, moment_of({"": model}, [optimizer])) == [
        "buffer 1.running_mean",
        "optimizer 0 1 exp_avg",
        "random numbers",
    ]


def test_keeps_the_indices_of_the_examples_where_a_loader_reveals_them(tmp_path: Path) -> None:
    file = tmp_path / "run.db"
    inputs = torch.randn(64, 4)
    inputs[37] = float("nan")
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    session = Session(file, 0.5, keeping=Keeping(Bounds(4)), watches_every_step=True)
    with Watch(model, (optimizer,), session):
        for batch, _ in DataLoader(TensorDataset(inputs, inputs), batch_size=8, shuffle=True):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    (path,) = kept_files(batches_folder(file)).values()
    tensors, header = read_batch(path)
    assert 37 in header["dataset_indices"]
    assert is_same(tensors["batch.0.0"], inputs[header["dataset_indices"]])


def test_keeps_no_weights_that_are_lost(tmp_path: Path) -> None:
    file = tmp_path / "run.db"

    def poison_late(step: int, inputs: Tensor) -> float:
        return float("nan") if step == 100 else 1.0

    trained(file, Keeping(weights=Bounds(2)), poison_late, steps=400)
    assert list(kept_files(weights_folder(file))) == [64]
