"""gradiometer, where operations of a step are measured one by one ..."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradiometer.measuring.operations import OperationTrace, Source
from gradiometer.measuring.origins import Beginning, chain_to, find_beginning
from gradiometer.measuring.ranges import range_of


def traced(model: nn.Module, loss_of) -> tuple[Beginning | None, OperationTrace]:
    """Trace one step of a model and find where what is not finite in its loss, or else its gradients, began."""
    modules = {id(module): name for name, module in model.named_modules()}
    parameters = {id(parameter): name for name, parameter in model.named_parameters()}
    trace = OperationTrace(modules.get, lambda tensor: parameters.get(id(tensor), ""))
    trace.begin()
    try:
        loss = loss_of(model)
        loss.backward()
    finally:
        trace.finish()
    finals = [source for source in [trace.source_of(loss)] if source is not None and not source.range.is_finite]
    if not finals:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        finals = [source for gradient in gradients if isinstance(source := trace.source_of(gradient), Source)]
    return find_beginning(finals), trace


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def log_of_zero(model: nn.Module) -> Tensor:
    probabilities = torch.sigmoid(model(torch.randn(8, 4)) * 1e4)
    return -torch.log(probabilities).mean()


def root_of_zero(model: nn.Module) -> Tensor:
    outputs = model(torch.randn(8, 4))
    distance = outputs - outputs.detach()
    return torch.sqrt(distance.square().sum(1)).sum()


def masked_row(model: nn.Module) -> Tensor:
    scores = model(torch.randn(8, 4))
    hidden = torch.zeros(8, 3, dtype=torch.bool)
    hidden[:, 2] = True
    hidden[5] = True
    return scores.masked_fill(hidden, float("-inf")).softmax(1).square().sum()


def chosen_after_the_fact(model: nn.Module) -> Tensor:
    outputs = model(torch.randn(8, 4))
    gaps = outputs - outputs.detach()
    return torch.where(gaps > 0, gaps.log(), torch.zeros(())).sum()


def float16_overflow(model: nn.Module) -> Tensor:
    outputs = model(torch.randn(8, 4)) * 1e6
    return outputs.half().float().square().mean()


def bfloat16_overflow(model: nn.Module) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(torch.randn(8, 4))
        return (outputs * 1e30).exp().sum()


def written_in_place(model: nn.Module) -> Tensor:
    outputs = model(torch.randn(8, 4)).clone()
    outputs[:, 1].div_(torch.zeros(8))
    return outputs.sum()


BIRTHS = {
    log_of_zero: ("log", "forward", ""),
    root_of_zero: ("div", "backward", "SqrtBackward0"),
    masked_row: ("_softmax", "forward", ""),
    chosen_after_the_fact: ("div", "backward", "LogBackward0"),
    float16_overflow: ("_to_copy", "forward", ""),
    bfloat16_overflow: ("exp", "forward", ""),
    written_in_place: ("div_", "forward", ""),
}


@pytest.mark.parametrize("loss_of", BIRTHS, ids=lambda function: function.__name__)
def test_names_the_operation_that_gave_the_first_number_that_is_none(loss_of) -> None:
    beginning, _ = traced(mlp(), loss_of)
    assert beginning is not None
    assert beginning.record is not None
    name, phase, node = BIRTHS[loss_of]
    told = beginning.record.told()
    assert (told.name, told.phase, told.differentiates) == (name, phase, node)
    assert any(not output.is_finite for output in told.outputs)
    assert told.call_site is not None
    file, line = told.call_site.rsplit(":", 1)
    assert file.endswith("test_operations.py")
    first = loss_of.__code__.co_firstlineno
    assert first < int(line) <= max(line for _, _, line in loss_of.__code__.co_lines() if line is not None)


def test_names_the_layer_and_what_led_to_the_operation() -> None:
    class Rooted(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.sqrt(inputs - inputs.abs().max() - 1.0)

    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), Rooted())
    beginning, _ = traced(model, lambda network: network(torch.randn(8, 4)).sum())
    assert beginning is not None
    assert beginning.record is not None
    assert (beginning.record.name, beginning.record.layer) == ("sqrt", "2")
    given = beginning.record.sources[0].range
    assert given.high is not None
    assert given.high < 0.0
    chain = chain_to(beginning.record)
    assert ("tanh", "1") in [(record.name, record.layer) for record in chain]
    assert [record.index for record in chain] == sorted(record.index for record in chain)


def test_blames_no_attention_mask() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def loss_of(model: nn.Module) -> Tensor:
        mask = torch.full((5, 5), float("-inf")).triu(1)
        inputs = torch.randn(3, 5, 8)
        outputs, _ = model(inputs, inputs, inputs, attn_mask=mask, need_weights=True)
        return outputs.square().sum()

    beginning, trace = traced(attention, loss_of)
    assert beginning is None
    assert any(output.infinity_count for record in trace.records for output in record.outputs)


def test_names_a_weight_that_was_no_number_before() -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight[1, 1] = math.nan
    beginning, _ = traced(model, lambda network: network(torch.randn(8, 4)).sum())
    assert beginning == Beginning(None, "2.weight")


def zoo() -> dict[str, tuple[nn.Module, Tensor]]:
    """Networks with random numbers of their own, in-place writes and fused parts."""
    torch.manual_seed(1)
    convolution = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2)
    )
    encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
    return {
        "mlp": (mlp(), torch.randn(8, 4)),
        "convolution": (convolution, torch.randn(4, 3, 8, 8)),
        "encoder": (encoder, torch.randn(3, 5, 8)),
        "recurrent": (nn.LSTM(4, 5, 2, dropout=0.3), torch.randn(7, 3, 4)),
    }


@pytest.mark.parametrize("name", ["mlp", "convolution", "encoder", "recurrent"])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_leaves_a_traced_training_equal_to_the_bit(name: str, kind: type[torch.optim.Optimizer]) -> None:
    model, inputs = zoo()[name]
    twin = copy.deepcopy(model)
    for network, is_traced in ((model, True), (twin, False)):
        torch.manual_seed(7)
        optimizer = kind(network.parameters(), lr=0.01)
        trace = OperationTrace({}.get, lambda tensor: "")
        if is_traced:
            trace.begin()
        for _ in range(2):
            optimizer.zero_grad()
            output = network(inputs)
            (output[0] if isinstance(output, tuple) else output).square().mean().backward()
            optimizer.step()
        if is_traced:
            trace.finish()
            assert len(trace.records) > 20
    for (key, traced_value), value in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(traced_value, value), key


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_measures_a_range_as_numpy_does(dtype: torch.dtype) -> None:
    tensor = (torch.randn(50) * 10).to(dtype)
    tensor[3], tensor[4], tensor[5], tensor[6] = math.nan, math.inf, -math.inf, math.nan
    found = range_of(tensor)
    values = tensor.double().numpy()
    finite = values[np.isfinite(values)]
    assert found is not None
    assert (found.low, found.high) == (finite.min(), finite.max())
    assert (found.nan_count, found.infinity_count) == (2, 2)


def test_measures_no_range_of_what_holds_no_numbers() -> None:
    assert range_of(torch.arange(3)) is None
    assert range_of(torch.eye(2).to_sparse()) is None
    empty = range_of(torch.zeros(0, 3))
    assert empty is not None
    assert (empty.low, empty.high, empty.is_finite) == (None, None, True)
