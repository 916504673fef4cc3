"""Every cure, applied by itself, makes a network that has its fault better in paired trials."""

from pathlib import Path

import pytest

from curing.specimen_scripts import SCRIPTS
from curing.trials.trial_material import runner_for, spec_for
from gradiometer.curing import CURES, parse_cure
from gradiometer.curing.trials.pairing import paired
from gradiometer.curing.trials.preludes import gather
from gradiometer.curing.trials.verdict import Pair, compare

SPECIMEN = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
layers = [nn.Linear(8, 32), nn.{activation}()]
for _ in range({depth} - 1):
    layers += [nn.Linear(32, 32), nn.{activation}()]
model = nn.Sequential(*layers, nn.Linear(32, 1))
with torch.no_grad():
    for layer in model[:-1]:
        if isinstance(layer, nn.Linear):
            layer.weight.mul_({scale})
optimizer = torch.optim.SGD(model.parameters(), lr={rate})
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""

SPECIMENS: dict[str, tuple[str, int, float, float]] = {
    "exchange_activation:tanh": ("Sigmoid", 4, 1.0, 0.3),
    "insert_activation": ("Identity", 3, 1.0, 0.3),
    "redraw_weights:critical": ("Sigmoid", 6, 1.0, 0.3),
    "redraw_weights:he": ("ReLU", 10, 1.0, 0.1),
    "redraw_weights:glorot": ("Tanh", 6, 20.0, 0.1),
    "redraw_weights:orthogonal": ("Tanh", 20, 1.0, 0.1),
    "scale_to_unit_variance": ("ReLU", 10, 1.0, 0.1),
    "insert_normalisation": ("Sigmoid", 4, 1.0, 0.3),
    "add_residual_paths": ("Tanh", 20, 1.0, 0.1),
    "add_residual_paths:plain": ("ReLU", 20, 1.0, 0.1),
    "clip_gradients:0.01": ("Tanh", 3, 1.0, 30.0),
    "clip_gradients:value=0.001": ("Tanh", 3, 1.0, 30.0),
    "clip_gradients:adaptive=0.001": ("Tanh", 3, 1.0, 30.0),
    "change_learning_rate:x1000": ("ReLU", 2, 1.0, 1e-4),
    "change_learning_rate:x0.01": ("Tanh", 3, 1.0, 30.0),
    "exchange_optimizer:adam": ("ReLU", 2, 1.0, 1e-4),
    "exchange_optimizer:momentum": ("ReLU", 2, 1.0, 0.03),
}
"""For each cure: activation, hidden layers, factor on the default weights, learning rate."""

STEPS, SEEDS = 400, (1, 2, 3, 4, 5)


def test_has_a_specimen_for_every_cure() -> None:
    assert {label.partition(":")[0] for label in (*SPECIMENS, *SCRIPTS)} == set(CURES)


def text_of(label: str) -> str:
    """The script of a specimen."""
    if label in SCRIPTS:
        return SCRIPTS[label]
    activation, depth, scale, rate = SPECIMENS[label]
    text = SPECIMEN
    for name, value in (("activation", activation), ("depth", depth), ("scale", scale), ("rate", rate)):
        text = text.replace("{" + name + "}", str(value))
    return text


@pytest.mark.slow
@pytest.mark.parametrize("label", [*SPECIMENS, *SCRIPTS])
def test_makes_its_specimen_better_by_itself(label: str, tmp_path: Path) -> None:
    runner = runner_for(spec_for(tmp_path, text_of(label), steps=STEPS), tmp_path)
    if "samples" in parse_cure(label).needs:
        assert gather(runner) == ""
    controls = runner.run([runner.trial(None, seed, "trial", STEPS) for seed in SEEDS])
    treated = runner.run([runner.trial(label, seed, "trial", STEPS) for seed in SEEDS])
    assert [reading.trial.status for reading in treated] == ["done"] * len(SEEDS), treated[0].trial.detail
    assert all(paired(one, other) for one, other in zip(controls, treated, strict=True))
    pairs = [
        Pair(one.final_loss, other.final_loss, one.start_loss) for one, other in zip(controls, treated, strict=True)
    ]
    comparison = compare(pairs)
    assert comparison.verdict == "better", (comparison, pairs)
