"""What a batch asks, against autograd; and that the model stays exactly as it was."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nudged_networks import BATCH, KINDS, Nudged, nudged
from torch import Tensor, nn

import gradiometer
from gradiometer.errors import GradiometerError, SettingsError
from gradiometer.schema import Nudges


def ask(given: Nudged, **options: object) -> Nudges:
    return gradiometer.nudges(given.model, given.loss_fn, given.x, given.y, **options)


def gradients_of(given: Nudged) -> dict[str, Tensor]:
    """The gradients that a training loop would get, on a copy, from the same random state."""
    model, state = copy.deepcopy(given.model), torch.get_rng_state()
    given.loss_fn(model(given.x), given.y).backward()
    torch.set_rng_state(state)
    return {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("kind", KINDS)
def test_gives_the_gradients_that_training_gets(kind: str):
    given = nudged(kind)
    expected = gradients_of(given)
    found = ask(given)
    assert [one.parameter for one in found.parameters] == list(expected)
    for one in found.parameters:
        assert one.gradient_norm == pytest.approx(float(expected[one.parameter].norm()), rel=1e-12, abs=1e-18)
        np.testing.assert_array_equal(found.gradient(one.parameter), expected[one.parameter].numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_leaves_the_model_exactly_as_it_was(kind: str):
    given = nudged(kind)
    model = given.model
    next(model.parameters()).grad = torch.ones_like(next(model.parameters()))
    before = {
        name: (id(value), value._version, value.clone()) for name, value in model.state_dict(keep_vars=True).items()
    }
    modes, hooks = [one.training for one in model.modules()], [len(one._forward_hooks) for one in model.modules()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    found = ask(given, data=[(given.x, given.y)])
    found.asks(found.layers[-1].layer, 0)
    found.path(found.parameters[-1].parameter, tuple(0 for _ in found.gradient(found.parameters[-1].parameter).shape))
    after = model.state_dict(keep_vars=True)
    assert {name: (id(value), value._version) for name, value in after.items()} == {
        name: kept[:2] for name, kept in before.items()
    }
    assert all(torch.equal(value, before[name][2]) for name, value in after.items())
    assert [one.training for one in model.modules()] == modes
    assert [len(one._forward_hooks) for one in model.modules()] == hooks
    grads = [one.grad for one in model.parameters()]
    assert torch.equal(grads[0], torch.ones_like(grads[0]))
    assert grads[1:] == [None] * (len(grads) - 1)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert (np.random.get_state()[1] == states[2]).all()
    assert not torch.nn.modules.module._global_forward_hooks


def test_leaves_the_model_as_it_was_where_the_loss_fails():
    given = nudged("convolutional")
    before = given.model.norm.running_mean.clone()
    state = torch.get_rng_state()

    def fail(output: Tensor, target: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gradiometer.nudges(given.model, fail, given.x, given.y)
    assert torch.equal(given.model.norm.running_mean, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.nn.modules.module._global_forward_hooks


def test_names_activations_and_errors_of_every_layer():
    given = nudged("mlp")
    found = ask(given)
    assert [(one.layer, one.kind) for one in found.layers] == [
        *(("0", "Linear"), ("1", "Sigmoid"), ("2", "Linear"), ("3", "ReLU"), ("4", "Linear"))
    ]
    zero, one, two = given.model[0], given.model[2], given.model[4]
    first = (given.x @ zero.weight.T + zero.bias).detach().requires_grad_()
    second = torch.sigmoid(first) @ one.weight.T + one.bias
    last = torch.relu(second) @ two.weight.T + two.bias
    errors = torch.autograd.grad(F.cross_entropy(last, given.y), [first, second, last])
    for layer, activation, error in zip(("0", "2", "4"), (first, second, last), errors, strict=True):
        np.testing.assert_allclose(found.layer(layer).activations, activation.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(found.layer(layer).errors, error.numpy(), rtol=1e-12, atol=1e-16)
        np.testing.assert_array_equal(found.layer(layer).wanted, -found.layer(layer).errors)


def test_wants_the_right_output_up_and_the_others_down_in_proportion_to_the_error():
    given = nudged("mlp")
    found = ask(given)
    guess = torch.softmax(given.model(given.x), 1).detach()
    expected = (F.one_hot(given.y, 3) - guess) / BATCH
    np.testing.assert_allclose(found.wanted, expected.numpy(), rtol=1e-12)
    assert found.targets == tuple(given.y.tolist())


def test_asks_a_unit_by_its_three_ways():
    given = nudged("mlp")
    found = ask(given)
    asked = found.asks("2", unit=1, example=2)
    below, error = found.layer("1").activations[2], found.layer("2").errors[2, 1]
    assert asked.error == pytest.approx(error)
    assert asked.bias == pytest.approx(-error)
    np.testing.assert_allclose(asked.weights["2.weight"], -error * below)
    np.testing.assert_allclose(asked.activations["1"], -error * given.model[2].weight[1].detach().numpy())


def test_what_is_asked_of_activations_adds_up_to_the_error_below():
    given = nudged("mlp")
    found = ask(given)
    asked = sum(found.asks("2", unit, 0).activations["1"] for unit in range(4))
    np.testing.assert_allclose(asked, found.layer("1").wanted[0], rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked_of_weights_adds_up_to_the_gradient(kind: str):
    given = nudged(kind)
    found = ask(given)
    layer = next(one for one in reversed(found.layers) if one.unit_axis == 1 and len(one.shape) == 2)
    total: dict[str, np.ndarray] = {}
    for unit in range(layer.shape[1]):
        for example in range(BATCH):
            for name, wanted in found.asks(layer.layer, unit, example).weights.items():
                whole = np.zeros_like(found.gradient(name))
                if wanted.shape == whole.shape:
                    whole = wanted
                else:
                    whole[unit] = wanted
                total[name] = total.get(name, 0.0) - whole
    assert total
    for name in set(total) - {"embedding.weight"}:
        np.testing.assert_allclose(total[name], found.gradient(name), rtol=1e-9, atol=1e-15)


def test_tells_what_is_left_of_single_examples_in_their_mean():
    given = nudged("mlp")
    found = ask(given)
    for one in found.parameters:
        single = []
        for row in range(BATCH):
            model = copy.deepcopy(given.model)
            given.loss_fn(model(given.x[row : row + 1]), given.y[row : row + 1]).backward()
            single.append(float(dict(model.named_parameters())[one.parameter].grad.norm()))
        assert one.asked_norm == pytest.approx(np.mean(single), rel=1e-9)
        assert one.agreement == pytest.approx(one.gradient_norm / np.mean(single), rel=1e-9)


def test_tells_recurrent_examples_apart_one_by_one():
    given = nudged("recurrent")
    found = {one.parameter: one for one in ask(given).parameters}
    single = []
    for row in range(BATCH):
        model = copy.deepcopy(given.model)
        given.loss_fn(model(given.x[row : row + 1]), given.y[row : row + 1]).backward()
        single.append(float(model.lstm.weight_hh_l0.grad.norm()))
    assert found["lstm.weight_hh_l0"].asked_norm == pytest.approx(np.mean(single), rel=1e-9)


def test_says_where_examples_can_not_be_told_apart():
    found = {one.parameter: one for one in ask(nudged("convolutional")).parameters}
    assert found["first.weight"].agreement is None
    assert "batch normalisation" in found["first.weight"].reason
    assert found["second.weight"].reason == ""
    assert 0.0 < found["second.weight"].agreement <= 1.0


def test_compares_with_the_direction_of_the_data_set():
    given = nudged("mlp")
    other = torch.randn(7, 5, dtype=torch.float64), torch.randint(3, (7,))
    found = ask(given, data=[(given.x, given.y), other])
    whole = copy.deepcopy(given.model)
    F.cross_entropy(whole(torch.cat([given.x, other[0]])), torch.cat([given.y, other[1]])).backward()
    one = torch.cat([value.flatten() for value in gradients_of(given).values()])
    all_of_them = torch.cat([value.grad.flatten() for value in whole.parameters()])
    assert found.true_cosine == pytest.approx(float(F.cosine_similarity(one, all_of_them, dim=0)), rel=1e-9)
    assert ask(given, data=[(given.x, given.y)]).true_cosine == pytest.approx(1.0)
    assert ask(given).true_cosine is None


def test_lists_the_most_sensitive_weights():
    given = nudged("mlp")
    found = ask(given, most_sensitive=4)
    flat = torch.cat([value.flatten() for value in gradients_of(given).values()]).abs()
    assert [abs(one.gradient) for one in found.sensitive] == flat.sort(descending=True).values[:4].tolist()
    assert found.median_gradient == float(flat.median())
    first = found.sensitive[0]
    assert first.times_median == pytest.approx(abs(first.gradient) / float(flat.median()))
    assert found.gradient(first.parameter)[first.index] == first.gradient


def test_keeps_only_norms_of_a_large_network():
    given = nudged("mlp")
    small, full = ask(given, most_values=10), ask(given)
    assert all(one.activations is None and one.errors is None for one in small.layers)
    assert [one.error_norm for one in small.layers] == [one.error_norm for one in full.layers]
    assert full.layer("0").error_norm == pytest.approx(np.linalg.norm(full.layer("0").errors))


def test_takes_several_inputs_and_names():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 1)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.layer(left - right)

    model, left, right = Two(), torch.randn(3, 2), torch.randn(3, 2)
    one = gradiometer.nudges(model, F.mse_loss, (left, right), torch.zeros(3, 1))
    other = gradiometer.nudges(model, F.mse_loss, {"right": right, "left": left}, torch.zeros(3, 1))
    assert one.loss == other.loss
    assert one.targets is None
    assert set(one.asks("layer", 0).activations) == {"input", "input#2"}


def test_refuses_a_model_that_has_changed_since():
    given = nudged("mlp")
    found = ask(given)
    with torch.no_grad():
        given.model[0].weight.mul_(2.0)
    with pytest.raises(GradiometerError, match="changed since; call gradiometer.nudges again"):
        found.path("0.weight", (0, 0))
    found = ask(given)
    given.model[0].weight.data.mul_(2.0)
    with pytest.raises(GradiometerError, match="changed since"):
        found.asks("0", 0)
    found = ask(given)
    given.model.eval()
    with pytest.raises(GradiometerError, match="changed since"):
        found.gradient("0.weight")


def test_says_which_names_there_are():
    found = ask(nudged("mlp"))
    with pytest.raises(GradiometerError, match="there are: 0, 1, 2, 3, 4"):
        found.layer("body")
    with pytest.raises(GradiometerError, match="No layer 'body' was called"):
        found.asks("body", 0)
    with pytest.raises(GradiometerError, match="has 4 units and the batch 4 examples"):
        found.asks("2", 4)
    with pytest.raises(GradiometerError, match="No trainable parameter 'w'"):
        found.gradient("w")
    with pytest.raises(GradiometerError, match=r"has the shape \(6, 5\)"):
        found.path("0.weight", (6, 0))


def test_refuses_what_can_not_be_asked():
    model = nn.Linear(2, 1)
    with pytest.raises(SettingsError, match="has to return one number"):
        gradiometer.nudges(model, lambda output, _: output, torch.ones(3, 2), None)
    with pytest.raises(SettingsError, match="depends on no weight"):
        gradiometer.nudges(model, lambda *_: torch.ones(()), torch.ones(3, 2), None)
    with pytest.raises(SettingsError, match="at least one example"):
        gradiometer.nudges(model, F.mse_loss, torch.ones(0, 2), torch.ones(0, 1))


def test_holds_where_everything_is_nan():
    given = nudged("mlp")
    found = gradiometer.nudges(given.model, given.loss_fn, given.x * float("nan"), given.y)
    assert np.isnan(found.loss)
    assert np.isnan(found.layer("4").errors).any()
    assert "not finite" in found.story() or "every gradient is zero" in found.story()


def test_tells_a_story_of_one_example():
    given = nudged("mlp")
    with torch.no_grad():
        given.model[4].bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    found = gradiometer.nudges(given.model, given.loss_fn, given.x[:1], torch.tensor([2]))
    story = found.story()
    assert "Example 0 is a 2; the network says 0." in story
    assert "output 2 should rise by" in story
    assert "output 0 should fall by" in story
    assert "most sensitive to 4." in story
    right = gradiometer.nudges(given.model, given.loss_fn, given.x, torch.zeros(BATCH, dtype=torch.long))
    assert "Example 3 is a 0, and the network says so." in right.story(3)
    with pytest.raises(GradiometerError, match="There is no example 4"):
        right.story(4)


def watched_weights(*, is_nudged: bool) -> tuple[list[Tensor], list[float]]:
    """Weights and recorded losses of a short watched training."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    x, y = torch.randn(16, 5), torch.randint(3, (16,))
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(4):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            if is_nudged:
                gradiometer.nudges(model, F.cross_entropy, x, y).path("0.bias", 0)
            optimizer.step()
    assert watching.run.events == ()
    return [value.detach() for value in model.parameters()], watching.run.snapshot_columns["loss"].tolist()


def test_disturbs_no_training_and_no_measurement_amid_a_step():
    plain, nudged_amid = watched_weights(is_nudged=False), watched_weights(is_nudged=True)
    assert all(torch.equal(one, other) for one, other in zip(plain[0], nudged_amid[0], strict=True))
    assert plain[1] == nudged_amid[1]


def test_runs_a_compiled_model_as_it_was_written():
    model = torch.compile(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)), backend="eager")
    found = gradiometer.nudges(model, F.cross_entropy, torch.randn(2, 4), torch.tensor([0, 1]))
    assert [one.layer for one in found.layers] == ["0", "1", "2"]
    assert [one.parameter for one in found.parameters] == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_shows_itself_in_a_line_and_a_weights_gradient_as_a_sum_of_products():
    given = nudged(KINDS[0])
    found = ask(given)
    name = found.parameters[0].parameter
    path = found.path(name, tuple(0 for _ in found.gradient(name).shape))
    heading, *ways = str(path).splitlines()
    assert len(repr(found)) < 120
    assert str(found) == found.story()
    assert f"{path.gradient:.6g}" in heading
    assert sum(float(way.split()[0]) for way in ways) == pytest.approx(path.gradient, rel=0.02, abs=1e-12)
