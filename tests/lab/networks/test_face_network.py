"""The face networks: what they are made of, what a unit sees, and that drawing one leaves torch's state alone."""

import pytest
import torch

from gradiometer.lab.networks.face_network import (
    CONVOLUTIONS,
    MAKINGS,
    draw_face_network,
    filters_of,
    responses,
    standardised,
    weight_of,
)


@pytest.mark.parametrize("making", MAKINGS)
def test_gives_one_answer_for_each_picture(making: str) -> None:
    network = draw_face_network(making, 0).eval()
    answers = network(torch.zeros(3, 1, 25, 25))
    assert answers.shape == (3, 1)
    assert {name: tuple(values.shape) for name, values in filters_of(network).items()} == {
        name: (shape.outputs, shape.inputs, shape.side, shape.side) for name, shape in CONVOLUTIONS.items()
    }


def test_draws_the_same_network_from_the_same_seed_and_leaves_the_random_state() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (draw_face_network("starved", seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(weight_of(first, "conv3"), weight_of(again, "conv3"))
    assert not torch.equal(weight_of(first, "conv3"), weight_of(other, "conv3"))


def test_draws_each_making_at_its_own_scale() -> None:
    healthy = weight_of(draw_face_network("healthy", 0), "conv3")
    starved = weight_of(draw_face_network("starved", 0), "conv3")
    inputs = 8 * 3 * 3
    assert float(healthy.var()) == pytest.approx(2.0 / inputs, rel=0.2)
    assert float(starved.abs().max()) <= inputs**-0.5


def test_takes_a_layers_response_from_the_forward_pass() -> None:
    network = draw_face_network("healthy", 1).eval()
    pictures = torch.randn(2, 1, 25, 25, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv2d(pictures, weight_of(network, "conv1"), padding=3)
    assert torch.allclose(responses(network, pictures, "conv1"), expected, atol=1e-5)
    assert torch.equal(responses(network, pictures, "answer"), network(pictures))
    with pytest.raises(KeyError):
        responses(network, pictures, "conv9")


def test_standardises_each_picture_and_keeps_an_even_one_black() -> None:
    pictures = torch.rand(4, 625, generator=torch.Generator().manual_seed(0))
    pictures[3] = 0.4
    made = standardised(pictures)
    assert made.shape == (4, 1, 25, 25)
    assert torch.allclose(made[:3].mean(dim=(1, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(made[:3].flatten(1).square().mean(dim=1), torch.ones(3), atol=1e-4)
    assert float(made[3].abs().max()) == 0.0
