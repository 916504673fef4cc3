"""The lab's recurrent networks, and what is measured of them before training."""

import numpy as np
import pytest
import torch
from torch import nn

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.datasets.adding import draw_adding
from gradiometer.lab.experiments.memory.fading import gate_gain, gradient_path, jacobian_norms
from gradiometer.lab.networks.recurrent import CELLS, IRNN, LSTM_3, ORTHOGONAL, Cell, draw_sequence_network


def test_begins_the_irnn_as_its_authors_do() -> None:
    layer = draw_sequence_network(CELLS[IRNN], (2, 200, 1), 0).recurrent
    assert layer.mode == "RNN_RELU"
    assert torch.equal(layer.weight_hh_l0, torch.eye(200))
    assert layer.weight_ih_l0.std().item() == pytest.approx(0.001, rel=0.15)
    assert not layer.bias_ih_l0.any()
    assert not layer.bias_hh_l0.any()


def test_draws_orthogonal_recurrent_weights_at_their_scale() -> None:
    weight = draw_sequence_network(Cell("tanh", "orthogonal", scale=1.5), (2, 8, 1), 0).recurrent.weight_hh_l0
    assert torch.allclose(weight @ weight.T, 2.25 * torch.eye(8), atol=1e-5)
    assert CELLS[ORTHOGONAL].scale == 1.0


def test_sets_the_forget_gates_bias_and_no_other() -> None:
    layer = draw_sequence_network(CELLS[LSTM_3], (2, 5, 1), 1).recurrent
    plain = draw_sequence_network(Cell("lstm"), (2, 5, 1), 1).recurrent
    biases = layer.bias_ih_l0 + layer.bias_hh_l0
    assert biases[5:10].tolist() == [3.0] * 5
    expected = plain.bias_ih_l0 + plain.bias_hh_l0
    assert torch.equal(biases[:5], expected[:5])
    assert torch.equal(biases[10:], expected[10:])


def test_draws_the_same_network_for_the_same_seed_and_leaves_the_global_stream_alone() -> None:
    before = torch.get_rng_state()
    first, second = (draw_sequence_network(CELLS["GRU"], (2, 4, 1), 3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_reads_the_last_state_or_every_one() -> None:
    sequences = torch.rand(3, 6, 2, generator=torch.Generator().manual_seed(0))
    last = draw_sequence_network(CELLS["GRU"], (2, 4, 5), 0)
    every = draw_sequence_network(CELLS["GRU"], (2, 4, 5), 0, reads_every_step=True)
    assert every(sequences).shape == (3, 6, 5)
    assert torch.equal(every(sequences)[:, -1], last(sequences))


def test_measures_gradients_through_time_as_autograd_does_on_an_unrolled_network() -> None:
    network = draw_sequence_network(CELLS["tanh RNN"], (2, 7, 1), 0)
    drawn, wanted = draw_adding(9, 11, np.random.default_rng(0))
    inputs, targets = torch.from_numpy(drawn), torch.from_numpy(wanted)
    layer, state, states = network.recurrent, torch.zeros(9, 7), []
    for step in range(11):
        drive = inputs[:, step] @ layer.weight_ih_l0.T + state @ layer.weight_hh_l0.T
        state = torch.tanh(drive + layer.bias_ih_l0 + layer.bias_hh_l0)
        states.append(state)
    loss = (network.readout(state) - targets).square().mean()
    norms = [float(gradient.norm()) for gradient in torch.autograd.grad(loss, states)]
    expected = [norm / norms[-1] for norm in norms[::-1]]
    assert gradient_path(network, inputs, targets).hidden.gains == pytest.approx(expected, rel=1e-4)


def test_an_lstm_without_weights_keeps_what_its_forget_gate_keeps() -> None:
    for bias in (0.0, 1.0, 3.0):
        assert gate_gain(bias, 6) == pytest.approx(1.0 / (1.0 + np.exp(-bias)), rel=1e-6)


def test_multiplies_jacobians_as_autograd_does() -> None:
    units, steps, seed = 5, 4, 2
    generator = np.random.default_rng(seed)
    weight = generator.standard_normal((units, units))
    weight *= 1.3 / np.linalg.norm(weight, 2)
    inputs = [torch.from_numpy(0.1 * generator.standard_normal(units)) for _ in range(2 * steps)]

    def run(state: torch.Tensor, some: list[torch.Tensor]) -> torch.Tensor:
        for one in some:
            state = torch.tanh(torch.from_numpy(weight) @ state + one)
        return state

    nothing = torch.zeros(units, dtype=torch.float64)
    expected = []
    for back in range(1, steps + 1):
        earlier = run(nothing, inputs[:-back])
        jacobian = torch.autograd.functional.jacobian(lambda state, k=back: run(state, inputs[-k:]), earlier)
        expected.append(float(torch.linalg.matrix_norm(jacobian, 2)))
    assert jacobian_norms(ACTIVATIONS["tanh"], 1.3, units, steps, seed) == pytest.approx(expected, rel=1e-10)


def test_keeps_its_modules_where_a_run_file_names_them() -> None:
    names = {name for name, module in draw_sequence_network(CELLS[IRNN], (2, 3, 1), 0).named_modules() if name}
    assert names == {"recurrent", "readout"}
    assert isinstance(draw_sequence_network(CELLS[IRNN], (2, 3, 1), 0).recurrent, nn.RNN)
