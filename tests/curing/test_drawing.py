"""Weights drawn live, and by the code that is there to be pasted."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradiometer.curing.drawing import Draw, canonical_shape, redraw, redrawing_code
from gradiometer.errors import CureRefusedError

SCALES = st.floats(0.01, 3.0)
DRAWS = st.builds(
    Draw,
    distribution=st.sampled_from(["uniform", "normal", "orthogonal", "delta_orthogonal"]),
    scale=SCALES,
    bias_scale=st.just(0.0) | SCALES,
    input_mean=st.just(0.0) | st.floats(-2.0, 2.0),
)


def model() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(5, 7),
        nn.Conv2d(3, 4, 3),
        nn.ConvTranspose2d(4, 6, 2),
        nn.Conv1d(2, 8, 3, bias=False),
        nn.Linear(7, 3, dtype=torch.float64),
    )


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("0134"), DRAWS, min_size=1), st.integers(0, 2**31))
def test_writes_code_that_draws_the_same_bits(draws: dict[str, Draw], seed: int) -> None:
    live = model()
    pasted = copy.deepcopy(live)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for place, draw in draws.items():
            redraw(live.get_submodule(place), draw, generator)
    exec(redrawing_code(pasted, draws, seed), {"model": pasted})  # noqa: S102

    for (name, expected), found in zip(live.named_parameters(), pasted.parameters(), strict=True):
        assert torch.equal(found, expected), name


def test_writes_code_for_transposed_convolutions_that_draws_the_same_bits() -> None:
    draws = {"1": Draw("orthogonal", 1.0, bias_scale=0.5), "2": Draw("orthogonal", 0.7), "0": Draw("uniform", 0.3)}
    live = model()
    pasted = copy.deepcopy(live)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for place, draw in draws.items():
            redraw(live.get_submodule(place), draw, generator)
    exec(redrawing_code(pasted, draws, 3), {"model": pasted})  # noqa: S102

    assert all(torch.equal(a, b) for a, b in zip(live.parameters(), pasted.parameters(), strict=True))


def drawn(layer: nn.Module, draw: Draw) -> Tensor:
    """The weight with outputs first, flat behind."""
    with torch.no_grad():
        redraw(layer, draw, torch.Generator().manual_seed(0))
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return (weight.transpose(0, 1) if getattr(layer, "transposed", False) else weight).detach().flatten(1)


@pytest.mark.parametrize("layer", [nn.Linear(40, 30), nn.Conv2d(8, 20, 3), nn.ConvTranspose2d(20, 8, 3)])
def test_draws_orthogonal_rows_of_the_length_asked_for(layer: nn.Module) -> None:
    rows = drawn(layer, Draw("orthogonal", 1.5))
    assert list(rows.shape) == [canonical_shape(layer)[0], rows.shape[1]]
    assert torch.allclose(rows @ rows.T, 1.5**2 * torch.eye(len(rows)), atol=1e-5)


def test_draws_with_the_spread_asked_for() -> None:
    layer = nn.Linear(400, 300)
    assert drawn(layer, Draw("normal", 0.2)).std().item() == pytest.approx(0.2, rel=0.01)
    uniform = drawn(layer, Draw("uniform", 0.2))
    assert 0.199 < uniform.abs().max().item() <= 0.2
    assert uniform.std().item() == pytest.approx(0.2 / 3**0.5, rel=0.01)
    assert torch.equal(layer.bias, torch.zeros(300))


def test_takes_the_mean_of_the_inputs_out_by_the_bias() -> None:
    layer = nn.Linear(20, 10)
    drawn(layer, Draw("normal", 1.0, input_mean=0.5))
    assert torch.allclose(layer(torch.full((1, 20), 0.5)), torch.zeros(1, 10), atol=1e-5)


def test_leaves_the_global_random_numbers_alone() -> None:
    layer, before = nn.Linear(4, 4), torch.get_rng_state()
    drawn(layer, Draw("orthogonal", 1.0, bias_scale=1.0))
    assert torch.equal(torch.get_rng_state(), before)


def test_refuses_a_layer_without_a_weight() -> None:
    with pytest.raises(CureRefusedError, match="LayerNorm has no weight"):
        redraw(nn.LayerNorm(3, elementwise_affine=False), Draw("normal", 1.0), torch.Generator())
