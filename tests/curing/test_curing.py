import copy

import pytest
import torch
from torch.optim import SGD

from curing.patients import (
    NETWORKS,
    finding,
    first_batch,
    fresh_model,
    fresh_pair,
    gathered_inputs,
    same_bits,
    train,
)
from gradiometer.curing import CURES, Patient, parse_cure, parts_of, prescribe
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError, GradiometerError, SettingsError
from gradiometer.prescribing import PRESCRIPTIONS

LABELS = [
    "exchange_activation:tanh",
    "exchange_activation:gelu",
    "redraw_weights:glorot",
    "redraw_weights:he",
    "redraw_weights:critical",
    "insert_normalisation",
    "insert_normalisation:layer",
    "clip_gradients",
    "clip_gradients:0.01",
    "change_learning_rate:x0.1",
    "change_learning_rate:=0.5",
    "exchange_optimizer:adam",
    "exchange_optimizer:rmsprop",
    "exchange_activation:relu+redraw_weights:he",
    "exchange_activation:gelu+redraw_weights:critical",
    "insert_normalisation+redraw_weights:critical",
]
HEADINGS = ("What it changes:", "When it helps:", "What it costs:", "Source:")


REFUSALS = {
    ("exchange_activation:relu", "convolutional"): "already",
}
"""First part of a label and network that do not go together, and a word of the reason."""


def refuses(label, network):
    return (label.partition("+")[0], network) in REFUSALS


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


@pytest.mark.parametrize(("label", "network"), [case for case in CASES if case[0] != "clip_gradients"])
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


@pytest.mark.parametrize("label", [label for label in LABELS if "+" not in label])
@pytest.mark.parametrize("network", list(NETWORKS))
def test_leaves_parameters_alone_that_a_cure_is_not_about(label, network):
    pair = fresh_pair(network)
    parameters = dict(pair.model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    patient = Patient(pair.model, pair.optimizer, pair.optimizer.param_groups)
    parse_cure(label).apply(patient)
    held = {id(tensor) for group in patient.optimizer.param_groups for tensor in group["params"]}
    redrawn = label.startswith("redraw_weights")
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
        "insert_normalisation:group",
        "",
    ],
)
def test_says_what_a_label_it_does_not_know_could_have_been(label):
    with pytest.raises(SettingsError, match="choose|write"):
        parse_cure(label)


def test_prescribes_for_the_worst_finding_first_and_keeps_a_place_for_every_finding():
    labels = prescribe([finding(), finding("thrashing", "learning_rate")])
    assert labels[0] == "exchange_activation:relu+redraw_weights:he"
    assert "change_learning_rate:x0.1" in labels
    assert len(labels) <= 8
    assert len(set(labels)) == len(labels)
    assert prescribe([]) == ()


def test_prescribes_a_higher_rate_where_weights_are_stuck_and_a_lower_one_where_they_are_thrown_about():
    assert prescribe([finding("stuck", "learning_rate")])[0] == "change_learning_rate:x10"
    assert prescribe([finding("thrashing", "learning_rate")])[0] == "change_learning_rate:x0.1"
    assert not parse_cure("change_learning_rate:x10").fits(finding("thrashing", "learning_rate"))


def test_prescribes_cures_whose_parts_all_fit_the_finding():
    for condition in ("vanishing", "exploding", "saturated", "dead", "stuck", "non_finite", "stalled", "thrashing"):
        for cause in PRESCRIPTIONS:
            found = finding(condition, cause)
            assert all(parse_cure(label).fits(found) for label in prescribe([found]))


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
