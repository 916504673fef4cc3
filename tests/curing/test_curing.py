import copy

import pytest
import torch
from torch.optim import SGD

from curing.patients import (
    NETWORKS,
    first_batch,
    fresh_model,
    fresh_pair,
    gathered_inputs,
    same_bits,
    train,
)
from gradiometer.curing import CURES, Patient, parse_cure, parts_of
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, GradiometerError, SettingsError
from gradiometer.prescribing import PRESCRIPTIONS

LABELS = [
    "exchange_activation:tanh",
    "exchange_activation:gelu",
    "redraw_weights:glorot",
    "redraw_weights:he",
    "redraw_weights:critical",
    "redraw_weights:lecun",
    "redraw_weights:orthogonal",
    "redraw_weights:delta_orthogonal",
    "scale_to_unit_variance",
    "pretrain_layers",
    "standardise_input",
    "insert_normalisation",
    "insert_normalisation:layer",
    "insert_normalisation:group",
    "insert_normalisation:rms",
    "add_residual_paths",
    "add_residual_paths:zero_gated",
    "add_residual_paths:plain",
    "exchange_recurrence",
    "clip_gradients",
    "clip_gradients:0.01",
    "clip_gradients:value=0.001",
    "clip_gradients:adaptive",
    "clip_gradients:adaptive=0.0001",
    "zero_gradients",
    "change_learning_rate:x0.1",
    "change_learning_rate:=0.5",
    "warm_up_learning_rate",
    "warm_up_learning_rate:3",
    "exchange_optimizer:adam",
    "exchange_optimizer:rmsprop",
    "exchange_optimizer:momentum",
    "reduce_regularisation",
    "keep_weights_in_float32",
    "exchange_activation:relu+redraw_weights:he",
    "exchange_activation:gelu+redraw_weights:critical",
    "insert_normalisation+redraw_weights:critical",
    "standardise_input+redraw_weights:critical",
    "exchange_activation:tanh+scale_to_unit_variance",
    "insert_normalisation+add_residual_paths",
    "add_residual_paths+insert_normalisation",
    "scale_output_to_targets:500/300",
]
HEADINGS = ("What it changes:", "When it helps:", "What it costs:", "Source:")


REFUSALS = {
    ("exchange_activation:relu", "convolutional"): "already",
    **{
        ("redraw_weights:delta_orthogonal", network): "no convolution"
        for network in NETWORKS
        if network != "convolutional"
    },
    **{("break_symmetry", network): "no layer's units are identical" for network in NETWORKS},
    **{("open_forget_gates", network): "no LSTM or GRU" for network in NETWORKS},
    **{("redraw_recurrent_weights", network): "no recurrent layer" for network in NETWORKS},
    ("insert_normalisation:rms", "convolutional"): "choose :group",
    ("pretrain_layers:rbm", "convolutional"): "linear layers only",
    **{("exchange_recurrence", network): "no nn.RNN" for network in NETWORKS},
    **{("exchange_optimizer:momentum", network): "momentum of 0.9 already" for network in NETWORKS},
    **{("reduce_regularisation", network): "no dropout of more than" for network in NETWORKS},
    **{("keep_weights_in_float32", network): "float32 already" for network in NETWORKS},
    **{("fix_loss_pairing", network): "no diagnosed run" for network in NETWORKS},
    **{("scale_output_to_targets", network): "no diagnosed run" for network in NETWORKS},
}
"""First part of a label and network that do not go together, and a word of the reason."""


def refuses(label, network):
    return (label.partition("+")[0], network) in REFUSALS


UNSEEN = {"clip_gradients", "zero_gradients"}
"""Labels that change nothing in so short a training, whose gradients are small and zeroed in time."""

CASES = [(label, network) for label in LABELS for network in NETWORKS if not refuses(label, network)]


def patient_of(network):
    pair = fresh_pair(network)
    return Patient(
        pair.model, pair.optimizer, pair.optimizer.param_groups, inputs=(first_batch(),), samples=gathered_inputs()
    )


def applied(label, network):
    patient = patient_of(network)
    words = parse_cure(label).apply(patient)
    return patient, words


@pytest.mark.parametrize(("label", "network"), list(REFUSALS))
def test_refuses_a_network_that_a_cure_does_not_fit_and_says_why(label, network):
    patient = patient_of(network)
    before = state_of(patient)
    with pytest.raises(CureRefusedError, match=REFUSALS[label, network]):
        parse_cure(label).apply(patient)
    assert state_of(patient) == before


@pytest.mark.parametrize(("label", "network"), CASES)
def test_sees_that_a_cure_has_changed_something(label, network):
    patient = patient_of(network)
    before = state_of(patient)
    parse_cure(label).apply(patient)
    verify_change(label, before, state_of(patient))


def test_refuses_a_cure_that_changed_nothing():
    before = state_of(patient_of("sigmoid_stack"))
    with pytest.raises(CureRefusedError, match="nothing to change"):
        verify_change("pray", before, state_of(patient_of("sigmoid_stack")))


@pytest.mark.parametrize(("label", "network"), CASES)
def test_writes_a_snippet_that_equals_the_cure_bit_for_bit(label, network):
    patient, words = applied(label, network)
    cured_outputs = train(patient.model, patient.optimizer, patient.forward_modes, script_modes=patient.script_modes)

    cure = parse_cure(label)
    code = cure.snippet(patient_of(network))
    names = {"model": fresh_model(network), "inputs": gathered_inputs() if "samples" in cure.needs else first_batch()}
    if cure.placement == "before_optimizer":
        exec(code, names)
    names["optimizer"] = SGD(names["model"].parameters(), lr=0.1, momentum=0.9)
    if cure.placement == "after_optimizer":
        exec(code, names)
    outputs = train(names["model"], names["optimizer"], [])

    assert words
    assert torch.equal(outputs, cured_outputs)
    assert same_bits(names["model"].state_dict(), patient.model.state_dict())


@pytest.mark.parametrize(("label", "network"), [case for case in CASES if case[0] not in UNSEEN])
def test_changes_something_by_a_cure(label, network):
    patient, _ = applied(label, network)
    pair = fresh_pair(network)
    untouched = train(pair.model, pair.optimizer, [])
    cured = train(patient.model, patient.optimizer, patient.forward_modes, script_modes=patient.script_modes)
    assert not torch.equal(cured, untouched)


@pytest.mark.parametrize(("label", "network"), CASES)
def test_draws_no_global_random_number_for_a_cure(label, network):
    patient = patient_of(network)
    before = torch.get_rng_state()
    parse_cure(label).snippet(patient)
    parse_cure(label).apply(patient)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("label", "network"), [case for case in CASES if "+" not in case[0]])
def test_leaves_parameters_alone_that_a_cure_is_not_about(label, network):
    pair = fresh_pair(network)
    parameters = dict(pair.model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    patient = Patient(
        pair.model, pair.optimizer, pair.optimizer.param_groups, inputs=(first_batch(),), samples=gathered_inputs()
    )
    parse_cure(label).apply(patient)
    held = {id(tensor) for group in patient.optimizer.param_groups for tensor in group["params"]}
    redrawn = label.startswith(("redraw_weights", "scale_to_unit_variance", "pretrain_layers"))
    for name, parameter in parameters.items():
        is_norm = ".3." in name and network == "convolutional"
        assert id(parameter) in held, name
        if not redrawn or is_norm:
            assert torch.equal(parameter.detach(), before[name]), name


@pytest.mark.parametrize("name", list(CURES))
def test_registers_every_cure_under_its_own_name_with_its_page(name):
    kind = CURES[name]
    page = __import__(kind.__module__, fromlist=["x"]).__doc__
    assert kind.name == name
    assert kind().label.startswith(name)
    assert kind.moment in {"construction", "first_forward"}
    assert kind.placement in {"before_optimizer", "after_optimizer"}
    assert all(heading in page for heading in HEADINGS), page


@pytest.mark.parametrize("label", LABELS)
def test_writes_labels_that_it_can_read_back(label):
    cure = parse_cure(label)
    assert cure.label == label
    assert parse_cure(cure.label) == cure
    assert copy.deepcopy(cure) == cure


@pytest.mark.parametrize("cause", list(PRESCRIPTIONS))
def test_prescribes_only_cures_that_exist(cause):
    for label in PRESCRIPTIONS[cause]:
        assert parse_cure(label).label == label
        assert all(part.name in CURES for part in parts_of(parse_cure(label)))


@pytest.mark.parametrize(
    "label",
    [
        "pray",
        "exchange_activation:prelu",
        "redraw_weights:hope",
        "clip_gradients:-1",
        "change_learning_rate:0.1",
        "change_learning_rate:x0",
        "exchange_optimizer:lbfgs",
        "insert_normalisation:hope",
        "add_residual_paths:half",
        "exchange_recurrence:rnn",
        "",
    ],
)
def test_says_what_a_label_it_does_not_know_could_have_been(label):
    with pytest.raises(SettingsError, match="choose|write"):
        parse_cure(label)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("exchange_activation:relu", "no hidden activation"),
        ("redraw_weights:he", "no hidden layer"),
        ("insert_normalisation", "normalised already"),
    ],
)
def test_refuses_a_cure_on_a_network_of_one_layer_and_says_why(label, reason):
    model = torch.nn.Linear(6, 3)
    optimizer = SGD(model.parameters(), lr=0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CureRefusedError, match=reason) as refusal:
        parse_cure(label).apply(Patient(model, optimizer, optimizer.param_groups))
    assert isinstance(refusal.value, GradiometerError)
    assert same_bits(model.state_dict(), before)
