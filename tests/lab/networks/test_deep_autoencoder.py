"""Deep autoencoders and principal components."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradiometer.curing.learners.rbm import RbmSettings
from gradiometer.lab.networks.deep_autoencoder import (
    cross_entropy,
    draw_ways,
    learn_ways,
    principal_components,
    rebuilt,
    squared_error,
    unrolled,
)
from gradiometer.lab.networks.plain import standard_start


@pytest.fixture
def samples() -> Tensor:
    return torch.rand(50, 8, generator=torch.Generator().manual_seed(0))


def test_finds_the_principal_components_that_numpys_singular_values_find(samples: Tensor) -> None:
    mean, axes = principal_components(samples, 3)
    exact = samples.double().numpy()
    left, values, right = np.linalg.svd(exact - exact.mean(0), full_matrices=False)
    expected = exact.mean(0) + left[:, :3] * values[:3] @ right[:3]
    assert np.allclose(rebuilt(samples, mean, axes).numpy(), expected, atol=1e-12)


def test_the_way_back_begins_as_the_way_there_transposed(samples: Tensor) -> None:
    there, back = learn_ways(samples, (6, 4, 2), RbmSettings(updates=10), torch.Generator().manual_seed(0))
    for layer, reverse in zip(there, back[::-1], strict=True):
        assert torch.equal(layer.weight.T, reverse.weight)
    assert [tuple(layer.weight.shape) for layer in there] == [(6, 8), (4, 6), (2, 4)]


def test_unrolls_into_sigmoids_with_a_linear_code_and_logits(samples: Tensor) -> None:
    there, back = draw_ways((8, 5, 2), standard_start, 0)
    network = unrolled(there, back)
    assert [type(module) for module in network] == [nn.Linear, nn.Sigmoid, nn.Linear, nn.Linear, nn.Sigmoid, nn.Linear]
    code = torch.sigmoid(samples @ there[0].weight.T) @ there[1].weight.T
    logits = torch.sigmoid(code @ back[0].weight.T) @ back[1].weight.T
    assert torch.allclose(network(samples), logits, atol=1e-6)


def test_the_way_back_is_free_to_differ_from_the_way_there(samples: Tensor) -> None:
    there, back = learn_ways(samples, (6, 2), RbmSettings(updates=10), torch.Generator().manual_seed(0))
    before = there[0].weight.detach().clone()
    network = unrolled(there, back)
    cross_entropy(network(samples), samples).backward()
    torch.optim.SGD(back[-1].parameters(), 1.0).step()
    assert torch.equal(there[0].weight, before)
    assert not torch.equal(back[-1].weight.T, before)


def test_counts_squared_errors_and_nats_a_picture(samples: Tensor) -> None:
    network = nn.Sequential(nn.Linear(8, 8))
    nn.init.zeros_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    assert squared_error(network, samples) == pytest.approx(float((samples - 0.5).square().sum() / 50))
    assert cross_entropy(network(samples), samples).item() == pytest.approx(8 * np.log(2.0), rel=1e-6)
