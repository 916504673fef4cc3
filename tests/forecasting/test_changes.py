"""What a cure would change, told from a run alone, against what the cure itself changes."""

import torch
from torch import nn
from torch.nn import functional as F

from gradiometer.curing import Patient, parse_cure
from gradiometer.forecasting import changes_of
from gradiometer.schema import Run
from gradiometer.session import watch


class Gated(nn.Module):
    """A sigmoid beside the trunk and one on it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate, self.output = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.on_trunk, self.beside = nn.Sigmoid(), nn.Sigmoid()

    def forward(self, x):
        hidden = self.on_trunk(self.first(x))
        return self.output(hidden * self.beside(self.gate(hidden)))


def measured(model: nn.Module) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with watch(model, optimizer, overhead=1.0, dear=()) as watching:
        F.cross_entropy(model(torch.randn(16, 8)), torch.arange(16) % 4).backward()
        optimizer.step()
    return watching.run


def test_leaves_a_gate_as_it_is_like_the_cure():
    torch.manual_seed(0)
    model = Gated()
    run = measured(model)
    assert changes_of(run, "exchange_activation:tanh").activations == {"on_trunk": "tanh"}
    parse_cure("exchange_activation:tanh").apply(Patient(model, run=run))
    assert (type(model.on_trunk), type(model.beside)) == (nn.Tanh, nn.Sigmoid)


def test_foresees_the_scale_of_the_weights_that_the_cure_draws():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 300), nn.ReLU(), nn.Linear(300, 300), nn.ReLU(), nn.Linear(300, 4))
    run = measured(model)
    for scheme in ("he", "glorot", "critical"):
        weights = changes_of(run, f"redraw_weights:{scheme}").weights
        parse_cure(f"redraw_weights:{scheme}").apply(Patient(model, run=run))
        for place in (0, 2, 4):
            layer = model[place]
            sigma = float(layer.weight.detach().square().mean().sqrt()) * layer.in_features**0.5
            # 1 200 weights and more: their root mean square scatters by 2 %.
            assert abs(weights[str(place)].sigma / sigma - 1.0) < 0.06
