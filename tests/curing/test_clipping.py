import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import LBFGS, SGD, Adam

from curing.cure_contract import check_labels
from curing.patients import ConvolutionalNetwork, fresh_model, fresh_pair, same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.clipping import chosen_norm, healthy_norms
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import PARAMETER_COLUMNS, Parameter, Run


def run_with(total_norms):
    return Run(steps=np.arange(len(total_norms)), step_columns={"total_norm": np.array(total_norms, dtype=float)})


def test_scales_the_gradient_down_to_the_norm_as_torch_does_and_no_further():
    for size in (100.0, 1e-3):
        pair, twin = fresh_pair("sigmoid_stack"), fresh_pair("sigmoid_stack")
        parse_cure("clip_gradients:0.5").apply(Patient(pair.model, pair.optimizer))
        for model in (pair.model, twin.model):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, size)
        torch.nn.utils.clip_grad_norm_(twin.model.parameters(), 0.5)
        pair.optimizer.step()
        twin.optimizer.step()
        for mine, theirs in zip(pair.model.parameters(), twin.model.parameters(), strict=True):
            assert torch.equal(mine, theirs)


def test_takes_the_median_of_the_healthy_norms():
    norms = [1.0, 2.0, 3.0, 2.0, 1e6, np.nan, np.inf, 0.0]
    assert healthy_norms(run_with(norms)).tolist() == [1.0, 2.0, 3.0, 2.0]
    pair = fresh_pair("sigmoid_stack")
    adam = Adam(pair.model.parameters())
    assert chosen_norm(Patient(pair.model, adam, run=run_with(norms))) == 2.0


def test_reads_the_norms_from_full_measurements_where_the_script_does_not_clip():
    columns = {name: np.full((2, 2), np.nan) for name in PARAMETER_COLUMNS}
    columns["gradient_rms"] = np.array([[3.0, 4.0], [6.0, 8.0]])
    parameters = (Parameter("a", None, (1,), "float32"), Parameter("b", None, (1,), "float32"))
    run = Run(parameters=parameters, snapshot_steps=np.arange(2), parameter_columns=columns)
    assert healthy_norms(run).tolist() == [5.0, 10.0]


def test_bounds_the_step_of_plain_descent_where_every_norm_of_the_run_is_huge():
    pair = fresh_pair("sigmoid_stack")
    weight_norm = sum(float(p.detach().square().sum()) for p in pair.model.parameters()) ** 0.5
    chosen = chosen_norm(Patient(pair.model, pair.optimizer, run=run_with([1e5, 2e5, 3e5])))
    assert chosen == pytest.approx(0.01 * weight_norm / 0.1, rel=0.05)  # two digits are kept


def test_falls_back_to_one_where_nothing_is_known():
    pair = fresh_pair("sigmoid_stack")
    assert chosen_norm(Patient(pair.model, Adam(pair.model.parameters()))) == 1.0


def test_leaves_the_optimizer_copyable():
    pair = fresh_pair("sigmoid_stack")
    parse_cure("clip_gradients").apply(Patient(pair.model, pair.optimizer))
    copy.deepcopy(pair.optimizer)
    pickle.dumps(pair.optimizer)


def test_refuses_without_an_optimizer_and_for_lbfgs():
    pair = fresh_pair("sigmoid_stack")
    with pytest.raises(CureRefusedError, match="constructed"):
        parse_cure("clip_gradients").apply(Patient(pair.model))
    with pytest.raises(CureRefusedError, match="LBFGS"):
        parse_cure("clip_gradients").apply(Patient(pair.model, LBFGS(pair.model.parameters())))


def with_gradients(model, size=1.0):
    """Give every parameter the same gradient every time."""
    generator = torch.Generator().manual_seed(2)
    for parameter in model.parameters():
        parameter.grad = size * torch.randn(parameter.shape, generator=generator)


def clipped_gradients(label, model, optimizer):
    """The gradients that the step is made with."""
    parse_cure(label).apply(Patient(model, optimizer))
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.extend(p.grad.clone() for p in model.parameters()))
    optimizer.step()
    return seen


def test_keeps_every_number_within_a_value_as_torch_does():
    mine, theirs = fresh_model("convolutional"), fresh_model("convolutional")
    for model in (mine, theirs):
        with_gradients(model)
    seen = clipped_gradients("clip_gradients:value=0.5", mine, SGD(mine.parameters(), lr=0.1))
    torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.5)
    assert all(torch.equal(grad, parameter.grad) for grad, parameter in zip(seen, theirs.parameters(), strict=True))


def test_bounds_each_units_gradient_by_its_weights_and_leaves_the_output_layer_out():
    """Against a loop over units in float64 numpy."""
    torch.manual_seed(11)
    model = ConvolutionalNetwork()
    with torch.no_grad():
        model.features[0].weight[1] = 0.0  # a unit that starts at zero may move, by a share of 1e-3
    with_gradients(model)
    before = {name: parameter.grad.numpy().astype(np.float64) for name, parameter in model.named_parameters()}
    seen = clipped_gradients("clip_gradients:adaptive=0.02", model, SGD(model.parameters(), lr=0.0))
    for (name, parameter), grad in zip(model.named_parameters(), seen, strict=True):
        gradient, weight = before[name], parameter.detach().numpy().astype(np.float64)
        if name.startswith("head"):
            assert np.array_equal(grad, gradient.astype(np.float32))
            continue
        if gradient.ndim == 1:
            gradient, weight = gradient[None], weight[None]
        if name == "features.5.weight":  # transposed: units lie along the second dimension
            gradient, weight = gradient.swapaxes(0, 1), weight.swapaxes(0, 1)
        expected = []
        for unit, own in zip(gradient, weight, strict=True):
            greatest = 0.02 * max(np.linalg.norm(own), 1e-3)
            expected.append(unit * min(1.0, greatest / np.linalg.norm(unit)))
        got = grad.numpy()[None] if parameter.dim() == 1 else grad.numpy()
        got = got.swapaxes(0, 1) if name == "features.5.weight" else got
        assert np.allclose(got, expected, rtol=1e-5)  # float32


def test_leaves_parameters_without_a_gradient_and_other_optimizers_alone():
    model = fresh_model("sigmoid_stack")
    with_gradients(model, 10.0)
    model[0].weight.grad = None
    first, second = SGD([model[0].weight, model[2].weight], lr=0.1), SGD([model[4].weight], lr=0.1)
    for label in ("clip_gradients:1.0", "clip_gradients:value=0.5", "clip_gradients:adaptive"):
        parse_cure(label).apply(Patient(model, first))
    other = model[4].weight.grad.clone()
    first.step()
    second.step()
    assert model[0].weight.grad is None
    assert torch.equal(model[4].weight.grad, other)
    assert float(model[2].weight.grad.norm()) < 1.0


class Words(nn.Module):
    """An embedding with sparse gradients."""

    def __init__(self, *, is_sparse):
        super().__init__()
        torch.manual_seed(11)
        self.words, self.output = nn.Embedding(20, 4, sparse=is_sparse), nn.Linear(4, 3)

    def forward(self, indices):
        return self.output(self.words(indices).mean(1))


def trained_words(label, *, is_sparse, by_snippet=False):
    model = Words(is_sparse=is_sparse)
    optimizer = SGD(model.parameters(), lr=0.5)
    if by_snippet:
        code = parse_cure(label).snippet(Patient(model, optimizer))
        exec(code, {"model": model, "optimizer": optimizer})
    elif label:
        parse_cure(label).apply(Patient(model, optimizer))
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        indices = torch.randint(0, 20, (8, 5), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(indices), torch.randint(0, 3, (8,), generator=generator)).backward()
        optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize(
    "label", ["clip_gradients:0.02", "clip_gradients:value=0.005", "clip_gradients:adaptive=0.002"]
)
def test_clips_sparse_gradients_as_it_does_dense_ones(label):
    sparse, dense = trained_words(label, is_sparse=True), trained_words(label, is_sparse=False)
    assert all(torch.allclose(sparse[name], dense[name], rtol=1e-5, atol=1e-7) for name in dense)
    assert not torch.allclose(dense["words.weight"], trained_words("", is_sparse=False)["words.weight"])
    assert same_bits(sparse, trained_words(label, is_sparse=True, by_snippet=True))
    assert same_bits(dense, trained_words(label, is_sparse=False, by_snippet=True))


@pytest.mark.parametrize("is_fused", [False, True])
@pytest.mark.parametrize("unscales", [False, True])
@pytest.mark.parametrize("label", ["clip_gradients:0.02", "clip_gradients:value=0.005", "clip_gradients:adaptive"])
def test_clips_true_gradients_under_a_gradient_scaler(label, unscales, is_fused):
    """A fused kernel is handed gradients that the scaler has not divided."""

    def trained(factor, *, by_snippet=False):
        pair = fresh_pair("sigmoid_stack")
        optimizer = SGD(pair.model.parameters(), lr=0.5, momentum=0.9, fused=is_fused)
        if by_snippet:
            names = {"model": pair.model, "optimizer": optimizer}
            exec(parse_cure(label).snippet(Patient(pair.model, optimizer)), names)
        else:
            parse_cure(label).apply(Patient(pair.model, optimizer))
        scaler = torch.amp.GradScaler("cpu", init_scale=factor, enabled=factor > 1.0)
        generator = torch.Generator().manual_seed(3)
        for _ in range(4):
            x, y = torch.randn(8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator)
            optimizer.zero_grad()
            scaler.scale(F.cross_entropy(pair.model(x), y)).backward()
            if unscales:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        return pair.model.state_dict()

    plain, scaled = trained(1.0), trained(1024.0)
    # The small number that keeps torch's clipping from dividing by zero is not scaled along.
    assert all(torch.allclose(plain[name], scaled[name], rtol=1e-4, atol=1e-6) for name in plain)
    assert same_bits(scaled, trained(1024.0, by_snippet=True))


def test_reads_and_writes_its_three_kinds():
    for label in (
        "clip_gradients",
        "clip_gradients:value=0.5",
        "clip_gradients:adaptive",
        "clip_gradients:adaptive=0.1",
    ):
        check_labels(label)
    for setting in ("value", "value=0", "adaptive=x", "share=1", "=1"):
        with pytest.raises(SettingsError, match="write a norm above 0"):
            parse_cure(f"clip_gradients:{setting}")
