from pathlib import Path

import pytest
import torch

from curing.trials.trial_material import runner_for, spec_for
from gradiometer.curing.trials.original_losses import OriginalLosses


def test_puts_losses_down_to_the_step_that_had_begun_before_them() -> None:
    losses = OriginalLosses()
    losses.collect(0)
    losses.fresh.append(torch.tensor(2.0))
    losses.collect(1)
    losses.collect(1)
    losses.fresh += [torch.tensor(1.5), torch.tensor(float("nan"))]
    losses.collect(2)
    losses.fresh.append(torch.tensor(1.0))
    rows = losses.rows()
    assert rows[:2] == [[0.0, 2.0], [1.0, 1.5]]
    assert rows[2][0] == 1.0
    assert rows[2][1] != rows[2][1]
    assert rows[3] == [2.0, 1.0]
    assert losses.fresh == []


SQUASHED = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, 0] > 0).long() + 2 * (inputs[:, 1] > 0).long()
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4), nn.Softmax(dim=1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.cross_entropy(model(inputs[picked]), targets[picked]) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""


@pytest.mark.slow  # trials in processes
def test_is_judged_in_a_trial_by_the_loss_that_the_script_would_have_had(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, SQUASHED, steps=40)
    plain = runner_for(spec, tmp_path)
    (diagnosed,) = plain.run([plain.trial(None, 1, "trial", 40)])
    runner = runner_for(spec, tmp_path / "treated", case_file=diagnosed.trial.run_file)
    (treated,) = runner.run([runner.trial("fix_loss_pairing", 1, "trial", 40)])
    assert treated.trial.status == "done", treated.trial.detail
    assert diagnosed.run is not None
    assert treated.run is not None
    rows = treated.run.facts["original_losses"]
    assert [step for step, _ in rows] == list(range(40))
    assert rows[0][1] == diagnosed.run.losses[0].values[0]
    assert treated.final_loss == pytest.approx(sum(loss for _, loss in rows[-8:]) / 8)
    assert treated.run.losses[0].values[-1] < 0.9 * rows[-1][1]
