"""gradiometer, where it follows a replay step by step ..."""

from pathlib import Path

import torch
from torch import nn

from gradiometer.launching.replay_control import ReplayControl
from gradiometer.launching.replay_plan import ReplayPlan
from gradiometer.launching.script import Target
from gradiometer.recording.keeping import Keeping
from gradiometer.session import Session


def plan_of(first_traced: int, losses: dict[int, float | None]) -> ReplayPlan:
    return ReplayPlan(
        target=Target("train.py", None),
        working_directory=None,
        seed=None,
        thread_count=None,
        first_traced=first_traced,
        last_traced=first_traced,
        is_named=True,
        losses=losses,
        fingerprints={},
        batches={},
        weights={},
    )


def followed(plan: ReplayPlan, step_count: int) -> tuple[Session, ReplayControl]:
    """Train for some steps as a replay does, and look at each."""
    session = Session(None, watches_every_step=True, keeping=Keeping())
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    control = ReplayControl(plan, session, lambda text: None)
    session.probe.watch_root(model)
    session.probe.watch_optimizer(optimizer)
    session.probe.attach()
    for _ in range(step_count):
        optimizer.zero_grad()
        model(torch.ones(4, 2)).square().mean().backward()
        optimizer.step()
        control.look()
    session.stop()
    return session, control


def test_measures_no_step_in_full_and_looks_at_every_loss(tmp_path: Path) -> None:
    session, control = followed(plan_of(5, dict.fromkeys(range(5), 1e9)), 4)
    assert session.probe.full_step.count == 0
    assert session.run.snapshot_count == 0
    assert len(session.run.losses[0].steps) == 4
    assert control.parted_step == 0


def test_traces_operations_no_more_when_it_is_closed() -> None:
    _, control = followed(plan_of(2, {}), 2)
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is not None
    control.close()
    assert torch.utils._python_dispatch._get_current_dispatch_mode() is None
    assert control.result().step == 2
