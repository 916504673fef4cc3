"""Full steps whose numbers arrive later are recorded as those whose numbers are there at once."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradiometer.measuring.copying_behind import CopyBehind
from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.measuring.settling import Settling, any_on_gpu
from gradiometer.schema import Run
from gradiometer.session import Watch, watch


class Slow(CopyBehind):
    """Numbers that have arrived when they were asked for the third time, as on a device that is behind."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        super().__init__([tensor.detach().clone() for tensor in tensors])
        self.asked = 0

    @property
    def is_there(self) -> bool:
        self.asked += 1
        return self.asked >= 3


def train(device: str = "cpu", steps: int = 9, settling: Settling | None = None) -> tuple[Watch, list[int]]:
    """Watch a small training in full; also give how many snapshots were there after every step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    batches = torch.randn(steps, 4, 8).to(device)
    watching = watch(model, optimizer, overhead=1.0, dear=())
    if settling is not None:
        watching.session.probe.full_step.settling = settling
    newest = watching.session.probe.full_step.latest
    seen = []
    with watching:
        for batch in batches:
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1, foreach=False)
            optimizer.step()
            seen.append(-1 if newest.snapshot is None else newest.snapshot.step)
    return watching, seen


def figures(run: Run) -> dict[str, list[float]]:
    """All of a run's figures but for times, nan as a number of its own."""
    columns = {**run.snapshot_columns, **run.layer_columns, **run.parameter_columns, **run.step_columns}
    columns |= {"steps": run.steps, "snapshots": run.snapshot_steps, "loss": run.losses[0].values}
    return {
        name: np.nan_to_num(np.asarray(column, dtype=np.float64), nan=-7.5).ravel().tolist()
        for name, column in columns.items()
        if not name.endswith("seconds")
    }


def test_a_step_is_finished_when_its_numbers_have_arrived_and_says_the_same() -> None:
    at_once, seen_at_once = train()
    later, seen_later = train(settling=Settling(Slow, lambda tensors: True))
    assert seen_at_once == list(range(9))
    # The oldest is asked at the end of every step, and the one after it as soon as that is finished.
    assert seen_later == [-1, -1, -1, 0, 0, 1, 1, 2, 2]
    expected, found = figures(at_once.run), figures(later.run)
    assert len(expected["steps"]) == len(expected["snapshots"]) == 9
    assert expected == found


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.memory = nn.Embedding(9, 6), nn.LSTM(6, 5, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(self.words(x))[0][:, -1])


def take_turns(settling: Settling) -> Run:
    """A training in which every dear measurement has two turns."""
    torch.manual_seed(0)
    model, steps = Tagger(), 1 + 2 * len(DEAR_MEASUREMENTS)
    optimizer = torch.optim.Adam(model.parameters())
    watching = watch(model, optimizer, overhead=1.0)
    watching.session.probe.full_step.settling = settling
    with watching:
        for batch in torch.randint(9, (steps, 12, 4)):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
    assert watching.run.events == ()
    return watching.run


def test_what_dear_measurements_find_arrives_later_and_says_the_same() -> None:
    at_once, later = take_turns(Settling()), take_turns(Settling(Slow, lambda tensors: True))
    assert len({turn.measurement for turn in later.turns.values()}) == len(DEAR_MEASUREMENTS)
    for name in ("histograms", "fades", "examples", "unit_marks"):
        assert getattr(later, name)
        assert getattr(later, name) == getattr(at_once, name)
    assert figures(later) == figures(at_once)
    whose = [
        [(step, turn.measurement, turn.not_measured) for step, turn in run.turns.items()] for run in (at_once, later)
    ]
    assert whose[0] == whose[1]


def test_numbers_of_the_cpu_are_not_waited_for() -> None:
    assert not any_on_gpu([torch.zeros(()), torch.zeros((), dtype=torch.float64)])
    watching, seen = train()
    assert seen == list(range(9))
    assert not watching.session.probe.guard.is_broken


@pytest.mark.gpu
def test_a_whole_watched_training_waits_for_nothing_on_a_gpu() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 10)).cuda()
    optimizer = torch.optim.Adam(model.parameters())
    batches = torch.randn(40, 32, 64).cuda()
    watching = watch(model, optimizer, overhead=1.0, dear=())
    with watching:
        for number, batch in enumerate(batches):
            if number == 3:
                # Kernels are compiled, and what is sent once is sent.
                torch.cuda.synchronize()
                torch.cuda.set_sync_debug_mode("error")
            try:
                optimizer.zero_grad()
                model(batch).square().mean().backward()
                optimizer.step()
            except BaseException:
                torch.cuda.set_sync_debug_mode("default")
                raise
        torch.cuda.set_sync_debug_mode("default")
    run = watching.run
    assert not watching.session.probe.guard.is_broken, [event.text for event in run.events]
    assert list(run.snapshot_steps) == list(range(40))


@pytest.mark.gpu
def test_a_training_on_a_gpu_is_recorded_as_on_the_cpu() -> None:
    cpu, _ = train()
    gpu, _ = train("cuda")
    assert torch.as_tensor(gpu.run.gain_db).allclose(torch.as_tensor(cpu.run.gain_db), atol=1e-3, equal_nan=True)
