"""Whether a cure that says it changed something did: the state of a patient, compared before and after.

A cure that silently does nothing would be tried, found no better than the control, and never be missed. So what it
acts on is digested around its application: modules and where they stand, weights and buffers, hooks, the optimizer's
class, settings and hooks, and the modes that it adds.
"""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from torch import Tensor, nn
from torch.nn import parameter as parameters
from torch.optim import Optimizer

from gradiometer.curing.cure import Patient
from gradiometer.errors import CureRefusedError
from gradiometer.launching.streams import fingerprint_of

SETTING_KINDS = (bool, int, float, str, type(None), tuple)
"""Kinds of attributes of a module that are settings, such as the rate of a dropout."""


def verify_change(label: str, before: str, after: str) -> None:
    """Hold a cure to its word.

    Args:
        label: The cure's label.
        before: State of the patient before it was applied.
        after: State after.

    Raises:
        CureRefusedError: Nothing has changed.
    """
    if before == after:
        raise CureRefusedError(f"{label} found nothing to change in this network")


def state_of(patient: Patient) -> str:
    """Digest all that a cure can change: equal digests mean that nothing was changed."""
    digest = blake2b(digest_size=16)
    for word in (*words_of_model(patient.model), *words_of_optimizer(patient.optimizer)):
        digest.update(word.encode())
    modes = (*patient.forward_modes, *patient.script_modes)
    digest.update(repr([id(mode) for mode in modes]).encode())
    digest.update(repr([len(group["params"]) for group in patient.parameter_groups]).encode())
    return digest.hexdigest()


def words_of_model(model: nn.Module) -> Iterator[str]:
    """What a model is made of: modules, their settings and hooks, and the content of their tensors."""
    for place, module in model.named_modules(remove_duplicate=False):
        settings = {name: value for name, value in vars(module).items() if isinstance(value, SETTING_KINDS)}
        yield f"{place} {type(module).__qualname__} {sorted(settings.items(), key=lambda entry: entry[0])!r}"
        yield words_of_hooks(module)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        content = "" if parameters.is_lazy(tensor) else fingerprint_of([tensor])
        yield f"{name} {tensor.requires_grad} {content} {len(tensor._backward_hooks or ())}"


def words_of_optimizer(optimizer: Optimizer | None) -> Iterator[str]:
    """An optimizer's class, settings and hooks."""
    if optimizer is None:
        return
    yield type(optimizer).__qualname__
    for group in optimizer.param_groups:
        yield repr([(name, as_value(value)) for name, value in group.items() if name != "params"])
    yield words_of_hooks(optimizer)


def words_of_hooks(owner: Any) -> str:
    """How many hooks of each kind a module or optimizer has, and a forward of its own where it was given one."""
    counts = {name: len(value) for name, value in vars(owner).items() if name.endswith("_hooks") and value}
    own = [name for name in ("forward", "step", "zero_grad") if name in vars(owner)]
    return f"{sorted(counts.items())!r} {own!r}"


def as_value(value: Any) -> Any:
    """A setting as it compares: a tensor by its number."""
    return value.tolist() if isinstance(value, Tensor) else value
