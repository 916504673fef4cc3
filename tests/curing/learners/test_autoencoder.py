import numpy as np
import pytest
import torch
from torch import Tensor

from gradiometer.curing.learners.autoencoder import (
    Autoencoder,
    AutoencoderSettings,
    decoded,
    encoded,
    new_autoencoder,
    reconstruction_loss,
    train_autoencoder,
)
from gradiometer.curing.learners.rbm import batches_of

LINEAR = AutoencoderSettings(
    activation="hardtanh", activation_settings={"min_val": -1e6, "max_val": 1e6}, corruption=0.0
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(2)


def correlated(count: int = 400, features: int = 6) -> Tensor:
    """Examples with some directions far stronger than others."""
    drawn = torch.randn(count, features, generator=generator())
    mixed = torch.linalg.qr(torch.randn(features, features, generator=generator()))[0]
    return drawn * torch.tensor([3.0, 2.0, 1.0, 0.3, 0.2, 0.1]) @ mixed + 1.0


def test_finds_the_principal_components_where_it_is_linear() -> None:
    data = correlated()
    settings = AutoencoderSettings(
        LINEAR.activation, LINEAR.activation_settings, corruption=0.0, updates=1500, rate=0.01, batch_size=400
    )
    learned = train_autoencoder(data, (2, 6), settings, generator())
    error = float(2 * reconstruction_loss(learned, data, data, settings))
    singular = np.linalg.svd((data - data.mean(0)).double().numpy(), compute_uv=False)
    least = float((singular[2:] ** 2).sum() / len(data))
    assert least <= error < 1.02 * least


CONVOLUTIONS = {
    "plain": ((5, 3, 3), (7,), {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}),
    "strided": ((4, 2, 3, 2), (8, 7), {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 1), "groups": 1}),
    "left over": ((4, 2, 2, 2), (7, 7), {"stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "groups": 1}),
    "grouped": ((6, 2, 3, 3), (6, 5), {"stride": (1, 2), "padding": (2, 1), "dilation": (2, 1), "groups": 3}),
    "in space": (
        (3, 2, 2, 2, 2),
        (4, 5, 6),
        {"stride": (2,) * 3, "padding": (1,) * 3, "dilation": (1,) * 3, "groups": 1},
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gives_back_by_the_adjoint_of_a_convolution(name: str) -> None:
    """For every x and h, <Kx, h> = <x, Kᵀh>; so the way back has the input's size and the right weights."""
    shape, sizes, convolution = CONVOLUTIONS[name]
    numbers = generator()
    channels = shape[1] * convolution["groups"]
    x = torch.randn(2, channels, *sizes, generator=numbers, dtype=torch.float64)
    layer = Autoencoder(
        torch.randn(shape, generator=numbers, dtype=torch.float64),
        torch.zeros(shape[0], dtype=torch.float64),
        torch.zeros(channels, dtype=torch.float64),
    )
    settings = AutoencoderSettings(LINEAR.activation, LINEAR.activation_settings, convolution=convolution)
    there = encoded(layer, x, settings)
    hidden = torch.randn(there.shape, generator=numbers, dtype=torch.float64)
    back = decoded(layer, hidden, settings, sizes)
    assert back.shape == x.shape
    assert float((there * hidden).sum()) == pytest.approx(float((x * back).sum()), rel=1e-9)


@pytest.mark.parametrize("has_bias", [True, False])
def test_takes_the_steps_of_adam(has_bias: bool) -> None:
    data = correlated()
    settings = AutoencoderSettings("tanh", has_hidden_bias=has_bias, corruption=0.2, updates=30, batch_size=50)
    learned = train_autoencoder(data, (4, 6), settings, generator())

    numbers = generator()
    oracle = new_autoencoder(data, (4, 6), settings, numbers)
    tensors = [oracle.weight, oracle.visible_bias, *([oracle.hidden_bias] if has_bias else [])]
    adam = torch.optim.Adam([tensor.requires_grad_() for tensor in tensors], lr=settings.rate)
    for whole in batches_of(data, 50, 30, numbers):
        seen = torch.where(torch.rand(whole.shape, generator=numbers) < 0.2, 0.0, whole)
        hidden = torch.tanh(seen @ oracle.weight.T + oracle.hidden_bias)
        loss = 0.5 * (hidden @ oracle.weight + oracle.visible_bias - whole).square().sum(1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    for ours, theirs in zip(
        (learned.weight, learned.visible_bias, learned.hidden_bias),
        (oracle.weight, oracle.visible_bias, oracle.hidden_bias),
        strict=True,
    ):
        assert torch.allclose(ours, theirs.detach(), atol=1e-5)
    assert bool(learned.hidden_bias.any()) == has_bias
    assert not learned.weight.requires_grad


def test_counts_the_nats_of_binary_units() -> None:
    data = torch.rand(10, 5, generator=generator())
    settings = AutoencoderSettings("sigmoid", visible="binary", corruption=0.0)
    learned = train_autoencoder(data, (3, 5), AutoencoderSettings("sigmoid", visible="binary", updates=5), generator())
    hidden = 1 / (1 + np.exp(-(data.numpy() @ learned.weight.numpy().T + learned.hidden_bias.numpy())))
    back = 1 / (1 + np.exp(-(hidden @ learned.weight.numpy() + learned.visible_bias.numpy())))
    expected = -(data.numpy() * np.log(back) + (1 - data.numpy()) * np.log(1 - back)).sum(1).mean()
    assert float(reconstruction_loss(learned, data, data, settings)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "gelu"])
def test_gives_back_images_better_than_their_mean(activation: str) -> None:
    images = torch.zeros(60, 1, 6, 6)
    for index, image in enumerate(images):
        image[0, index % 6] = 1.0
    convolution = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    settings = AutoencoderSettings(activation, convolution=convolution, updates=100, batch_size=20, rate=0.02)
    learned = train_autoencoder(images, (4, 1, 3, 3), settings, generator())
    by_mean = 0.5 * (images - images.mean()).square().sum() / len(images)
    assert reconstruction_loss(learned, images, images, settings) < 0.5 * by_mean


def test_draws_no_global_number() -> None:
    before = torch.get_rng_state()
    train_autoencoder(correlated(), (4, 6), AutoencoderSettings(updates=3), generator())
    assert torch.equal(torch.get_rng_state(), before)
