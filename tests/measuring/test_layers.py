"""What is known of a module: its fans by counting, its kind, and that it is one layer where it acts as one."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from gradiometer.measuring.layers import fans_of, kind_of, records_of, weighted_fans

LAYERS = {
    "linear": nn.Linear(7, 5),
    "conv": nn.Conv2d(4, 6, 3),
    "grouped": nn.Conv1d(6, 9, 5, groups=3),
    "strided": nn.Conv2d(4, 6, 2, stride=2),
    "transposed": nn.ConvTranspose2d(4, 6, 3),
    "transposed_strided": nn.ConvTranspose1d(4, 6, 3, stride=2),
    "transposed_grouped": nn.ConvTranspose2d(6, 4, 4, stride=2, groups=2),
}


def counted_fan_in(layer: nn.Module) -> float:
    """What a layer of ones makes of ones: inputs that a unit sums over, on average far from the borders."""
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    if isinstance(layer, nn.Linear):
        return layer(torch.ones(1, layer.in_features)).mean().item()
    sizes = [24] * len(layer.kernel_size)
    output = layer(torch.ones(1, layer.in_channels, *sizes))
    for axis, (size, stride) in enumerate(zip(layer.kernel_size, layer.stride, strict=True), start=2):
        whole = (output.shape[axis] - 2 * size) // stride * stride
        output = output.narrow(axis, size, whole)
    return output.mean().item()


@pytest.mark.parametrize("name", LAYERS)
def test_counts_the_inputs_that_a_unit_sums_over(name: str) -> None:
    layer = LAYERS[name]
    assert weighted_fans(layer)[0] == pytest.approx(counted_fan_in(layer))
    assert fans_of(layer)[0] == max(round(weighted_fans(layer)[0]), 1)


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "strided"])
def test_counts_the_outputs_that_an_input_reaches(name: str) -> None:
    layer = LAYERS[name]
    if isinstance(layer, nn.Linear):
        inputs = torch.ones(1, layer.in_features, requires_grad=True)
        place: tuple[int, ...] = (0, 3)
    else:
        sizes = [24] * len(layer.kernel_size)
        inputs = torch.ones(1, layer.in_channels, *sizes, requires_grad=True)
        place = (0, 1, *(size // 2 for size in sizes))
    nn.init.ones_(layer.weight)
    (reached,) = torch.autograd.grad(layer(inputs).sum(), inputs)
    assert weighted_fans(layer)[1] == float(reached[place])


def test_leaves_a_strides_effect_on_the_outputs_aside() -> None:
    assert weighted_fans(LAYERS["strided"]) == weighted_fans(nn.Conv2d(4, 6, 2))


def test_never_asks_for_a_weight_that_is_computed() -> None:
    layer = parametrizations.spectral_norm(nn.Linear(6, 4))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    assert fans_of(layer) == (6, 4)
    assert kind_of(layer) == "Linear"
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_takes_attention_torchscript_and_parametrised_layers_as_one_layer_each() -> None:
    model = nn.ModuleDict(
        {
            "attention": nn.MultiheadAttention(4, 2),
            "computed": parametrizations.weight_norm(nn.Linear(4, 4)),
            "plain": nn.Sequential(nn.Linear(4, 4)),
            "weights": nn.ParameterList([torch.ones(2)]),
        }
    )
    leaves = [record.name for record in records_of(model, "") if record.is_leaf]
    assert leaves == ["attention", "computed", "plain.0"]
