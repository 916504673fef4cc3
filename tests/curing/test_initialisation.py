import numpy as np
import pytest
import torch
from torch import nn

from curing.patients import ConvolutionalNetwork, FunctionalNetwork, fresh_pair, sigmoid_stack, train
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.initialisation import RedrawWeights
from gradiometer.errors import CureRefusedError
from gradiometer.schema import Run


def redrawn(model, scheme, **known):
    RedrawWeights(scheme).apply(Patient(model, **known))
    return model


def wide_mlp(activation):
    return nn.Sequential(nn.Linear(300, 400), activation(), nn.Linear(400, 500), activation(), nn.Linear(500, 10))


def test_draws_at_the_scale_that_torch_draws_at():
    model, twin = wide_mlp(nn.ReLU), wide_mlp(nn.ReLU)
    redrawn(model, "glorot")
    for mine, theirs in ((model[i].weight.detach(), twin[i].weight.detach()) for i in (0, 2, 4)):
        nn.init.xavier_uniform_(theirs)
        # 2 %: the sampling error of 5,000 weights and more
        assert float(mine.std()) == pytest.approx(float(theirs.std()), rel=0.02)
        assert float(mine.abs().max()) == pytest.approx(float(theirs.abs().max()), rel=0.01)
    redrawn(model, "he")
    nn.init.kaiming_normal_(twin[2].weight, nonlinearity="relu")
    assert float(model[2].weight.detach().std()) == pytest.approx(float(twin[2].weight.detach().std()), rel=0.02)
    assert float(model[4].weight.detach().std()) < float(model[2].weight.detach().std())
    assert not any(bool(model[i].bias.any()) for i in (0, 2, 4))


@pytest.mark.parametrize("scheme", ["glorot", "he", "critical"])
def test_keeps_the_size_of_the_signal_through_transposed_and_grouped_convolutions(scheme):
    model = nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 64, 4, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 2, stride=2, groups=4),
        nn.ReLU(),
        nn.Conv2d(32, 4, 1),
    )
    redrawn(model, scheme)
    x = torch.randn(8, 8, 12, 12)
    sizes = []
    for module in model[:-1]:
        x = module(x)
        if not isinstance(module, nn.ReLU):
            sizes.append(float(x.detach().square().mean()))
    # Glorot's loses half at each ReLU and more where fans are unequal; the other two keep it, edges aside
    least = 0.01 if scheme == "glorot" else 0.5
    assert least < sizes[-1] / sizes[0] < 1.6


def test_draws_orthogonal_matrices_at_the_edge_of_chaos_of_the_own_activation():
    for activation, sigma_w in ((nn.ReLU, 2.0**0.5), (nn.Tanh, 1.0), (nn.Sigmoid, 4.0)):
        model = nn.Sequential(nn.Linear(50, 60), activation(), nn.Linear(60, 60), activation(), nn.Linear(60, 5))
        redrawn(model, "critical")
        singular = torch.linalg.svdvals(model[2].weight.detach())
        assert torch.allclose(singular, torch.full_like(singular, sigma_w), atol=1e-4)


def test_takes_the_mean_out_of_sigmoid_layers_by_their_biases():
    model = redrawn(sigmoid_stack(depth=10, width=32), "critical")
    x = torch.randn(64, 6)
    with torch.no_grad():
        for module in model[:-1]:
            x = module(x)
            if isinstance(module, nn.Sigmoid):
                assert float(x.mean()) == pytest.approx(0.5, abs=0.05)
    # the last hidden layer still tells its inputs apart: under zero biases they would be alike to 1e-3
    assert float(x.std(dim=0).mean()) > 0.02


def test_counts_an_exchanged_functional_activation_as_the_new_one():
    model = FunctionalNetwork()
    patient = Patient(model)
    parse_cure("exchange_activation:relu+redraw_weights:critical").apply(patient)
    singular = torch.linalg.svdvals(model.second.weight.detach())
    assert torch.allclose(singular, torch.full_like(singular, 2.0**0.5), atol=1e-4)


def test_scales_the_first_layer_by_the_size_of_the_input_that_the_run_measured():
    plain, scaled = sigmoid_stack(), sigmoid_stack()
    redrawn(plain, "critical")
    redrawn(scaled, "critical", run=Run(snapshot_columns={"input_rms": np.array([np.nan, 8.0])}))
    assert torch.allclose(scaled[0].weight * 8.0, plain[0].weight, rtol=1e-4)
    assert torch.equal(scaled[2].weight, plain[2].weight)


def test_copies_into_the_same_parameters_of_any_number_format():
    model = sigmoid_stack().to(torch.bfloat16)
    weights = [id(parameter) for parameter in model.parameters()]
    redrawn(model, "he")
    assert [id(parameter) for parameter in model.parameters()] == weights
    assert model[0].weight.dtype is torch.bfloat16


def test_leaves_norms_embeddings_tied_frozen_and_computed_weights_alone():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(7, 8)
            self.frozen = nn.Linear(8, 8).requires_grad_(False)
            self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
            self.attention = nn.MultiheadAttention(8, 2)
            self.norm = nn.LayerNorm(8)
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self.decoder = nn.Linear(8, 7, bias=False)
            self.decoder.weight = self.embedding.weight

    model = Tied()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    redrawn(model, "he")
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(after[name], before[name])}
    assert changed == {"first.weight", "first.bias", "second.weight", "second.bias"}


def test_wipes_the_optimizers_memory_of_what_it_redrew():
    pair = fresh_pair("convolutional")
    train(pair.model, pair.optimizer, [])
    redrawn(pair.model, "he", optimizer=pair.optimizer)
    names = {id(parameter): name for name, parameter in pair.model.named_parameters()}
    left = {names[id(parameter)] for parameter in pair.optimizer.state}
    assert left == {"features.3.weight", "features.3.bias"}


def test_gives_the_same_weights_for_the_same_seed_only():
    first, second, third = ConvolutionalNetwork(), ConvolutionalNetwork(), ConvolutionalNetwork()
    redrawn(first, "critical")
    redrawn(second, "critical")
    RedrawWeights("critical", seed=1).apply(Patient(third))
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, third.head.weight)


def test_refuses_criticality_without_an_activation_or_with_one_that_has_none():
    with pytest.raises(CureRefusedError, match="no hidden activation"):
        redrawn(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), "critical")
    with pytest.raises(CureRefusedError, match="flat around zero"):
        redrawn(nn.Sequential(nn.Linear(4, 4), nn.Hardshrink(), nn.Linear(4, 2)), "critical")
