"""Puts learned layers into a model, one after the other, each on what the layers before it give.

What a layer is given is taken from the model's own forward: whatever it does between two layers, as modules or as
functions, is done. Buffers, training modes and random numbers are afterwards as they were.

Source:
    Hinton, Osindero, Teh, "A fast learning algorithm for deep belief nets", Neural Computation 2006, section 4.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradiometer.curing.learners.autoencoder import AutoencoderSettings, train_autoencoder
from gradiometer.curing.learners.rbm import RbmSettings, train_rbm


class LayerToLearn(NamedTuple):
    """A layer that is to be learned.

    Attributes:
        weight: Name of its weight in the model.
        bias: Name of its bias; None where it has none.
        learner: `rbm` or `autoencoder`.
        activation: Function behind it, by its name in `torch.nn.functional`.
        activation_settings: What else that function is given, by name.
        convolution: Stride, padding, dilation and groups of a convolution; None for a linear layer.
    """

    weight: str
    bias: str | None
    learner: str
    activation: str
    activation_settings: dict[str, Any]
    convolution: dict[str, Any] | None


class InputsOf(TorchFunctionMode):
    """Keeps what the layer with a certain weight is given."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.inputs: list[Tensor] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Look at a call, and make it."""
        if function.__name__.startswith(("linear", "conv")) and len(args) > 1 and args[1] is self.weight:
            self.inputs.append(args[0].detach().float().clone())
        return function(*args, **(kwargs or {}))


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Let a model run without gradients, dropout and compiled code; buffers, modes and random numbers are restored."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module, name, buffer) for module in model.modules() for name, buffer in module._buffers.items()]
    contents = [None if buffer is None else buffer.clone() for _, _, buffer in buffers]
    devices = {parameter.device for parameter in model.parameters() if parameter.is_cuda}
    for module, _ in modes:
        module.training = isinstance(module, nn.modules.batchnorm._NormBase)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices), torch.compiler.set_stance("force_eager"):
            torch.default_generator.set_state(torch.Generator().manual_seed(0).get_state())
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for (module, name, buffer), content in zip(buffers, contents, strict=True):
            module._buffers[name] = buffer
            if buffer is not None and content is not None:
                buffer.copy_(content)


def inputs_of(model: nn.Module, weight: Tensor, inputs: Tensor, forward: Callable[[Tensor], Any]) -> Tensor:
    """What a layer is given while a model runs on some inputs: rows for a linear layer, else as they come.

    At most 16 million numbers are kept.
    """
    kept: list[Tensor] = []
    device = next(model.parameters()).device
    with undisturbed(model), torch.autocast(device.type, enabled=False):
        for chunk in torch.tensor_split(inputs, -(-len(inputs) // 256)):
            watch = InputsOf(weight)
            with watch:
                forward(chunk.to(device))
            kept += [given.flatten(0, -2) if weight.dim() == 2 else given for given in watch.inputs[:1]]
            if sum(given.numel() for given in kept) >= 2**24:
                break
    return torch.cat(kept)


def learn_by_rbm(
    layer: LayerToLearn, weight: Tensor, given: Tensor, updates: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Weight and bias of a linear layer from a Boltzmann machine; inputs beyond [0, 1] are standardised for it."""
    is_binary = bool(given.min() >= 0.0) and bool(given.max() <= 1.0)
    is_plain = is_binary and layer.activation == "sigmoid"
    shift, scale = torch.zeros_like(given[0]), torch.ones_like(given[0])
    if not is_binary:
        scale = given.std(0, correction=0)
        scale = scale.clamp(min=max(0.1 * float(scale.square().mean().sqrt()), 1e-8))
        shift = given.mean(0) if layer.bias else shift
    settings = RbmSettings(
        visible="binary" if is_binary else "gaussian",
        hidden="binary" if layer.activation == "sigmoid" else "rectified",
        has_hidden_bias=layer.bias is not None,
        rate=0.1 if is_plain else 0.01,
        updates=updates,
    )
    rbm = train_rbm((given - shift) / scale, len(weight), settings, generator)
    return rbm.weight / scale, rbm.hidden_bias - (rbm.weight / scale) @ shift


def learn_by_autoencoder(
    layer: LayerToLearn, weight: Tensor, given: Tensor, updates: int, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Weight and bias of a layer from an autoencoder, which gets its inputs at a size of 1."""
    scale = max(float(given.square().mean().sqrt()), 1e-8)
    settings = AutoencoderSettings(
        activation=layer.activation,
        activation_settings=layer.activation_settings,
        convolution=layer.convolution,
        has_hidden_bias=layer.bias is not None,
        updates=updates if layer.convolution is None else updates * 2 // 5,
        batch_size=min(100, max(8, 2**18 // given[0].numel())),
    )
    learned = train_autoencoder(given / scale, tuple(weight.shape), settings, generator)
    return learned.weight / scale, learned.hidden_bias


def updates_for(layer_count: int) -> int:
    """How often each layer's weights are changed: the usual 500, about 10,000 for more than twenty layers together.

    Example:
        >>> updates_for(5), updates_for(100), updates_for(1000)
        (500, 100, 50)
    """
    return min(500, max(50, 10_000 // max(layer_count, 1)))


def pretrain_layers(
    model: nn.Module, inputs: Tensor, layers: Sequence[Any], forward: Callable[[Tensor], Any] | None = None
) -> None:
    """Learn layers one after the other, and copy weights and biases into a model's own parameters.

    Args:
        model: The model; all that is not learned stays as it is.
        inputs: Inputs of it [example ...].
        layers: The fields of `LayerToLearn` for each layer, in order of execution.
        forward: Runs the model; its own `forward` unless given.
    """
    model = getattr(model, "_orig_mod", model)  # where it is compiled
    parameters = dict(model.named_parameters(remove_duplicate=False))
    updates = updates_for(len(layers))
    generator = torch.Generator().manual_seed(0)
    for layer in (LayerToLearn(*fields) for fields in layers):
        weight = parameters[layer.weight]
        given = inputs_of(model, weight, inputs, forward or model.forward)
        learn = learn_by_rbm if layer.learner == "rbm" else learn_by_autoencoder
        learned_weight, learned_bias = learn(layer, weight, given, updates, generator)
        with torch.no_grad():
            weight.copy_(learned_weight)
            if layer.bias is not None:
                parameters[layer.bias].copy_(learned_bias)
