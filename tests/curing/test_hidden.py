from torch import nn

from curing.patients import AttributeNetwork, ConvolutionalNetwork, FunctionalNetwork, sigmoid_stack
from gradiometer.curing import Patient
from gradiometer.curing.hidden import hidden_layers, recurrent_without_norm
from gradiometer.schema import Layer, Run


def hidden_in(model, **known):
    return {entry.place: (entry.is_activated, entry.is_normalised) for entry in hidden_layers(Patient(model, **known))}


def test_tells_what_stands_behind_each_hidden_layer():
    assert hidden_in(sigmoid_stack(2)) == {"0": (True, False), "2": (True, False)}
    assert hidden_in(ConvolutionalNetwork()) == {
        "features.0": (True, False),
        "features.2": (True, True),
        "features.5": (True, False),
    }
    bare = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
    assert hidden_in(bare) == {"0": (False, False), "1": (True, False), "3": (True, False)}


def test_takes_layers_for_activated_where_functions_or_one_module_may_serve_them_all():
    assert set(hidden_in(FunctionalNetwork()).values()) == {(True, False)}
    assert set(hidden_in(AttributeNetwork()).values()) == {(True, False)}


def test_goes_by_the_order_in_which_a_run_called_functions():
    rows = [("first", "Linear", "leaf"), ("relu#0", "relu", "function"), ("second", "Linear", "leaf")]
    rows += [("layer_norm#0", "layer_norm", "function"), ("relu#1", "relu", "function")]
    rows += [("third", "Linear", "leaf"), ("output", "Linear", "leaf")]
    layers = tuple(
        Layer(name, kind, role, index, activation="relu" if kind == "relu" else None)
        for index, (name, kind, role) in enumerate(rows)
    )
    known = hidden_in(FunctionalNetwork(), run=Run(layers=layers))
    assert known == {"first": (True, False), "second": (True, True), "third": (False, False)}


def test_leaves_out_what_torch_reads_itself_and_what_the_script_calls_itself():
    encoder = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert set(hidden_in(encoder)) == {"1"}
    roots = nn.ModuleDict({"first": nn.Linear(6, 6), "second": sigmoid_stack(1)})
    assert set(hidden_in(roots)) == {"second.0"}


def test_lists_recurrent_layers_that_no_norm_follows():
    model = nn.Sequential(nn.LSTM(6, 4), nn.LayerNorm(4), nn.GRU(4, 4), nn.Linear(4, 4), nn.LayerNorm(4), nn.RNN(4, 4))
    assert [place for place, _ in recurrent_without_norm(Patient(model))] == ["2", "5"]
    assert recurrent_without_norm(Patient(nn.RNN(4, 4))) == []
