"""What is read of a loss whose root reshapes its output, exchanges its axes, weighs its sides or divides it."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradiometer
from gradiometer.schema import Run
from measuring.loss_material import CLASSES, EXAMPLES, FEATURES
from measuring.networks import seeded


def test_reads_the_targets_where_the_root_itself_reshapes_its_output() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(FEATURES, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x).squeeze(-1)

    with seeded(5):
        model, inputs, targets = Flat(), torch.randn(EXAMPLES, FEATURES), torch.randn(EXAMPLES) + 3.0
    run = watched_once(model, inputs, lambda output: (output - targets).square().mean())
    assert run.snapshot_columns["target_mean"][-1] == pytest.approx(float(targets.mean()), rel=1e-5)
    assert run.snapshot_columns["constant_loss"][-1] == pytest.approx(float(targets.var(correction=0)), rel=1e-4)


def test_tells_no_targets_where_the_axes_of_the_output_were_exchanged_before_the_loss() -> None:
    with seeded(5):
        model, inputs = nn.Linear(FEATURES, CLASSES), torch.randn(EXAMPLES, 3, FEATURES)
        targets = torch.randn(EXAMPLES, CLASSES, 3)
    run = watched_once(model, inputs, lambda output: (output.transpose(1, 2) - targets).square().mean())
    for name in ("target_mean", "target_rms", "target_greatest", "constant_loss"):
        assert np.isnan(run.snapshot_columns[name]).all()
    assert run.facts["loss_path"]["target_shape"] == [EXAMPLES, CLASSES, 3]


@pytest.mark.parametrize(("shape", "weight_count"), [((EXAMPLES, 3, 4, 8), 8), ((EXAMPLES,), EXAMPLES)])
def test_tells_no_constant_loss_where_weights_of_the_positive_side_are_not_one_of_each_column(
    shape: tuple[int, ...], weight_count: int
) -> None:
    with seeded(5):
        model, inputs = nn.Linear(2, 1), torch.randn(*shape, 2)
        targets, weights = (torch.rand(shape) < 0.5).float(), torch.rand(weight_count) + 0.5
    run = watched_once(
        model,
        inputs,
        lambda output: F.binary_cross_entropy_with_logits(output.squeeze(-1), targets, pos_weight=weights),
    )
    assert np.isnan(run.snapshot_columns["constant_loss"]).all()
    assert run.snapshot_columns["target_mean"][-1] == pytest.approx(float(targets.mean()), rel=1e-5)


def test_tells_no_constant_loss_where_the_criterion_divides() -> None:
    with seeded(5):
        model, inputs, targets = nn.Linear(FEATURES, 2), torch.randn(9, FEATURES), torch.randn(9, 2)
    run = watched_once(model, inputs, lambda output: torch.tensor(2.0) / F.mse_loss(output, targets))
    assert np.isnan(run.snapshot_columns["constant_loss"]).all()
    assert run.facts["loss_path"]["loss"] == "squared_error"


def watched_once(model: nn.Module, inputs: Tensor, loss_of: Callable[[Tensor], Tensor]) -> Run:
    """Two steps with the same batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    with gradiometer.watch(model, optimizer, overhead=1.0, dear=()) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model(inputs)).backward()
            optimizer.step()
    assert not [event for event in watching.run.events if event.kind == "fault"]
    return watching.run
