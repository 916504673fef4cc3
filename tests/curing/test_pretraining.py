import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from curing.cure_contract import check_change, check_labels, check_random_state, check_refusal, check_snippet
from curing.patients import NETWORKS, first_batch, fresh_model, gathered_inputs, same_bits
from gradiometer.curing import Chain, Patient, parse_cure
from gradiometer.curing.learners.layers_called import layers_called
from gradiometer.curing.pretraining import PretrainLayers
from gradiometer.errors import CureRefusedError


class Mixed(nn.Module):
    """Layers of many kinds: some can be learned by themselves, the others must stay as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Linear(6, 8)
        self.leaky = nn.LeakyReLU(0.3)
        self.normalised = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.twice = nn.Linear(8, 8)
        self.added = nn.Linear(8, 8)
        self.gate = nn.Linear(8, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.unbiased = nn.Linear(8, 8, bias=False)
        self.weight = nn.Parameter(0.3 * torch.randn(8, 8))
        self.output = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.leaky(self.entry(x)))
        x = torch.sigmoid(self.norm(self.normalised(x)))
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        x = torch.relu(self.added(x) + x)
        opened = self.gate(x)
        x = opened * opened.sigmoid()
        x = torch.tanh(self.frozen(x))
        x = torch.sigmoid(self.unbiased(x))
        x = F.dropout(F.elu(F.linear(x, self.weight), 0.7), 0.2, self.training)
        return torch.tanh(self.output(x))


class Convolutions(nn.Module):
    """Convolutions of every kind that can give back their input, and some that can't."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(4, 6, (3, 1), padding=(1, 0), groups=2, bias=False)
        self.wrapped = nn.Conv2d(6, 4, 3, padding=1, padding_mode="circular")
        self.same = nn.Conv2d(4, 4, 3, padding="same")
        self.line = nn.Conv1d(4, 4, 3, dilation=2, padding=2)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.strided(x.reshape(-1, 1, 2, 3)), inplace=True)
        x = F.silu(self.grouped(x))
        x = torch.tanh(self.wrapped(x))
        x = torch.tanh(self.same(x))
        x = torch.tanh(self.line(x.flatten(2)))
        return self.head(x.mean(2))


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return kind()


def patient_of(model: nn.Module, samples: Tensor | None = None) -> Patient:
    optimizer = SGD(model.parameters(), lr=0.1)
    given = gathered_inputs() if samples is None else samples
    return Patient(model, optimizer, optimizer.param_groups, inputs=(first_batch(),), samples=given)


def changed_by(label: str, model: nn.Module) -> set[str]:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    parse_cure(label).apply(patient_of(model))
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_changes_learned_layers_and_nothing_else_bit_for_bit() -> None:
    model = made(Mixed)
    modes = {name: module.training for name, module in model.named_modules()}
    assert changed_by("pretrain_layers", model) == {"entry.weight", "entry.bias", "unbiased.weight", "weight"}
    assert {name: module.training for name, module in model.named_modules()} == modes


def test_learns_convolutions_that_can_give_back_what_they_get() -> None:
    model = made(Convolutions)
    learned = {"strided.weight", "strided.bias", "grouped.weight", "wrapped.weight", "wrapped.bias"}
    assert changed_by("pretrain_layers", model) == learned | {"line.weight", "line.bias"}


@pytest.mark.parametrize("kind", [Mixed, Convolutions])
def test_writes_a_snippet_that_learns_the_same_layers(kind: type[nn.Module]) -> None:
    samples = gathered_inputs()
    check_snippet("pretrain_layers", lambda: made(kind), first_batch(), samples)


@pytest.mark.parametrize("network", NETWORKS)
def test_does_what_every_cure_does_with_an_autoencoder_of_each_layer(network: str) -> None:
    label = "pretrain_layers:autoencoder"
    check_snippet(label, lambda: fresh_model(network), first_batch(), gathered_inputs())


def test_draws_no_number_of_the_scripts_and_shows_in_training() -> None:
    check_random_state("pretrain_layers", lambda: made(Mixed), first_batch(), gathered_inputs())
    check_change("pretrain_layers", lambda: made(Mixed), first_batch(), gathered_inputs())


@pytest.mark.parametrize("label", ["pretrain_layers", "pretrain_layers:rbm", "pretrain_layers:autoencoder"])
def test_writes_labels_of_learners_that_it_can_read_back(label: str) -> None:
    check_labels(label)


REFUSED = {
    "no inputs were gathered": ("pretrain_layers", "sigmoid_stack", None, "no inputs of the model were gathered"),
    "too few": ("pretrain_layers", "sigmoid_stack", gathered_inputs()[:7], "only 7 inputs"),
    "not finite": ("pretrain_layers", "sigmoid_stack", gathered_inputs() / 0.0, "NaN or infinity"),
    "other shape": ("pretrain_layers", "sigmoid_stack", gathered_inputs()[:, :5], "does not run on its gathered"),
    "convolutions": ("pretrain_layers:rbm", "convolutional", gathered_inputs(), "linear layers only"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_inputs_and_networks_that_it_can_not_learn_from(case: str) -> None:
    label, network, samples, reason = REFUSED[case]
    check_refusal(label, lambda: fresh_model(network), first_batch(), reason, samples)


def stack(*modules: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), *modules, nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("label", "model", "reason"),
    [
        ("pretrain_layers:rbm", lambda: stack(nn.Tanh()), "no tanh units"),
        ("pretrain_layers", lambda: stack(), "directly behind"),
        ("pretrain_layers", lambda: stack(nn.BatchNorm1d(8), nn.Sigmoid()), "directly behind"),
        ("pretrain_layers", lambda: nn.ModuleDict({"first": stack(nn.Sigmoid())}), "several models"),
        ("pretrain_layers", lambda: nn.Sequential(nn.LazyLinear(8), nn.Sigmoid(), nn.Linear(8, 3)), "first forward"),
    ],
)
def test_refuses_networks_without_a_layer_to_learn(label: str, model, reason: str) -> None:
    patient = Patient(model(), samples=gathered_inputs())
    with pytest.raises(CureRefusedError, match=reason):
        parse_cure(label).apply(patient)


def test_puts_everything_back_where_what_was_learned_is_not_finite() -> None:
    model = fresh_model("sigmoid_stack")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CureRefusedError, match="not finite"):
        parse_cure("pretrain_layers").apply(patient_of(model, 3e38 * gathered_inputs().sign()))
    assert same_bits(model.state_dict(), before)


def test_wipes_the_optimizers_memory_of_what_it_replaced() -> None:
    model = fresh_model("sigmoid_stack")
    optimizer = Adam(model.parameters())
    model(first_batch()).sum().backward()
    optimizer.step()
    patient = Patient(model, optimizer, optimizer.param_groups, samples=gathered_inputs())
    parse_cure("pretrain_layers").apply(patient)
    assert {id(parameter) for parameter in optimizer.state} == {id(model[6].weight), id(model[6].bias)}


def test_learns_layers_for_the_activation_that_a_cure_before_has_put_there() -> None:
    label = "exchange_activation:tanh+pretrain_layers"
    assert isinstance(parse_cure(label), Chain)
    check_snippet(label, lambda: fresh_model("functional"), first_batch(), gathered_inputs())
    patient = patient_of(fresh_model("functional"))
    parse_cure("exchange_activation:tanh").apply(patient)
    layers, _ = PretrainLayers()._plan(patient)
    assert {layer.activation for layer in layers} == {"tanh"}


def test_gives_every_layer_what_the_model_gives_it() -> None:
    """The oracle is a layer learned by itself on inputs that were computed by hand."""
    from gradiometer.curing.learners.layerwise import LayerToLearn, learn_by_rbm, pretrain_layers

    samples = gathered_inputs()
    layers = [LayerToLearn(f"{place}.weight", f"{place}.bias", "rbm", "sigmoid", {}, None) for place in (0, 2)]
    model = fresh_model("sigmoid_stack")
    pretrain_layers(model, samples, layers)
    generator = torch.Generator().manual_seed(0)
    weight, bias = learn_by_rbm(layers[0], model[0].weight, samples, 500, generator)
    assert torch.equal(weight, model[0].weight)
    hidden = torch.sigmoid(F.linear(samples, weight, bias))
    weight, bias = learn_by_rbm(layers[1], model[2].weight, hidden, 500, generator)
    assert torch.allclose(weight, model[2].weight, atol=1e-6)
    assert torch.allclose(bias, model[2].bias, atol=1e-6)


def test_learns_the_layers_of_a_compiled_model_all_the_same() -> None:
    plain, compiled = fresh_model("sigmoid_stack"), fresh_model("sigmoid_stack")
    parse_cure("pretrain_layers").apply(patient_of(plain))
    parse_cure("pretrain_layers").apply(patient_of(torch.compile(compiled, backend="eager")))
    assert same_bits(plain.state_dict(), compiled.state_dict())


def test_knows_an_activations_own_settings() -> None:
    calls = layers_called(made(Mixed), gathered_inputs())
    known = [(call.activation, call.settings) for call in calls if call.activation]
    assert known[0] == ("leaky_relu", {"negative_slope": 0.3})
    assert ("elu", {"alpha": 0.7}) in known
