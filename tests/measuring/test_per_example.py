"""Per-example gradient norms against a loop of single-example autograd calls, and against torch.func.vmap(grad)."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradiometer.measuring.gradient_factors import MOST_ELEMENTS
from gradiometer.measuring.per_example import PER_EXAMPLE, LayerUse, mixes_examples, squared_gradient_norms


class LargestTensor(TorchDispatchMode):
    """Notes the largest tensor that any operation computed; views are not computed."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not func.is_view:
            self.elements = max(self.elements, result.numel())
        return result


def loop_norms(layers: list[nn.Module], sources: list[Tensor], directions: list[Tensor], axis: int = 0) -> dict:
    """Squared norms by one autograd call for each example; the loss is sum(output * direction) over all uses."""
    parameters = list(dict.fromkeys(p for layer in layers for p in layer.parameters() if p.requires_grad))
    found: dict[nn.Parameter, list[float]] = {parameter: [] for parameter in parameters}
    for example in range(sources[0].shape[axis]):
        one = [source.narrow(axis, example, 1) for source in sources]
        outs = [layer(source) for layer, source in zip(layers, one, strict=True)]
        loss = sum((out * way.narrow(axis, example, 1)).sum() for out, way in zip(outs, directions, strict=True))
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, grad in zip(parameters, grads, strict=True):
            found[parameter].append(0.0 if grad is None else float(grad.double().square().sum()))
    return found


def check(layers: list[nn.Module], sources: list[Tensor], *, axis: int = 0, rel: float = 1e-10) -> None:
    directions = [torch.randn_like(layer(source)) for layer, source in zip(layers, sources, strict=True)]
    uses = [LayerUse(layer, source, way, axis) for layer, source, way in zip(layers, sources, directions, strict=True)]
    measured = squared_gradient_norms(uses)
    expected = loop_norms(layers, sources, directions, axis)
    assert measured.not_measured == {}
    assert set(measured.squared_norms) == set(expected)
    for parameter, norms in expected.items():
        assert measured.squared_norms[parameter].tolist() == pytest.approx(norms, rel=rel, abs=1e-18)


sizes = st.integers(1, 5)


@settings(max_examples=40)
@given(sizes, st.lists(st.integers(1, 12), max_size=2), sizes, sizes, st.booleans())
def test_linear_layers_with_and_without_time(
    batch: int, axes: list[int], inputs: int, outputs: int, has_bias: bool
) -> None:
    layer = nn.Linear(inputs, outputs, bias=has_bias).double()
    check([layer], [torch.randn(batch, *axes, inputs, dtype=torch.float64)])


def test_a_sequence_that_comes_before_its_batch() -> None:
    check([nn.Linear(4, 3).double()], [torch.randn(7, 5, 4, dtype=torch.float64)], axis=1)


# torch itself warns that it may copy a padded input.
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@settings(max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from([0, 1, 2, "same", "valid"]),
    st.sampled_from(["zeros", "reflect", "circular"]),
    st.integers(1, 3),
)
def test_convolutions(
    dimensions: int,
    batch: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: int | str,
    mode: str,
    groups: int,
) -> None:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    if padding == "same":
        stride = 1
    if mode == "reflect" and dimensions == 3:
        mode = "replicate"
    layer = kind(
        2 * groups, 3 * groups, kernel, stride=stride, dilation=dilation, padding=padding, groups=groups,
        padding_mode=mode,
    ).double()  # fmt: skip
    check([layer], [torch.randn(batch, 2 * groups, *[5, 6, 5][:dimensions], dtype=torch.float64)])


def test_convolutions_with_unequal_settings_per_axis() -> None:
    layer = nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(0, 1), dilation=(1, 2), groups=2).double()
    check([layer], [torch.randn(3, 4, 9, 8, dtype=torch.float64)])


@pytest.mark.parametrize("positions", [1, 4, 60])
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embeddings_with_repeated_and_padding_tokens(positions: int, padding_idx: int | None) -> None:
    layer = nn.Embedding(5, 7, padding_idx=padding_idx).double()
    check([layer], [torch.randint(0, 5, (6, positions))])
    check([layer], [torch.randint(0, 5, (6,))])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.LayerNorm(6), (4, 6)),
        (nn.LayerNorm(6), (4, 5, 6)),
        (nn.LayerNorm((5, 6)), (4, 5, 6)),
        (nn.LayerNorm(6, bias=False), (4, 5, 6)),
        (nn.RMSNorm(6), (4, 5, 6)),
        (nn.GroupNorm(2, 6), (4, 6, 3, 3)),
        (nn.GroupNorm(3, 6), (4, 6)),
        (nn.PReLU(), (4, 5)),
        (nn.PReLU(6), (4, 6, 3)),
        (nn.BatchNorm1d(6).eval(), (4, 6)),
        (nn.BatchNorm1d(6).eval(), (4, 6, 5)),
        (nn.BatchNorm2d(6).eval(), (4, 6, 3, 2)),
        (nn.BatchNorm3d(6).eval(), (4, 6, 3, 2, 2)),
    ],
)
def test_normalising_layers_and_slopes(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = layer.double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2.0)
    check([layer], [3.0 * torch.randn(*shape, dtype=torch.float64)])


@pytest.mark.parametrize("positions", [2, 40])
def test_a_layer_used_twice_counts_as_one_sum(positions: int) -> None:
    layer = nn.Linear(5, 4).double()
    source = torch.randn(3, positions, 5, dtype=torch.float64)
    check([layer, layer, layer], [source, source[:, :1], 2.0 * source])
    twice = squared_gradient_norms([LayerUse(layer, source, torch.ones(3, positions, 4, dtype=torch.float64))] * 2)
    once = squared_gradient_norms([LayerUse(layer, source, torch.ones(3, positions, 4, dtype=torch.float64))])
    for parameter in layer.parameters():
        assert twice.squared_norms[parameter].tolist() == pytest.approx((4 * once.squared_norms[parameter]).tolist())


@pytest.mark.parametrize("positions", [1, 3, 50])
def test_an_embedding_tied_to_the_output_layer(positions: int) -> None:
    embedding, head = nn.Embedding(9, 6, padding_idx=0).double(), nn.Linear(6, 9).double()
    head.weight = embedding.weight
    tokens = torch.randint(0, 9, (4, positions))
    check([embedding, head, embedding], [tokens, 50.0 * torch.randn(4, positions, 6, dtype=torch.float64), tokens])


def test_a_shared_convolution_and_one_shared_bias() -> None:
    one, other = nn.Conv1d(2, 4, 3).double(), nn.Linear(3, 4).double()
    other.bias = one.bias
    source = torch.randn(3, 2, 6, dtype=torch.float64)
    check([one, one, other], [source, source[..., :4], torch.randn(3, 3, dtype=torch.float64)])


@given(st.integers(1, 4), st.integers(1, 30))
def test_vmap_of_grad_says_the_same(batch: int, positions: int) -> None:
    layer = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    source = torch.randn(batch, positions, 6, dtype=torch.float64)
    state = dict(layer.named_parameters())

    def loss_of(parameters: dict[str, Tensor], example: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (example.unsqueeze(0),)).square().sum()

    expected = torch.func.vmap(torch.func.grad(loss_of), in_dims=(None, 0))(state, source)
    before = layer[0](source)
    hidden = torch.tanh(before)
    after = layer[2](hidden)
    grads = torch.autograd.grad(after.square().sum(), [before, after])
    found = squared_gradient_norms([LayerUse(layer[0], source, grads[0]), LayerUse(layer[2], hidden, grads[1])])
    for name, parameter in state.items():
        norms = expected[name].flatten(1).square().sum(1)
        assert found.squared_norms[parameter].tolist() == pytest.approx(norms.tolist(), rel=1e-10)
    total = found.total()
    assert total is not None
    assert total.tolist() == pytest.approx(
        sum(gradient.flatten(1).square().sum(1) for gradient in expected.values()).tolist(), rel=1e-10
    )


def test_a_mean_loss_is_given_back_its_batch_size() -> None:
    layer, source = nn.Linear(3, 2).double(), torch.randn(8, 3, dtype=torch.float64)
    summed = squared_gradient_norms([LayerUse(layer, source, torch.ones(8, 2, dtype=torch.float64))])
    averaged = squared_gradient_norms(
        [LayerUse(layer, source, torch.ones(8, 2, dtype=torch.float64) / 8)], loss_divisor=8
    )
    for parameter, norms in summed.squared_norms.items():
        assert averaged.squared_norms[parameter].tolist() == pytest.approx(norms.tolist())


@pytest.mark.parametrize("level", [1e-36, 1e-30, 1e-20, 1e18])
@pytest.mark.parametrize("positions", [1, 3, 40])
def test_vanished_gradients_do_not_underflow(level: float, positions: int) -> None:
    layer = nn.Linear(6, 5)
    source, gradient = torch.randn(4, positions, 6), torch.randn(4, positions, 5)
    plain = squared_gradient_norms([LayerUse(layer, source, gradient)])
    tiny = squared_gradient_norms([LayerUse(layer, source * 1e-15, gradient * level)])
    assert tiny.squared_norms[layer.weight].tolist() == pytest.approx(
        (plain.squared_norms[layer.weight] * (level * 1e-15) ** 2).tolist(), rel=1e-4, abs=0.0
    )
    assert tiny.squared_norms[layer.bias].tolist() == pytest.approx(
        (plain.squared_norms[layer.bias] * level**2).tolist(), rel=1e-4, abs=0.0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_formats_are_summed_in_single(dtype: torch.dtype) -> None:
    layer = nn.Linear(64, 64).to(dtype)
    source, gradient = torch.full((2, 64), 100.0, dtype=dtype), torch.full((2, 64), 100.0, dtype=dtype)
    found = squared_gradient_norms([LayerUse(layer, source, gradient)])
    assert found.squared_norms[layer.weight].tolist() == pytest.approx([(64 * 100.0**2) ** 2] * 2, rel=1e-3)


def test_zero_is_zero_and_nan_is_nan() -> None:
    layer, gradient = nn.Linear(3, 2), torch.ones(3, 2)
    gradient[0] = 0.0
    gradient[1, 0] = math.nan
    norms = squared_gradient_norms([LayerUse(layer, torch.ones(3, 3), gradient)]).squared_norms[layer.weight]
    assert norms[0] == 0.0
    assert math.isnan(norms[1])
    assert norms[2] == pytest.approx(6.0)


def test_an_empty_batch_has_no_norms() -> None:
    layer = nn.Linear(3, 2)
    found = squared_gradient_norms([LayerUse(layer, torch.ones(0, 3), torch.ones(0, 2))])
    assert [norms.shape for norms in found.squared_norms.values()] == [(0,), (0,)]


def test_frozen_parameters_are_left_out() -> None:
    layer = nn.Linear(3, 2).double()
    layer.weight.requires_grad_(requires_grad=False)
    check([layer], [torch.randn(4, 3, dtype=torch.float64)])


@pytest.mark.parametrize(
    ("layer", "source", "reason"),
    [
        (nn.BatchNorm1d(3), torch.ones(2, 3), "training mode"),
        (nn.BatchNorm1d(3, track_running_stats=False).eval(), torch.ones(2, 3), "not separable"),
        (nn.Bilinear(3, 3, 2), torch.ones(2, 3), "no rule for a Bilinear"),
        (nn.Linear(3, 2), torch.ones(3), "no batch axis"),
        (nn.Conv1d(3, 2, 1), torch.ones(3, 4), "no batch axis"),
        (nn.Embedding(4, 2, scale_grad_by_freq=True), torch.ones(2, 3, dtype=torch.int64), "scale_grad_by_freq"),
        (nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), torch.ones(2, 3), "other parameters"),
        (nn.MultiheadAttention(4, 2), torch.ones(2, 3, 4), "no rule for a MultiheadAttention"),
    ],
)
def test_what_can_not_be_told_apart_is_said(layer: nn.Module, source: Tensor, reason: str) -> None:
    found = squared_gradient_norms([LayerUse(layer, source, torch.ones(2, 2))])
    assert found.squared_norms == {}
    assert found.total() is None
    assert reason in next(iter(found.not_measured.values()))


def test_uses_with_batches_of_different_size_are_refused() -> None:
    layer = nn.Linear(3, 2)
    uses = [LayerUse(layer, torch.ones(count, 3), torch.ones(count, 2)) for count in (2, 4)]
    assert "different size" in squared_gradient_norms(uses).not_measured[layer.weight]


def test_only_batch_statistics_mix_examples() -> None:
    assert mixes_examples(nn.BatchNorm2d(3))
    assert not mixes_examples(nn.BatchNorm2d(3).eval())
    assert not mixes_examples(nn.InstanceNorm2d(3))
    assert not mixes_examples(nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("layer", "shape", "output_shape"),
    [
        (nn.Conv2d(8, 8, 3, padding=1), (8, 32, 32), (8, 32, 32)),
        (nn.Conv2d(3, 16, 7, padding=3), (3, 224, 224), (16, 224, 224)),
        (nn.Linear(64, 64), (128, 64), (128, 64)),
    ],
)
def test_memory_is_bounded_whatever_the_batch(
    layer: nn.Module, shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> None:
    for batch in (2, 128 if shape[-1] < 100 else 8):
        use = LayerUse(layer, torch.randn(batch, *shape), torch.randn(batch, *output_shape))
        with LargestTensor() as seen:
            squared_gradient_norms([use])
        # One row of positions of one example may exceed the limit; nothing else does.
        assert 0 < seen.elements <= MOST_ELEMENTS


def test_every_kind_of_layer_in_the_table_has_its_case() -> None:
    assert {kind.__name__ for kind in PER_EXAMPLE} == {
        "Linear", "Conv1d", "Conv2d", "Conv3d", "Embedding", "LayerNorm", "RMSNorm", "GroupNorm", "BatchNorm1d",
        "BatchNorm2d", "BatchNorm3d", "PReLU",
    }  # fmt: skip
