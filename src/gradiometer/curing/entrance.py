"""Where the inputs enter: the root that they go to, and its forward run apart from what the script does."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import parameter as parameters

from gradiometer.curing.cure import Patient
from gradiometer.errors import CureRefusedError
from gradiometer.launching.callers import keywords_of_call

GLOBAL_HOOKS = (
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
)
"""Torch's tables of hooks on all modules."""


def root_of(patient: Patient) -> tuple[str, nn.Module]:
    """The one root, and how it is written in a snippet.

    Raises:
        CureRefusedError: There are several.
    """
    model = patient.model
    if not isinstance(model, nn.ModuleDict):
        return "model", model
    names = list(model)
    if len(names) != 1:
        raise CureRefusedError(f"there are several models ({', '.join(names)}): whose inputs are meant is not known")
    return f'model["{names[0]}"]', model[names[0]]


def batch_of(patient: Patient) -> tuple[Any, ...]:
    """What the first forward is called with.

    Raises:
        CureRefusedError: It is not known.
    """
    if not patient.inputs:
        raise CureRefusedError("the first batch is known only when the model is first called")
    return patient.inputs


def keyword_names(patient: Patient, root: nn.Module) -> list[str]:
    """Names of those of the patient's inputs, the last ones, that the call under way gives by keyword."""
    keywords = keywords_of_call(root)
    given = patient.inputs[len(patient.inputs) - len(keywords) :]
    are_the_same = all(value is known for value, known in zip(keywords.values(), given, strict=False))
    return list(keywords) if len(given) == len(keywords) and are_the_same else []


def call_code(patient: Patient) -> str:
    """How the root is called on its first batch in a snippet, where `inputs` is that batch."""
    expression, root = root_of(patient)
    inputs, names = batch_of(patient), keyword_names(patient, root)
    if not names:
        return f"{expression}({'inputs' if len(inputs) == 1 else '*inputs'})"
    plain = len(inputs) - len(names)
    parts = [f"inputs[{index}]" for index in range(plain)]
    parts += [
        f"{name}=inputs[{plain + index}]" if len(inputs) > 1 else f"{name}=inputs" for index, name in enumerate(names)
    ]
    return f"{expression}({', '.join(parts)})"


def run_apart(patient: Patient, root: nn.Module, seed: int, inputs: tuple[Any, ...] | None = None) -> Any:
    """Run a root on its first batch as the script would, and leave no trace.

    It runs in the mode in which it is, under the patient's modes. Neither the hooks on all modules that whoever
    measures has set nor the random numbers of the script notice; buffers are put back, and what a module remembers.

    Args:
        patient: Whose inputs and modes.
        root: Its root.
        seed: Seed of what the model itself draws (dropout).
        inputs: What to call it with; the first batch where it is None.

    Returns:
        The root's output.

    Raises:
        CureRefusedError: It can't be run on what is known of its inputs.
    """
    given = inputs or batch_of(patient)
    if any(parameters.is_lazy(tensor) for tensor in (*root.parameters(), *root.buffers())):
        raise CureRefusedError(
            "the model has layers that take their shape from the first batch, so it can't be run before"
        )
    names = keyword_names(patient, root)
    plain, named = given[: len(given) - len(names)], given[len(given) - len(names) :]
    devices = sorted({tensor.get_device() for tensor in root.parameters() if tensor.is_cuda})
    with ExitStack() as stack:
        stack.enter_context(unobserved())
        stack.enter_context(kept_state(root))
        stack.enter_context(torch.random.fork_rng(devices))
        # Not torch.manual_seed: before CUDA is in use that leaves a seed behind for when it will be.
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        for mode in patient.forward_modes:
            stack.enter_context(mode)
        try:
            return getattr(root, "_orig_mod", root)(*plain, **dict(zip(names, named, strict=True)))
        except Exception as error:
            raise CureRefusedError(f"the model could not be run on its first batch: {error}") from error
        finally:
            # Under autocast the script's own forward would get weights as they were before they are changed.
            torch.clear_autocast_cache()


@contextmanager
def unobserved() -> Iterator[None]:
    """Set no hook on all modules for a while."""
    tables = [getattr(nn.modules.module, name) for name in GLOBAL_HOOKS]
    hooks = [dict(table) for table in tables]
    for table in tables:
        table.clear()
    try:
        yield
    finally:
        for table, entries in zip(tables, hooks, strict=True):
            table.update(entries)


@contextmanager
def kept_state(root: nn.Module) -> Iterator[None]:
    """Put a model's buffers back in the end, such as the statistics of a batch norm, and its modules' attributes."""
    buffers = [(buffer, buffer.clone()) for buffer in root.buffers()]
    modules = [module for module in root.modules() if not isinstance(module, torch.jit.ScriptModule)]
    attributes = [(module, dict(vars(module)), dict(module._buffers)) for module in modules]
    try:
        yield
    finally:
        for module, kept, own_buffers in attributes:
            vars(module).clear()
            vars(module).update(kept)
            module._buffers.clear()
            module._buffers.update(own_buffers)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
