"""Inputs shifted and scaled by what was gathered of them."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from curing.cure_contract import check_change, check_labels, check_random_state, check_refusal, check_snippet
from curing.patients import NETWORKS, first_batch, fresh_model, same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.input_scale import mean_and_spread, rows_of
from gradiometer.errors import CureRefusedError, SettingsError

LABEL = "standardise_input"
BATCH = first_batch()


def uneven(examples=96, seed=6):
    """A table whose columns have different units and means, one of them constant."""
    table = torch.randn(examples, 6, generator=torch.Generator().manual_seed(seed))
    return table * torch.tensor([1.0, 1000.0, 0.01, 5.0, 1.0, 0.0]) + torch.tensor([0.0, 30.0, 7.0, -4.0, 0.0, 3.0])


def images(examples=40):
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (examples, 3, 5, 5), generator=generator).float() * torch.tensor(
        [1.0, 0.5, 0.1]
    ).reshape(3, 1, 1)


def image_model():
    torch.manual_seed(11)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3))


def cured(model, samples):
    parse_cure(LABEL).apply(Patient(model, samples=samples))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_keeps_the_contract_of_cures_on_tables(name):
    network, samples = partial(fresh_model, name), uneven()
    check_snippet(LABEL, network, uneven(16, seed=9), samples)
    check_change(LABEL, network, uneven(16, seed=9), samples)
    check_random_state(LABEL, network, BATCH, samples)
    check_labels(LABEL)


def test_keeps_the_contract_of_cures_on_images():
    check_snippet(LABEL, image_model, images(8), images())


def inside(model, batch):
    """What the first layer is given."""
    seen = []
    handle = model[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model(batch)
    handle.remove()
    return seen[0]


def test_gives_each_feature_of_a_table_mean_0_and_spread_1():
    given = inside(cured(fresh_model("sigmoid_stack"), uneven(2000)), uneven(2000, seed=8)).numpy()
    # of 2,000 examples a mean is known to 0.02 and a spread to 2 %; pulling in the tails makes it 3 % narrower
    assert np.abs(given[:, :5].mean(axis=0)).max() < 0.1
    assert np.abs(given[:, :5].std(axis=0) - 1.0).max() < 0.1
    assert np.abs(given[:, 5]).max() < 1e-6


def test_gives_each_channel_of_images_mean_0_and_spread_1():
    given = inside(cured(image_model(), images()), images()).numpy()
    assert np.abs(given.mean(axis=(0, 2, 3))).max() < 0.02
    assert np.abs(given.std(axis=(0, 2, 3)) - 1.0).max() < 0.02


def test_takes_features_of_sequences_last_and_channels_of_convolved_ones_first():
    sequences = torch.randn(30, 5, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [1.0, 10.0, 100.0, 0.1]
    )
    table = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Flatten(), nn.Linear(40, 2))
    convolved = nn.Sequential(nn.Conv1d(5, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 2))
    assert cured(table, sequences).input_mean.shape == (4,)
    assert cured(convolved, sequences).input_mean.shape == (5, 1)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3), st.integers(40, 400), st.integers(0, 2**31))
def test_measures_as_numpy_does_where_nothing_is_pulled_in(scale, shift, count, seed):
    rows = np.random.default_rng(seed).uniform(-1.0, 1.0, (min(count, 99), 3)) * scale + shift
    mean, spread = mean_and_spread(torch.from_numpy(rows))
    assert np.allclose(mean.numpy(), rows.mean(axis=0), rtol=1e-9, atol=1e-9)
    assert np.allclose(spread.numpy(), rows.std(axis=0), rtol=1e-6)


def test_lets_one_wrong_entry_decide_neither_scale_nor_signal():
    table = torch.randn(1000, 6, generator=torch.Generator().manual_seed(2))
    table[17, 2] = 1e8
    model = cured(fresh_model("sigmoid_stack"), 10.0 * table)
    given = inside(model, 10.0 * table)
    assert float(given.abs().max()) == 10.0
    assert float(given[:, 2].std()) == pytest.approx(1.0, abs=0.15)


def test_scales_a_rare_feature_by_its_plain_spread_and_a_constant_one_like_the_others():
    pixels = 255.0 * (torch.rand(1000, 6, generator=torch.Generator().manual_seed(3)) < 0.3)
    pixels[:, 4], pixels[:, 5] = 0.0, 0.0
    pixels[:4, 4] = 255.0
    mean, spread = mean_and_spread(rows_of(pixels, 1))
    assert float(spread[4]) == pytest.approx(float(pixels[:, 4].std(correction=0)), rel=1e-6)
    assert 100.0 < float(spread[5]) < 130.0
    assert float(mean[5]) == 0.0


def test_shares_one_mean_and_spread_where_there_are_too_few_examples():
    model = cured(fresh_model("sigmoid_stack"), uneven(8))
    assert model.input_mean.shape == ()
    check_snippet(LABEL, partial(fresh_model, "sigmoid_stack"), BATCH, uneven(8))


def test_leaves_out_examples_with_values_that_are_not_finite():
    spoilt = uneven()
    spoilt[3, 1], spoilt[4, 0] = float("nan"), float("inf")
    clean = torch.cat([spoilt[:3], spoilt[5:]])
    left, right = (cured(fresh_model("sigmoid_stack"), table) for table in (spoilt, clean))
    assert same_bits(left.state_dict(), right.state_dict())


def test_keeps_the_statistics_in_checkpoints_copies_and_pickles():
    model = cured(fresh_model("sigmoid_stack"), uneven())
    other = cured(fresh_model("sigmoid_stack"), 3.0 * uneven())
    other.load_state_dict(model.state_dict())
    batch = uneven(16, seed=9)
    assert torch.equal(other(batch), model(batch))
    assert torch.equal(pickle.loads(pickle.dumps(model))(batch), model(batch))  # noqa: S301 - of our own making


def test_leaves_weights_random_numbers_and_whole_number_inputs_alone():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.first, self.output = nn.Embedding(5, 6), nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, words, *, numbers):
            return self.output(torch.tanh(self.first(self.embedding(words) + numbers)))

    model = Mixed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cured(model, uneven())
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert set(after) - set(before) == {"input_mean", "input_spread"}
    seen = []
    model.embedding.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    words = torch.tensor([0, 1, 4])
    model(words, numbers=uneven(3))
    assert torch.equal(seen[0], words)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (None, "no inputs of floating-point numbers"),
        (torch.arange(60).reshape(10, 6), "whole numbers stay"),
        (torch.full((40, 6), 3.0), "do not vary"),
        (torch.full((40, 6), float("nan")), "do not vary"),
    ],
)
def test_refuses_inputs_that_it_can_not_scale(samples, reason):
    check_refusal(LABEL, partial(fresh_model, "sigmoid_stack"), BATCH, reason, samples)


def test_refuses_inputs_that_are_standardised_already_and_a_second_time():
    standard = torch.randn(4000, 6, generator=torch.Generator().manual_seed(4)).clamp(-2.0, 2.0)
    standard = (standard - standard.mean(0)) / standard.std(0)
    check_refusal(LABEL, partial(fresh_model, "sigmoid_stack"), BATCH, "spread 1 already", standard)
    model = cured(fresh_model("sigmoid_stack"), uneven())
    with pytest.raises(CureRefusedError, match="input_mean or input_spread already"):
        cured(model, uneven())
    with pytest.raises(SettingsError, match="write it without"):
        parse_cure(f"{LABEL}:robust")


def test_says_that_a_call_has_no_numbers_to_scale():
    model = cured(fresh_model("sigmoid_stack"), uneven())
    with pytest.raises(TypeError, match="no tensor of floating-point numbers"):
        model(torch.ones(3, 6, dtype=torch.int64))


@pytest.mark.parametrize("kind", ["thousandfold", "pixels", "table"])
def test_makes_a_network_learn_from_raw_inputs(kind):
    generator = torch.Generator().manual_seed(1)
    plain = torch.randn(512, 6, generator=generator)
    targets = (plain[:, 0] * plain[:, 1] > 0).long()
    raw = {
        "thousandfold": plain * torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 1000.0]),
        "pixels": (plain * 60.0 + 128.0).clamp(0.0, 255.0).round(),
        "table": plain * torch.tensor([1.0, 50.0, 1e-3, 1e4, 1.0, 0.1])
        + torch.tensor([0.0, 400.0, 1.0, 0.0, -70.0, 9.0]),
    }[kind]
    losses = []
    for is_cured in (False, True):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(6, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
        if is_cured:
            cured(model, raw)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(150):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(raw), targets)
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < 0.2 < 0.55 < losses[0]
