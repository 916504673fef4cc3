"""An output in the targets' scale: the steps of standardised targets, the loss in the script's units."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam, Optimizer

from curing.patients import same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.target_scale import measured_scale
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import Run
from gradiometer.session import watch

POINTS = torch.randn(64, 6, generator=torch.Generator().manual_seed(3))
SUMS = POINTS.sum(dim=1, keepdim=True) / 6**0.5
PRICES = 500 + 300 * SUMS


def network(outputs: int = 1) -> nn.Sequential:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, outputs))


def trained(
    model: nn.Module, optimizer: Optimizer, targets: Tensor, loss_of=F.mse_loss, steps: int = 30
) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(model(POINTS), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def cured_model(label: str = "scale_output_to_targets:500/300", run: Run | None = None) -> nn.Sequential:
    model = network()
    parse_cure(label).apply(Patient(model, run=run))
    return model


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_trains_as_if_the_targets_were_standardised(kind) -> None:
    cured, standard = cured_model(), network()
    losses = trained(cured, kind(cured.parameters(), lr=0.1), PRICES)
    expected = trained(standard, kind(standard.parameters(), lr=0.1), (PRICES - 500) / 300)
    for one, other in zip(cured.parameters(), standard.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert losses == pytest.approx([300**2 * loss for loss in expected], rel=1e-3)
    raw = network()
    assert not trained(raw, kind(raw.parameters(), lr=0.1), PRICES)[-1] < 10 * losses[-1]


def run_of(targets: Tensor, loss_of=F.mse_loss, unit: nn.Module | None = None, steps: int = 8) -> Run:
    model = network(targets.shape[-1] if targets.is_floating_point() else 3)
    if unit is not None:
        model.append(unit)
    optimizer = SGD(model.parameters(), lr=1e-9)
    with watch(model, optimizer, overhead=1.0) as watching:
        trained(model, optimizer, targets, loss_of, steps)
    return watching.run


def test_goes_by_the_targets_of_the_diagnosed_run_and_by_its_loss() -> None:
    mean, spread = measured_scale(run_of(PRICES))
    assert mean == pytest.approx(float(PRICES.mean()), abs=1)
    assert spread == pytest.approx(float(PRICES.std(unbiased=False)), rel=1e-2)

    run = run_of(PRICES, F.l1_loss)
    cured, standard = cured_model("scale_output_to_targets", run), network()
    trained(cured, SGD(cured.parameters(), lr=0.1), PRICES, F.l1_loss)
    trained(standard, SGD(standard.parameters(), lr=0.1), (PRICES - mean) / spread, F.l1_loss)
    for one, other in zip(cured.parameters(), standard.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("make_run", "reason"),
    [
        (lambda: None, "no diagnosed run"),
        (lambda: run_of(SUMS), "of unit scale already"),
        (lambda: run_of(torch.zeros(64, dtype=torch.long), F.cross_entropy), "no numbers"),
        (lambda: run_of(PRICES, unit=nn.Sigmoid()), "ends with a sigmoid"),
        (lambda: run_of(torch.full((64, 1), 7.0)), "alike"),
    ],
)
def test_refuses_where_no_scale_is_to_be_had_and_says_why(make_run, reason) -> None:
    patient = Patient(network(), run=make_run())
    before = state_of(patient)
    with pytest.raises(CureRefusedError, match=reason):
        parse_cure("scale_output_to_targets").apply(patient)
    assert state_of(patient) == before


def test_refuses_several_models_and_one_with_such_numbers_of_its_own() -> None:
    cure = parse_cure("scale_output_to_targets:500/300")
    with pytest.raises(CureRefusedError, match="several models"):
        cure.apply(Patient(nn.ModuleDict({"one": network(), "other": network()})))
    with pytest.raises(CureRefusedError, match="of its own"):
        cure.apply(Patient(cured_model()))


@pytest.mark.parametrize("loss_of", [F.mse_loss, F.l1_loss])
def test_writes_a_snippet_that_equals_the_cure_bit_for_bit(loss_of) -> None:
    run, fresh = run_of(PRICES, loss_of), network()
    cured = cured_model("scale_output_to_targets", run)
    names = {"model": fresh}
    exec(parse_cure("scale_output_to_targets").snippet(Patient(network(), run=run)), names)
    for model in (cured, fresh):
        trained(model, SGD(model.parameters(), lr=0.1, momentum=0.9), PRICES, loss_of)
    assert same_bits(cured.state_dict(), fresh.state_dict())
    assert {"target_mean", "target_spread"} <= set(cured.state_dict())


class Several(nn.Module):
    """A network that gives its prediction and what it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body[:2](points)
        return self.body[2](hidden), hidden


def test_scales_the_first_of_several_values_and_lets_the_model_be_copied_and_kept() -> None:
    model = Several()
    prediction, hidden = model(POINTS)
    patient = Patient(model)
    before = state_of(patient)
    parse_cure("scale_output_to_targets:5/2").apply(patient)
    verify_change("scale_output_to_targets", before, state_of(patient))
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        scaled, same = other(POINTS)
        assert torch.equal(scaled, 2 * prediction + 5)
        assert torch.equal(same, hidden)


def test_says_where_a_model_gives_no_tensor() -> None:
    model = nn.Sequential(nn.Flatten())
    parse_cure("scale_output_to_targets:5/2").apply(Patient(model))
    model.register_forward_hook(lambda module, inputs, output: {"price": output}, prepend=True)
    with pytest.raises(CureRefusedError, match="a dict that begins with no tensor"):
        model(POINTS)


@pytest.mark.parametrize("setting", ["500", "a/b", "1/0", "nan/1", "1/-2", "1/2/3"])
def test_says_how_a_scale_is_written(setting: str) -> None:
    with pytest.raises(SettingsError, match="write"):
        parse_cure(f"scale_output_to_targets:{setting}")


@pytest.mark.parametrize("label", ["scale_output_to_targets", "scale_output_to_targets:-0.25/3e06"])
def test_reads_labels_back(label: str) -> None:
    assert parse_cure(label).label == label
