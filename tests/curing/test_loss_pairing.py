"""Output units brought together with their losses, in the ways people write them: the right loss gives the gradient."""

import copy
import pickle
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD

from curing.patients import same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.loss_pairing import CORRECTIONS, FixLossPairing, correction_of, has_meaningless_loss
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import Run
from gradiometer.session import watch

POINTS = torch.randn(64, 6, generator=torch.Generator().manual_seed(3))
LABELS = (POINTS[:, 0] > 0).long() + (POINTS[:, 1] > 0).long()
ONE_HOT = F.one_hot(LABELS, 3).float()
SIDES = (POINTS[:, :1] > 0).float()
SUMS = POINTS.sum(dim=1)

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Case:
    """A script's output unit and loss, and the loss of the last layer's output that it should have."""

    correction: str
    unit: Function
    loss: Function
    targets: Tensor
    outputs: int
    right: Function
    is_judged_by_original: bool = False


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return ((outputs - targets) ** 2).mean()


def squares_by_row(outputs: Tensor, targets: Tensor) -> Tensor:
    difference = targets - outputs
    return (difference * difference).sum(dim=1).mean()


def of_columns(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(outputs[:, 0], targets)


def tanh_likelihood(outputs: Tensor, targets: Tensor) -> Tensor:
    """The likelihood whose gradient is tanh minus target, for a mean over three columns."""
    value = torch.tanh(outputs)
    density = (1 + targets) * torch.log(1 + value) + (1 - targets) * torch.log(1 - value)
    return -0.5 * density.mean()


logits_loss = F.binary_cross_entropy_with_logits
CASES = {
    "softmax": Case("logits", lambda z: z.softmax(1), F.cross_entropy, LABELS, 3, F.cross_entropy, True),
    "softmax_module": Case(
        "logits",
        nn.Softmax(dim=-1),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        LABELS,
        3,
        nn.CrossEntropyLoss(label_smoothing=0.1),
        True,
    ),
    "reshaped": Case(
        "logits",
        lambda z: F.softmax(z.view(-1, 1, 3), dim=2).squeeze(1).float(),
        F.cross_entropy,
        LABELS,
        3,
        F.cross_entropy,
        True,
    ),
    "sigmoid": Case("logits", torch.sigmoid, F.cross_entropy, LABELS, 3, F.cross_entropy, True),
    "sigmoid_twice": Case("logits", nn.Sigmoid(), nn.BCEWithLogitsLoss(), SIDES, 1, logits_loss, True),
    "nll_of_softmax": Case("logits", nn.Softmax(dim=1), nn.NLLLoss(), LABELS, 3, F.cross_entropy, True),
    "nll_of_scores": Case("log_softmax", lambda z: z, F.nll_loss, LABELS, 3, F.cross_entropy),
    "nll_of_tanh": Case("log_softmax", torch.tanh, F.nll_loss, LABELS, 3, F.cross_entropy),
    "squared_softmax": Case("likelihood", nn.Softmax(dim=1), nn.MSELoss(), ONE_HOT, 3, F.cross_entropy, True),
    "squared_sigmoid": Case("likelihood", torch.sigmoid, squares, ONE_HOT, 3, logits_loss, True),
    "squared_tanh": Case("likelihood", nn.Tanh(), F.mse_loss, 2 * ONE_HOT - 1, 3, tanh_likelihood, True),
    "squared_by_row": Case("likelihood", lambda z: z.softmax(1), squares_by_row, ONE_HOT, 3, F.cross_entropy, True),
    "relu": Case("no_output_unit", nn.ReLU(), F.cross_entropy, LABELS, 3, F.cross_entropy),
    "relu_in_place": Case("no_output_unit", nn.ReLU(inplace=True), F.cross_entropy, LABELS, 3, F.cross_entropy),
    "confined": Case("no_output_unit", torch.tanh, F.mse_loss, 3 * SUMS[:, None], 1, F.mse_loss),
    "relu_in_front": Case("one_unit", lambda z: torch.sigmoid(z.relu()), F.binary_cross_entropy, SIDES, 1, logits_loss),
    "sigmoid_in_front": Case(
        "one_unit", lambda z: torch.sigmoid(torch.sigmoid(z)), F.binary_cross_entropy, SIDES, 1, logits_loss
    ),
    "one_softmax": Case("sigmoid", nn.Softmax(dim=1), nn.MSELoss(), SIDES, 1, logits_loss, True),
    "one_score": Case("sigmoid", lambda z: z, F.cross_entropy, SIDES, 1, logits_loss, True),
    "one_probability": Case("sigmoid", nn.Softmax(dim=-1), F.binary_cross_entropy, SIDES, 1, logits_loss),
    "batch_axis": Case("class_axis", lambda z: z.softmax(0), F.cross_entropy, LABELS, 3, F.cross_entropy, True),
    "batch_axis_logarithm": Case("class_axis", nn.LogSoftmax(dim=0), F.nll_loss, LABELS, 3, F.cross_entropy),
    "spread": Case("target_shape", lambda z: z, F.mse_loss, SUMS, 1, of_columns),
    "spread_by_hand": Case("target_shape", lambda z: z, squares, SUMS, 1, of_columns),
}
pytestmark = pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")


class Network(nn.Module):
    """A body and, inside of the model or left to the script, its output unit."""

    def __init__(self, case: Case, *, is_inside: bool) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.body = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, case.outputs))
        self.unit = case.unit if is_inside else None

    def forward(self, points: Tensor) -> Tensor:
        return self.body(points) if self.unit is None else self.unit(self.body(points))


def loss_of(case: Case, model: Network) -> Tensor:
    """The script's loss, as it stands there."""
    outputs = model(POINTS)
    return case.loss(outputs if model.unit is not None else case.unit(outputs), case.targets)


def gradients(model: nn.Module, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def applied(case: Case, model: nn.Module, run: Run | None = None) -> Patient:
    patient = Patient(model, None, run=run)
    parse_cure(f"fix_loss_pairing:{case.correction}" if run is None else "fix_loss_pairing").apply(patient)
    return patient


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("is_inside", [True, False])
def test_gives_the_gradient_of_the_loss_that_belongs_to_the_output(name: str, is_inside: bool) -> None:
    case = CASES[name]
    model = Network(case, is_inside=is_inside)
    right = gradients(model, case.right(model.body(POINTS), case.targets))
    wrong = gradients(model, loss_of(case, model))
    patient = applied(case, model)
    with patient.script_modes[0]:
        cured = gradients(model, loss_of(case, model))
    assert any(not torch.allclose(one, other, rtol=1e-3) for one, other in zip(wrong, right, strict=True))
    for one, other in zip(cured, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(CASES))
def test_keeps_the_loss_that_the_script_would_have_had_where_it_exchanges_the_loss(name: str) -> None:
    case = CASES[name]
    model = Network(case, is_inside=True)
    own = loss_of(case, model)
    patient = applied(case, model)
    with patient.script_modes[0]:
        loss_of(case, model)
        outputs = model(POINTS)
        with torch.no_grad():
            loss_of(case, model)
    judged_by = CORRECTIONS[case.correction].judged_by
    assert len(patient.original_losses) == case.is_judged_by_original
    if judged_by == "original_loss" and patient.original_losses:
        (kept,) = patient.original_losses
        assert not kept.requires_grad
        expected = case.loss(outputs, case.targets) if case.correction == "sigmoid" else own
        torch.testing.assert_close(kept, expected.detach(), rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.correction in ("logits", "likelihood")])
def test_leaves_outputs_and_evaluations_as_they_are(name: str) -> None:
    case = CASES[name]
    model = Network(case, is_inside=True)
    with torch.no_grad():
        outputs, loss = model(POINTS), loss_of(case, model)
        with applied(case, model).script_modes[0]:
            assert torch.equal(model(POINTS), outputs)
            assert torch.equal(loss_of(case, model), loss)
    with applied(case, model).script_modes[0]:
        assert torch.equal(model(POINTS).detach(), outputs)


def trained(case: Case, model: Network, modes: list[torch.overrides.TorchFunctionMode]) -> dict[str, Tensor]:
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(case, model).backward()
            optimizer.step()
    return model.state_dict()


OUTSIDE = ("softmax", "relu", "relu_in_place", "confined", "squared_sigmoid")


@pytest.mark.parametrize(
    ("name", "is_inside"), [*((name, True) for name in CASES), *((name, False) for name in OUTSIDE)]
)
def test_writes_a_snippet_that_equals_the_cure_bit_for_bit(name: str, is_inside: bool) -> None:
    case = CASES[name]
    model = Network(case, is_inside=is_inside)
    before = state_of(Patient(model))
    patient = applied(case, model)
    verify_change("fix_loss_pairing", before, state_of(patient))
    cured = trained(case, model, patient.script_modes)
    fresh = Network(case, is_inside=is_inside)
    code = FixLossPairing(case.correction).snippet(Patient(fresh))
    names: dict[str, object] = {"model": fresh}
    assert "gradiometer" not in code
    exec(code, names)
    try:
        weights = trained(case, fresh, [])
    finally:
        names["pairing"].__exit__(None, None, None)  # type: ignore[attr-defined]
    assert same_bits(weights, cured)
    assert not same_bits(weights, trained(case, Network(case, is_inside=is_inside), []))


ALIKE = ("softmax_module", "reshaped", "sigmoid", "squared_softmax", "squared_by_row", "relu_in_place", "relu_in_front")
ALIKE_TOO = ("one_score", "batch_axis_logarithm", "spread_by_hand", "sigmoid_twice")
CHOSEN = [
    pytest.param(name, marks=pytest.mark.slow) if name in (*ALIKE, *ALIKE_TOO) else name
    for name in CASES
    if name not in {"nll_of_tanh", "squared_tanh", "one_probability"}
]


@pytest.mark.parametrize("name", CHOSEN)
def test_chooses_the_correction_by_what_a_run_has_found(name: str) -> None:
    case = CASES[name]
    model = Network(case, is_inside=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(8):
            optimizer.zero_grad()
            loss_of(case, model).backward()
            optimizer.step()
    assert correction_of(watching.run) == case.correction
    is_least_where_saturated = name == "sigmoid"
    assert has_meaningless_loss(watching.run) == (
        case.correction in ("log_softmax", "class_axis") or is_least_where_saturated
    )
    fresh = Network(case, is_inside=True)
    patient = applied(case, fresh, watching.run)
    assert len(patient.script_modes) == 1
    assert "backward at" in FixLossPairing().snippet(Patient(fresh, run=watching.run))


def healthy_run() -> Run:
    model = Network(CASES["softmax"], is_inside=False)
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(8):
            optimizer.zero_grad()
            F.cross_entropy(model(POINTS), LABELS).backward()
            optimizer.step()
    return watching.run


def compiled_run() -> Run:
    """A run whose layers were not opened."""
    return replace(healthy_run(), layers=(), facts={"loss_path": SOFTMAX_PATH})


SOFTMAX_PATH = {
    "loss": "cross_entropy",
    "operations": ["NllLoss", "LogSoftmax", "Softmax", "Addmm"],
    "softmaxes": [[1, 3, 2], [1, 3, 2]],
    "output_shape": [64, 3],
    "target_shape": [64],
    "target_kind": "classes",
}


def one_class_run() -> Run:
    model = Network(CASES["one_softmax"], is_inside=True)
    optimizer = SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(8):
            optimizer.zero_grad()
            F.cross_entropy(model(POINTS), torch.zeros(64, dtype=torch.long)).backward()
            optimizer.step()
    return watching.run


@pytest.mark.parametrize(
    ("make_run", "reason"),
    [
        (lambda: None, "no diagnosed run"),
        (healthy_run, "belong together"),
        (one_class_run, "only one class"),
        (Run, "does not tell"),
        (lambda: replace(compiled_run(), losses=healthy_run().losses * 2), "several losses"),
        (compiled_run, "is compiled"),
    ],
)
def test_refuses_where_nothing_is_to_be_corrected_and_says_why(make_run, reason) -> None:
    model = Network(CASES["softmax"], is_inside=True)
    patient = Patient(model, run=make_run())
    before = state_of(patient)
    with pytest.raises(CureRefusedError, match=reason):
        parse_cure("fix_loss_pairing").apply(patient)
    assert state_of(patient) == before
    assert patient.run is None or not has_meaningless_loss(patient.run)


def test_reads_labels_back_and_says_what_an_unknown_one_could_have_been() -> None:
    for label in ("fix_loss_pairing", *(f"fix_loss_pairing:{name}" for name in CORRECTIONS)):
        assert parse_cure(label).label == label
    with pytest.raises(SettingsError, match="choose logits"):
        parse_cure("fix_loss_pairing:hope")


def test_keeps_the_original_loss_as_it_is_handed_to_the_backward_pass() -> None:
    case = CASES["softmax"]
    model = Network(case, is_inside=True)
    penalty = 0.01 * sum(weight.square().sum() for weight in model.parameters())
    expected = ((loss_of(case, model) + penalty) / 4 + 0.5 * loss_of(case, model)).detach()
    patient = applied(case, model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with patient.script_modes[0]:
        total = (loss_of(case, model) + penalty) / 4 + 0.5 * loss_of(case, model)
        scaler.scale(total).backward(retain_graph=True)
        (kept,) = patient.original_losses
        torch.testing.assert_close(kept, expected)
        running = total + total
        loss = loss_of(case, model)
        loss.backward(retain_graph=True)
        running = running + loss
    assert running.requires_grad
    assert len(patient.original_losses) == 2
    assert patient.original_losses[0] is kept


def test_leaves_alone_what_only_looks_like_it() -> None:
    scores = torch.randn(16, 3, requires_grad=True)
    labels = torch.arange(16) % 3
    patient = applied(CASES["softmax"], nn.Linear(1, 1))
    with patient.script_modes[0]:
        plain = F.cross_entropy(scores, labels)
        scaled = F.cross_entropy(5 * torch.tanh(scores / 5), labels)
        logarithm = F.nll_loss(scores.softmax(1).log(), labels)
    assert torch.equal(plain, F.cross_entropy(scores, labels))
    assert torch.equal(scaled, F.cross_entropy(5 * torch.tanh(scores / 5), labels))
    assert torch.equal(logarithm, F.nll_loss(scores.softmax(1).log(), labels))
    assert patient.original_losses == []
    column = torch.randn(8, 1, requires_grad=True)
    with applied(CASES["spread"], nn.Linear(1, 1)).script_modes[0]:
        assert (column - column.squeeze(1)).shape == (8, 8)
        assert (column.detach() - torch.zeros(8)).shape == (8, 8)


def test_lets_a_model_without_its_output_unit_be_copied_and_kept() -> None:
    case = CASES["relu"]
    model = Network(case, is_inside=True)
    patient = applied(case, model)
    with patient.script_modes[0]:
        copied = copy.deepcopy(model)
        assert torch.equal(copied(POINTS), model.body(POINTS))
    assert same_bits(pickle.loads(pickle.dumps(model)).state_dict(), model.state_dict())
