"""What findings say where networks part into several ways, where data are no numbers, and where little was seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gradiometer
from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.dead import find_dead
from gradiometer.diagnosing.diverging import find_diverging
from gradiometer.diagnosing.learned_well import newest_accuracy
from gradiometer.diagnosing.loss_motion import LossMotion
from gradiometer.diagnosing.non_finite import find_non_finite
from gradiometer.diagnosing.saturated import find_saturated
from gradiometer.diagnosing.stalled import find_stalled
from gradiometer.diagnosing.stuck import find_stuck
from gradiometer.diagnosing.thrashing import with_rate
from gradiometer.schema import Cause, Event, Run


def watched(model: nn.Module, loss_of, *, steps: int, rate: float = 0.05) -> Run:
    """A short training by plain descent, every step measured in full."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for step in range(steps):
            loss = loss_of(model, step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return watching.run


class Heads(nn.Module):
    """A body whose output goes into a mean and into a variance that is zero for half of the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 16), nn.Tanh())
        self.mean = nn.Linear(16, 1)
        self.spread = nn.Sequential(nn.Linear(16, 1), nn.ReLU())

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(inputs)
        return self.mean(hidden), self.spread(hidden)


def test_names_the_head_that_a_loss_is_made_of_and_not_where_the_heads_part() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(32, 4)

    def loss_of(model: nn.Module, step: int) -> torch.Tensor:
        mean, variance = model(inputs)
        return (torch.log(variance) + (inputs[:, :1] - mean) ** 2 / variance).mean()

    [finding] = find_non_finite(watched(Heads(), loss_of, steps=4))
    assert finding.layers == ("spread.1",)
    assert "The loss is not finite" in finding.summary


class Halves(nn.Module):
    """Two ways side by side, which meet again before the output."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.answer = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 6)
        self.first = nn.Linear(6, 6)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first(inputs)
        return self.answer(torch.tanh(self.left(hidden)) + 0.1 * self.right(hidden)) + 0.01 * hidden


def test_names_the_last_layer_before_a_loss_that_does_not_match_it() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(32, 6)
    targets = (inputs > 0.5).float()

    def loss_of(model: nn.Module, step: int) -> torch.Tensor:
        scores = torch.sigmoid(model(inputs))
        return nn.functional.binary_cross_entropy_with_logits(scores, targets) + 1e-4 * model.left.weight.square().sum()

    finding = diagnose(watched(Halves(), loss_of, steps=20)).findings[0]
    assert (finding.condition, finding.layers) == ("mismatched_loss", ("answer",))


def test_offers_no_cure_for_data_that_are_not_numbers() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(16, 4)
    inputs[3, 1] = float("nan")
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    run = watched(model, lambda model, step: model(inputs).square().mean(), steps=3)
    finding = diagnose(run).findings[0]
    assert (finding.condition, finding.cures) == ("non_finite", ())
    assert finding.summary.startswith("The network is given NaN or infinity at step 0")
    assert "what it was given is finite" not in finding.summary
    assert finding.evidence[0].text == "first seen at step 0, in the forward pass"


def test_tells_a_turned_sign_also_where_the_loss_soon_overflows() -> None:
    torch.manual_seed(0)
    inputs, classes = torch.randn(32, 4), torch.randint(0, 3, (32,))
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    run = watched(model, lambda model, step: -nn.functional.cross_entropy(model(inputs), classes), steps=28, rate=30.0)
    [finding] = find_diverging(run)
    assert run.loss is not None
    assert run.loss.nonfinite_counts.any()
    assert finding.summary.startswith("The sign of the loss is turned")


class Compared(torch.autograd.Function):
    """The sign of weights, whose gradient is let through nowhere."""

    @staticmethod
    def forward(context, weights: torch.Tensor) -> torch.Tensor:
        return weights.sign() * weights.abs().mean()

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(gradient)


class Compares(nn.Linear):
    """A linear layer of signs."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs, Compared.apply(self.weight), self.bias)


def test_raises_no_learning_rate_where_weights_get_no_gradient_at_all() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Compares(6, 12), nn.Tanh(), Compares(12, 12), nn.Tanh(), Compares(12, 3))
    inputs = torch.randn(256, 6)
    classes = (inputs @ torch.randn(6, 3)).argmax(1)
    run = watched(model, lambda model, step: nn.functional.cross_entropy(model(inputs), classes), steps=80, rate=0.01)
    [finding] = find_stalled(run, least_steps=60)
    assert "do not move at all, which no learning rate changes" in finding.summary
    assert not [cure for cure in finding.cures if "learning_rate" in cure]


def test_tells_the_newest_accuracy_and_its_step_and_none_of_what_follows_a_nan() -> None:
    run = Run(
        snapshot_steps=np.array([0, 1, 2, 64, 512]),
        snapshot_columns={"batch_accuracy": np.array([0.1, 0.2, 0.3, 0.9, 0.1])},
    )
    assert newest_accuracy(run, LossMotion("falling")) == (512, 0.1)
    assert newest_accuracy(run, LossMotion("unseen", nonfinite_step=100)) == (64, 0.9)
    assert newest_accuracy(run, LossMotion("unseen", nonfinite_step=0)) is None
    assert LossMotion("unseen", nonfinite_step=1).text == "the loss is not finite from step 1 on"


def test_gives_no_pace_to_weights_that_do_not_move() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(32, 6)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 1))
    run = watched(model, lambda model, step: model(inputs).square().mean(), steps=16, rate=1e-30)
    [finding] = find_stuck(run)
    assert finding.summary.startswith("The weights do not move: not even the last digit changes")
    assert [evidence.text for evidence in finding.evidence][0].endswith("do not move at all")
    assert finding.prognosis == "The weights stay as they are, however long the training."


def test_says_of_a_loss_that_goes_nowhere_that_all_weights_are_frozen() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    for parameter in (*model[0].parameters(), model[2].weight):
        parameter.requires_grad = False

    def loss_of(model: nn.Module, step: int) -> torch.Tensor:
        return nn.functional.cross_entropy(model(torch.randn(16, 6)), torch.randint(0, 3, (16,)))

    [finding] = find_stalled(watched(model, loss_of, steps=80, rate=0.001), least_steps=60)
    assert "all weights are frozen (requires_grad is False for 3 of 4 parameters)" in finding.summary
    assert finding.cures == ()


@pytest.fixture(scope="module")
def sound_run() -> Run:
    """Twelve steps of a sound network, whose loss differs from batch to batch by more than it falls."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 1))

    def loss_of(model: nn.Module, step: int) -> torch.Tensor:
        inputs = torch.randn(8, 4)
        return (model(inputs) - inputs[:, :1]).square().mean()

    return watched(model, loss_of, steps=12, rate=0.01)


def test_says_of_a_healthy_run_that_it_is_too_early_to_tell_whether_it_learns(sound_run) -> None:
    diagnosis = diagnose(sound_run)
    assert diagnosis.verdict == "healthy"
    assert diagnosis.reason.startswith("it is too early to tell whether it learns: the loss went from ")


def test_calls_no_run_healthy_whose_measuring_ended_amid_the_training(sound_run) -> None:
    for text, why in (
        ("Traceback (most recent call last):\n  ...\nKeyError: 'a'\n", "a fault of gradiometer's own"),
        ("Recording stopped: the disk is full. Training goes on.", "Recording stopped: the disk is full."),
    ):
        diagnosis = diagnose(replace(sound_run, events=(Event(7, "fault", text),)))
        assert diagnosis.verdict == "unknown"
        assert diagnosis.reason.startswith("nothing was found up to step 7, and what came after was not seen")
        assert why in diagnosis.reason


def test_counts_no_unit_as_dead_that_only_lies_before_a_dead_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    nn.init.constant_(model[2].bias, -20.0)
    inputs, classes = torch.randn(64, 6), torch.randint(0, 3, (64,))
    run = watched(model, lambda model, step: nn.functional.cross_entropy(model(inputs), classes), steps=10)
    [finding] = find_dead(run)
    assert run.layer_columns["dead_share"][-1, run.layer_index("1")] < 0.5
    assert finding.layers == ("3",)


def test_gives_no_share_to_a_rate_that_was_lower_when_its_steps_were_measured() -> None:
    risen = with_rate([Cause("learning_rate", 22.1, ""), Cause("gradient", 18.3, "")], 219.0)
    steady = with_rate([Cause("learning_rate", 46.8, "")], 219.0)
    assert [(cause.name, cause.share_db) for cause in risen] == [("learning_rate", None), ("gradient", 18.3)]
    assert steady[0].share_db == 46.8


def test_speaks_of_one_saturated_layer_in_the_singular() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
    inputs = 300.0 * torch.randn(64, 4)
    run = watched(model, lambda model, step: model(inputs).square().mean(), steps=6, rate=1e-4)
    [finding] = find_saturated(run)
    assert finding.summary.startswith("The tanh of layer 1 works where it is flat: ")
    assert "1 layer is saturated" in [evidence.text for evidence in finding.evidence]


def test_says_that_a_script_failed_before_it_trained() -> None:
    diagnosis = diagnose(Run(facts={"status": "failed"}))
    assert diagnosis.verdict == "unknown"
    assert diagnosis.reason == "the script failed before its first step, so nothing was measured"
