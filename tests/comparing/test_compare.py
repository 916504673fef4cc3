from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradiometer.comparing import compare
from gradiometer.comparing.figures import loss_change, step_time_change
from gradiometer.comparing.setup import setting_changes
from gradiometer.schema import LossSeries, Run
from gradiometer.session import watch
from gradiometer.settings import Ignored


def trained(activation: type[nn.Module], depth: int, *, rate: float = 0.1, seed: int = 0, steps: int = 80) -> Run:
    """Ten clusters in 16 dimensions, every step measured in full."""
    torch.manual_seed(seed)
    widths = [16, *[24] * depth]
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
    model = nn.Sequential(*layers, nn.Linear(24, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(10, 16, generator=generator)
    with watch(model, optimizer, overhead=1.0, dear=()) as watching:
        for _ in range(steps):
            labels = torch.randint(0, 10, (32,), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(model(centres[labels]), labels).backward()
            optimizer.step()
    return watching.run


@pytest.fixture(scope="module")
def healthy() -> Run:
    return trained(nn.ReLU, 2)


@pytest.fixture(scope="module")
def vanishing() -> Run:
    return trained(nn.Sigmoid, 9)


def series_of(values: np.ndarray, *, every: int = 1) -> LossSeries:
    steps = np.arange(len(values)) * every
    return LossSeries("train.py:1", steps, values, np.zeros(len(values), dtype=np.int64))


def run_of_losses(values: np.ndarray, **facts: object) -> Run:
    return Run(losses=(series_of(values),), facts=facts)


def falling(end: float, seed: int = 0, count: int = 400, noise: float = 0.02) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return end + (2.3 - end) * np.exp(-np.arange(count) / 40.0) + noise * generator.standard_normal(count)


def test_calls_a_run_worse_whose_verdict_is_worse_and_better_the_other_way_round(healthy, vanishing):
    there, back = compare(healthy, vanishing), compare(vanishing, healthy)
    assert (there.verdict, back.verdict) == ("worse", "better")
    assert there.reason == "the verdict was healthy and is broken"
    assert (back.before, back.after) == ("broken", "healthy")
    assert any(change.kind == "finding" and change.name == "vanishing" for change in there.changes)
    assert any(change.text == "vanishing is gone" for change in back.changes)
    assert there.changes[0].kind == "verdict"


def test_tells_layers_and_the_lowest_level(healthy, vanishing):
    changes = {(change.kind, change.direction) for change in compare(healthy, vanishing).changes}
    assert ("level", "worse") in changes
    texts = [change.text for change in compare(healthy, vanishing).changes]
    assert any(text.endswith("layers are new: 10, 11, 12 ...") for text in texts)


def test_calls_a_run_the_same_as_itself_and_tells_no_change(healthy):
    comparison = compare(healthy, healthy)
    assert comparison.verdict == "same"
    assert [change for change in comparison.changes if change.direction != "other"] == []
    assert [change.kind for change in comparison.changes] == ["loss"]


def test_leaves_out_what_the_ignore_list_names(healthy, vanishing):
    ignored = [Ignored(condition="*", layer="*", reason="a toy")]
    assert compare(healthy, vanishing, ignore=ignored).reason != "the verdict was healthy and is broken"


def test_judges_losses_by_their_noise():
    lower, same = run_of_losses(falling(0.5)), run_of_losses(falling(1.0, seed=1))
    assert [change.direction for change in loss_change(run_of_losses(falling(1.0)), lower)] == ["better"]
    assert [change.direction for change in loss_change(lower, run_of_losses(falling(1.0)))] == ["worse"]
    [change] = loss_change(run_of_losses(falling(1.0)), same)
    assert change.direction == "other"
    assert change.text.endswith("within noise")


def test_compares_losses_at_the_last_step_that_both_reached():
    long, short = run_of_losses(falling(0.1, count=2000)), run_of_losses(falling(0.1, count=60))
    [change] = loss_change(long, short)
    assert change.direction == "other"
    assert change.before == pytest.approx(change.after, abs=0.05)


def test_does_not_judge_losses_of_different_functions():
    squared = run_of_losses(falling(0.1), loss_path={"loss": "squared_error"})
    entropy = run_of_losses(falling(0.9), loss_path={"loss": "cross_entropy"})
    [change] = loss_change(squared, entropy)
    assert change.direction == "other"
    assert "another loss function" in change.text


def test_says_nothing_of_losses_too_few_to_know_their_noise():
    [change] = loss_change(run_of_losses(np.array([2.0, 1.0])), run_of_losses(np.array([2.0, 0.1])))
    assert change.direction == "other"
    assert change.text.endswith("too few losses to tell that from noise")


def test_judges_fast_trainings_whose_late_losses_are_few():
    steps = np.array([*range(200), 256, 320])
    lower, higher = (
        Run(losses=(LossSeries("train.py:1", steps, values[steps], np.zeros(len(steps), dtype=np.int64)),))
        for values in (falling(0.01, noise=0.001), falling(1.2, seed=1))
    )
    [change] = loss_change(lower, higher)
    assert change.direction == "worse"


def test_calls_runs_not_comparable_of_which_too_little_was_seen():
    assert compare(Run(), run_of_losses(np.array([2.0]))).verdict == "not comparable"


def test_tells_settings_that_differ_and_only_those():
    sgd = {"optimizers": [{"kind": "SGD", "settings": {"lr": 0.1, "momentum": 0.0}}], "seed": 1, "torch": "2.6"}
    adam = {"optimizers": [{"kind": "Adam", "settings": {"lr": 0.1}}], "seed": 1, "torch": "2.7"}
    texts = [change.text for change in setting_changes(Run(facts=sgd), Run(facts=adam))]
    assert texts == ["torch: 2.6, now 2.7", "optimizer: SGD, now Adam", "optimizer momentum: 0.0, now none"]


def test_reads_the_settings_of_older_run_files():
    older = {"optimizer": "SGD", "optimizer_settings": {"lr": 0.1}}
    newer = {"optimizers": [{"kind": "SGD", "settings": {"lr": 0.2}}]}
    assert [c.text for c in setting_changes(Run(facts=older), Run(facts=newer))] == ["optimizer lr: 0.1, now 0.2"]


@pytest.mark.parametrize(("factor", "count"), [(1.1, 0), (2.0, 1), (0.5, 1)])
def test_tells_the_time_of_a_step_where_it_changed_by_a_quarter(factor, count):
    def run_of(seconds: float) -> Run:
        return Run(step_columns={"step_seconds": np.full(9, seconds), "measuring_seconds": np.zeros(9)})

    assert len(step_time_change(run_of(0.01), run_of(0.01 * factor))) == count


def test_tells_that_a_layer_is_gone(healthy):
    fewer = replace(healthy, layers=healthy.layers[:-1])
    kept = {name: column[:, :-1] for name, column in healthy.layer_columns.items()}
    texts = [change.text for change in compare(healthy, replace(fewer, layer_columns=kept)).changes]
    assert "1 layer is gone: 4" in texts
