"""The hidden activation as theory needs it: by its name and parameters, or a module of the script's own, probed."""

import copy
from collections import Counter

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.activations import ACTIVATIONS, FUNCTION_ACTIVATIONS, Activation, activation_of
from gradiometer.curing.cure import Patient
from gradiometer.curing.survey import activation_kind, hidden_activation, hidden_activation_modules
from gradiometer.measuring.layers import slope_parameters
from gradiometer.schema import FloatArray
from gradiometer.theory.moments import as_activation

PROBE = torch.linspace(-3.0, 3.0, 25, dtype=torch.float64)
"""Where a module is probed."""


def known_activation(patient: Patient) -> Activation | None:
    """The activation that most hidden layers have; None where none is known.

    Named ones come first: modules, with their own slope, and functions; then those inside torch's transformer layers.
    Elementwise modules that the script defines itself come before functions, which may be what they are made of,
    unless a cure has exchanged these.
    """
    modules = hidden_activation_modules(patient).values()
    own = [module for module in patient.model.modules() if is_elementwise(module)]
    if own and not modules and not patient.forward_modes:
        most = Counter(type(module) for module in own).most_common(1)[0][0]
        return as_activation(ModuleFunction(next(module for module in own if type(module) is most)))
    kind = hidden_activation(patient)
    if kind is None:
        inner = transformer_kinds(patient.model).most_common(1)
        return activation_of(inner[0][0]) if inner else None
    module = next((module for module in modules if activation_kind(module) == kind), None)
    return activation_of(kind, **({} if module is None else slope_parameters(module, kind)))


def transformer_kinds(model: nn.Module) -> Counter[str]:
    """Names of the activations inside torch's own transformer layers."""
    found: Counter[str] = Counter()
    for module in model.modules():
        if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
            function = module.activation
            kind = activation_kind(function) if isinstance(function, nn.Module) else function.__name__
            kind = FUNCTION_ACTIVATIONS.get(str(kind), str(kind))
            found[kind] += kind in ACTIVATIONS
    return +found


def is_elementwise(module: nn.Module) -> bool:
    """Whether a module of the script's own computes each element from that element alone, and not linearly."""
    is_own = not type(module).__module__.startswith("torch.nn.")
    if not is_own or next(module.children(), None) is not None or next(module.buffers(), None) is not None:
        return False
    if any(parameter.numel() > 1 for parameter in module.parameters()):
        return False
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            # A copy, past all hooks: nobody is to see it called, nor what it may count.
            function = copy.deepcopy(module).cpu().forward
            whole, part, turned = function(PROBE), function(PROBE[4:9]), function(PROBE.flip(0))
        except Exception:  # noqa: BLE001 - whatever a module does with what it was not made for, it is no activation
            return False
    if not isinstance(whole, Tensor) or whole.shape != PROBE.shape or not whole.isfinite().all():
        return False
    # 1e-12: vectors of other lengths may be computed by other instructions.
    is_local = torch.allclose(whole[4:9], part, rtol=1e-12) and torch.allclose(whole.flip(0), turned, rtol=1e-12)
    bends = (whole[2:] - 2.0 * whole[1:-1] + whole[:-2]).abs().max()
    return is_local and float(bends) > 1e-6


class ModuleFunction:
    """A module as a function of numpy arrays.

    Args:
        module: The module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.function = copy.deepcopy(module).cpu().forward
        self.__name__ = type(module).__name__

    def __call__(self, x: FloatArray) -> FloatArray:
        """Its output in float64."""
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            output = self.function(torch.as_tensor(np.asarray(x, dtype=np.float64)))
        return np.asarray(output.numpy(), dtype=np.float64)
