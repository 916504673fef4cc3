"""Under a gradient scaler losses and gradients are told in true units, and skipped steps as skipped."""

import pytest
import torch
from torch import nn

import gradiometer


def train(scale: float | None, *, spoil: int | None = None) -> gradiometer.Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, growth_interval=1000, enabled=scale is not None)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for step in range(6):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            if step == spoil:
                loss = loss * float("inf")
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.2)
            scaler.step(optimizer)
            scaler.update()
    return watching.run


def test_tells_losses_and_gradients_in_true_units() -> None:
    plain, scaled = train(None), train(1024.0)
    assert scaled.losses[0].values == pytest.approx(plain.losses[0].values, rel=1e-5)
    for column in ("gradient_rms", "clipped_gradient_rms", "update_ratio"):
        assert scaled.parameter_columns[column] == pytest.approx(plain.parameter_columns[column], rel=1e-4)
    assert scaled.step_columns["total_norm"] == pytest.approx(plain.step_columns["total_norm"], rel=1e-4)


def test_counts_a_step_that_the_scaler_leaves_out_as_skipped() -> None:
    run = train(1024.0, spoil=3)
    assert run.step_count == 6
    assert run.step_columns["is_skipped"].tolist() == [0, 0, 0, 1, 0, 0]
    assert run.losses[0].nonfinite_counts.tolist() == [0, 0, 0, 1, 0, 0]


def test_tells_true_units_of_a_training_when_another_one_beside_it_has_ended() -> None:
    methods = torch.amp.GradScaler.scale, torch.amp.GradScaler.update
    ended = gradiometer.watch(nn.Linear(2, 2)).start()
    model = nn.Linear(6, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        ended.stop()
        loss = model(torch.ones(2, 6)).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert watching.run.losses[0].values.tolist() == pytest.approx([loss.item()])
    assert (torch.amp.GradScaler.scale, torch.amp.GradScaler.update) == methods
