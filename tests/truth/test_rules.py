"""gradiometer's truth benchmark evaluates the published rules: silent where nothing is wrong, loud in plain cases."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from benchmarks.truth.collecting import LAYER_NAMES, OUTPUT_NAMES, Collected, Collector
from benchmarks.truth.rules import judge_by_rules

STEPS, LAYERS = 40, 3


def quiet() -> Collected:
    """A training in which every number is what the tools call healthy."""
    layers = {name: np.full((STEPS, LAYERS), 1e-1) for name in LAYER_NAMES}
    layers |= {"weight_norm": np.linspace(1.0, 1.1, STEPS)[:, None] * np.ones(LAYERS)}
    layers |= {"update_norm": np.full((STEPS, LAYERS), 1e-3), "gradient_zeros": np.zeros((STEPS, LAYERS))}
    layers["gradient_norm"] = 0.1 + 0.01 * np.cos(np.arange(STEPS))[:, None] * np.ones(LAYERS)
    outputs = {name: np.full((STEPS, LAYERS), 0.2) for name in OUTPUT_NAMES}
    losses = np.linspace(1.0, 0.5, STEPS)
    return Collected(
        np.arange(STEPS),
        layers,
        outputs,
        ("Linear", "ReLU", "Linear"),
        np.zeros(STEPS, dtype=bool),
        losses,
        np.linspace(0.3, 0.6, STEPS),
    )


def with_layers(**columns: np.ndarray) -> Collected:
    seen = quiet()
    return replace(seen, layers=seen.layers | columns)


def test_lets_no_rule_alarm_where_all_is_well() -> None:
    assert judge_by_rules(quiet()) == {
        tool: [] for tool in ("SageMaker Debugger", "AUTOTRAINER", "DeepDiagnosis", "torchmortem", "neurolens")
    }


def test_lets_rules_alarm_on_a_gradient_that_vanishes() -> None:
    norms = np.tile([1e-9, 1e-5, 1e-1], (STEPS, 1))
    alarms = judge_by_rules(with_layers(gradient_norm=norms, gradient_mean=norms / 10.0))
    assert "VanishingGradient" in alarms["SageMaker Debugger"]
    assert "vanishing" in alarms["AUTOTRAINER"]
    assert "vanishing" in alarms["DeepDiagnosis"]
    assert {"vanishing", "stalling"} <= set(alarms["torchmortem"])


def test_lets_autotrainer_ask_for_gradients_below_its_accuracy_only() -> None:
    norms = np.tile([1e-9, 1e-5, 1e-1], (STEPS, 1))
    good = replace(with_layers(gradient_norm=norms), accuracies=np.linspace(0.3, 0.9, STEPS))
    assert judge_by_rules(good)["AUTOTRAINER"] == []


def test_lets_rules_alarm_on_numbers_that_are_not_finite() -> None:
    losses = quiet().losses.copy()
    losses[7] = np.nan
    nonfinite = np.arange(STEPS) == 7
    alarms = judge_by_rules(replace(quiet(), losses=losses, nonfinite=nonfinite))
    assert "ExplodingTensor" in alarms["SageMaker Debugger"]
    assert alarms["AUTOTRAINER"] == ["not a number"]
    assert alarms["neurolens"] == ["not a number"]


def test_lets_rules_alarm_on_steps_that_are_too_large() -> None:
    alarms = judge_by_rules(with_layers(update_norm=np.full((STEPS, LAYERS), 20.0)))
    assert "WeightUpdateRatio" in alarms["SageMaker Debugger"]
    assert all("update ratio" in alarms[tool] for tool in ("DeepDiagnosis", "torchmortem", "neurolens"))


def test_collects_what_numpy_finds_in_a_step_by_hand() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    nn.init.constant_(model[0].bias, -100.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    collector = Collector(model)
    inputs, targets = torch.randn(8, 4), torch.tensor([0, 1] * 4)
    with collector.seeing(0):
        outputs = model(inputs)
    loss = nn.functional.cross_entropy(outputs, targets)
    loss.backward()
    collector.before_step(0)
    before = torch.cat([parameter.detach().flatten() for parameter in model[2].parameters()]).numpy()
    gradient = torch.cat([parameter.grad.flatten() for parameter in model[2].parameters()]).numpy()
    optimizer.step()
    collector.after_step(0, loss, outputs, targets)
    seen = collector.finish()
    assert np.isclose(seen.layers["gradient_norm"][0, 1], np.linalg.norm(gradient))
    assert np.isclose(seen.layers["update_norm"][0, 1], 0.5 * np.linalg.norm(gradient))
    assert np.isclose(seen.layers["weight_norm"][0, 1], np.linalg.norm(before))
    assert seen.outputs["inactive"][0, 1] == 1.0
    assert seen.outputs["near_zero"][0, 1] == 1.0
    assert np.isnan(seen.outputs["inactive"][0, 0])
    assert seen.kinds == ("Linear", "ReLU", "Linear")
