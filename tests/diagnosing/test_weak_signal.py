"""A softmax between two layers, and the softmaxes that belong where they are."""

import torch
from specimens import adam, descent, make_clusters, train
from torch import Tensor, nn

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.weak_signal import softmax_between, waiting_share
from gradiometer.schema import Run


def stacked(between: nn.Module, last: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(16, 24), between, nn.Dropout(0.1), nn.Linear(24, 10)]
    return nn.Sequential(*layers, *([] if last is None else [last]))


class Attention(nn.Module):
    """One head of attention over eight tokens, its softmax a module, the width as many as the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(2, 8), nn.Linear(2, 8), nn.Linear(2, 8)
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Linear(8, 10)

    def forward(self, points: Tensor) -> Tensor:
        tokens = points.view(-1, 8, 2)
        value = self.value(tokens)
        shares = self.softmax(self.query(tokens) @ self.key(tokens).transpose(1, 2))
        return self.out(shares @ value).mean(dim=1)


def test_finds_a_softmax_between_two_layers_and_names_it():
    run = train(stacked(nn.Softmax(dim=1)), descent(0.1), steps=320)
    finding = diagnose(run).findings[0]
    assert (finding.condition, finding.cause.name, finding.layers) == ("vanishing", "activation_slope", ("1",))
    assert finding.severity in {"warning", "critical"}
    assert finding.cause.share_db < -15.0


def test_finds_no_softmax_between_layers_where_it_ends_the_network_or_weighs_what_is_attended_to():
    assert softmax_between(train(stacked(nn.ReLU(), nn.LogSoftmax(dim=1)), adam(1e-2), steps=4)) == []
    torch.manual_seed(0)
    assert softmax_between(train(Attention(), adam(1e-2), steps=4)) == []


def test_finds_nothing_where_another_activation_stands_in_its_place():
    diagnosis = diagnose(train(stacked(nn.ReLU()), descent(0.1), steps=320))
    assert diagnosis.verdict == "healthy", diagnosis.findings


def test_counts_how_long_a_loss_waits_at_a_constant_guess():
    torch.manual_seed(0)
    run = train(stacked(nn.ReLU()), adam(1e-6), steps=60, data=make_clusters())
    assert waiting_share(run) == 1.0
    assert waiting_share(Run()) == 0.0
    torch.manual_seed(0)
    assert waiting_share(train(stacked(nn.ReLU()), adam(3e-2), steps=60)) < 0.5
