"""What levels and gains should be, told by autograd: on a copy of the network, by hooks on its modules.

Nothing of gradiometer takes part. Every module's output is kept and handed on as a clone, so that what is written over
it later does not touch it; its gradient is what autograd retains for it.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.rnn import PackedSequence

from zoo.cases import Training

HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules that are never called."""

OPAQUE = (nn.MultiheadAttention, torch.jit.ScriptModule)
"""Modules whose children are not called, or run in TorchScript."""

LEFT_OUT = (nn.RNNBase, nn.LSTMCell, nn.modules.dropout._DropoutNd)
"""Modules whose gain is not compared: more than their first output is used, or they draw anew."""


@dataclass
class Heard:
    """One call of a layer.

    Attributes:
        layer: Name of the layer, with the number of the call where it is not the first.
        module: The module.
        inputs: Its arguments, cloned and cut from the graph; empty where the first asks for no gradient.
        output: Its first output.
    """

    layer: str
    module: nn.Module
    inputs: tuple[Any, ...]
    output: Tensor


@dataclass
class Oracle:
    """Listens to one forward and backward of a training's model.

    Attributes:
        calls: Calls of layers whose output asks for a gradient, in order.
    """

    calls: list[Heard] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    arguments: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def listen(self, training: Training) -> "Oracle":
        """Take the first batch through the model and back."""
        handles = []
        for name, module in leaves(training.model):
            if isinstance(module, torch.jit.ScriptModule):
                continue  # takes no hook
            handles.append(module.register_forward_pre_hook(self._before(module)))
            handles.append(module.register_forward_hook(self._after(name, module), prepend=True))
        training.loss(training.model, training.batches[0]).backward()
        for handle in handles:
            handle.remove()
        return self

    def _before(self, module: nn.Module) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            asks = bool(args) and isinstance(args[0], Tensor) and args[0].requires_grad
            self.arguments[id(module)] = cloned(args) if asks else ()

        return hook

    def _after(self, name: str, module: nn.Module) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
            first = output if isinstance(output, Tensor) else output[0]
            first = first.data if isinstance(first, PackedSequence) else first
            if not torch.is_grad_enabled():
                return None
            count = self.counts[name] = self.counts.get(name, 0) + 1
            if not first.requires_grad:
                return None
            first.retain_grad()
            called = name if count == 1 else f"{name}#{count}"
            self.calls.append(Heard(called, module, self.arguments[id(module)], first))
            if isinstance(output[0], PackedSequence):
                return None
            return first.clone() if first is output else (first.clone(), *output[1:])

        return hook

    def levels(self) -> dict[str, float]:
        """Norm of the loss gradient at each layer's output."""
        return {call.layer: float(call.output.grad.norm()) for call in self.calls if call.output.grad is not None}

    def gains(self) -> dict[str, float]:
        """Norm of each layer's own contribution at its first input over that at its output.

        Left out are layers whose first argument asks for no gradient, and those of `LEFT_OUT`.
        """
        found = {}
        for call in self.calls:
            gradient = call.output.grad
            if gradient is None or not call.inputs or isinstance(call.module, LEFT_OUT):
                continue
            alone = call.inputs[0].requires_grad_()
            for part in call.module.modules():
                # A spectral norm moves on with every forward in training; the last one's is wanted here.
                part.training = part.training and not isinstance(part, _SpectralNorm)
            # Of the script's own hooks the full backward hook is a part of what the module hands on.
            run = call.module if call.module._backward_hooks else call.module.forward
            output = run(*cloned(call.inputs, is_cut=False))
            output = output if isinstance(output, Tensor) else output[0]
            (contribution,) = torch.autograd.grad(output, alone, gradient)
            found[call.layer] = float(contribution.norm() / gradient.norm())
        return found


def cloned(arguments: tuple[Any, ...], *, is_cut: bool = True) -> tuple[Any, ...]:
    """Arguments that may be written over, cut from the graph or not; what was one tensor stays one tensor."""
    clones: dict[int, Tensor] = {}
    for argument in arguments:
        if isinstance(argument, Tensor) and id(argument) not in clones:
            clones[id(argument)] = argument.detach().clone() if is_cut else argument.clone()
    return tuple(clones.get(id(argument), argument) for argument in arguments)


def leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Modules that are measured as one operation, each once, by its first name."""
    found, hidden = [], set()
    for name, module in model.named_modules():
        if id(module) in hidden:
            continue
        children = [kind for kind, _ in module.named_children()]
        is_opaque = isinstance(module, OPAQUE) or "parametrizations" in children
        if is_opaque:
            hidden.update(id(inner) for inner in module.modules())
        if is_opaque or not (children or isinstance(module, HOLDERS)):
            found.append((name or type(model).__name__, module))
    return found
