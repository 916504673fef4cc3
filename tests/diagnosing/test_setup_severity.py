"""What a fault of the set-up costs: networks that learn in spite of it, and what only looks like one."""

import pytest
import torch
from specimens import Chain, adam, descent, draw, make_clusters, train
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.schema import Finding, Run

POINTS, LABELS = make_clusters()


def found_in(run: Run, condition: str) -> Finding | None:
    return next((finding for finding in diagnose(run).findings if finding.condition == condition), None)


def stack(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*layers)


def test_finds_a_large_feature_though_the_loss_falls_under_adam():
    points = POINTS.clone()
    points[:, 0] *= 3000.0
    torch.manual_seed(0)
    finding = found_in(train(Chain(2, nn.Tanh()), adam(3e-3), steps=130, data=(points, LABELS)), "unscaled_input")
    assert finding is not None
    assert finding.severity in {"warning", "critical"}
    assert finding.layers == ("hidden.0",)


def test_leaves_the_scale_of_the_input_alone_where_the_network_learns_all_the_same():
    torch.manual_seed(0)
    run = train(Chain(2, nn.ReLU()), adam(3e-3), steps=400, data=(20.0 * POINTS, LABELS))
    assert found_in(run, "unscaled_input") is None


def shrinking(decay: float, activation: nn.Module, depth: int) -> Run:
    torch.manual_seed(0)
    model = Chain(depth, activation)
    return train(model, lambda p: torch.optim.Adam(p, lr=3e-3, weight_decay=decay), steps=320, data=(POINTS, LABELS))


@pytest.mark.slow
def test_finds_a_decay_that_keeps_the_loss_up_and_not_the_usual_one_where_there_is_no_gradient():
    strong = found_in(shrinking(0.3, nn.ReLU(), 2), "over_regularised")
    assert strong is not None
    assert strong.severity in {"warning", "critical"}
    deep = diagnose(shrinking(1e-4, nn.Sigmoid(), 7))
    assert deep.verdict in {"at_risk", "broken"}
    assert [finding.condition for finding in deep.findings if finding.condition == "over_regularised"] == []


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d])
def test_finds_a_missing_activation_behind_norms_and_dropout(norm):
    model = stack(
        nn.Linear(16, 24), norm(24), nn.Dropout(0.1), nn.Linear(24, 24), norm(24), nn.Dropout(0.1), nn.Linear(24, 2)
    )
    labels = ((POINTS[:, 0] > 0) ^ (POINTS[:, 1] > 0)).long()
    finding = found_in(train(model, adam(3e-3), steps=60, data=(POINTS, labels)), "linear")
    assert finding is not None


class Gated(nn.Module):
    """A product of two layers, which bends, beside dropout, which does not."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(16, 24), nn.Linear(16, 24)
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(24, 10)

    def forward(self, points: Tensor) -> Tensor:
        return self.output(self.dropout(self.left(points) * self.right(points)))


def test_takes_a_gate_for_an_activation():
    torch.manual_seed(0)
    assert found_in(train(Gated(), adam(3e-3), steps=60), "linear") is None


def head_alone(*, is_trained: bool) -> Run:
    """Train the last layer alone, of a network of unusual weights, or of one that was trained before."""
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), lambda weight: nn.init.normal_(weight, std=0.165))
    if is_trained:
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            F.cross_entropy(model(POINTS), LABELS).backward()
            optimizer.step()
    return train(model, lambda _: torch.optim.SGD(model.output.parameters(), lr=0.02), steps=120)


def test_knows_layers_that_were_never_trained_by_biases_of_exactly_zero():
    fresh, trained = (found_in(head_alone(is_trained=flag), "disconnected") for flag in (False, True))
    assert fresh is not None
    assert fresh.severity in {"warning", "critical"}
    assert trained is not None
    assert trained.severity == "info"


def test_says_nothing_of_ranks_in_batches_of_two():
    torch.manual_seed(0)
    model = draw(Chain(60, nn.Tanh()), nn.init.xavier_normal_)
    points, labels = POINTS[:2].repeat(320, 1), LABELS[:2].repeat(320)
    run = train(model, descent(0.005), steps=4, data=(points, labels))
    run.facts["batch_size"] = 2
    assert found_in(run, "collapsed") is None


@pytest.mark.slow
def test_tells_a_layer_that_was_saturated_before_the_loss_overflowed():
    torch.manual_seed(0)
    model = draw(Chain(3, nn.Tanh()), nn.init.xavier_normal_)
    nn.init.constant_(model.hidden[1].bias, 12.0)
    numbers = 3.0 * POINTS[:, :10]
    run = train(model, descent(2.0, momentum=0.9), steps=320, data=(POINTS, numbers), loss_fn=F.mse_loss)
    assert run.loss is not None
    assert run.loss.nonfinite_counts.any()
    finding = found_in(run, "saturated")
    assert finding is not None
    assert finding.layers[0] == "activations.1"
    assert finding.step == 0
