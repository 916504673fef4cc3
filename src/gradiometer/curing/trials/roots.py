"""Finds the models behind an optimizer that is being made: no forward has told yet which modules are the roots."""

import gc
from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor, nn

from gradiometer.schema import Run

Shapes = dict[str, tuple[int, ...]]


def roots_behind(tensors: Iterable[Tensor], run: Run | None) -> dict[str, nn.Module]:
    """Find the roots that own some parameters, under the names that they had in the diagnosed run.

    A root is told by its parameters: names and shapes are those of the diagnosed run. Where none fits, the smallest
    module that owns all the tensors stands in.

    Args:
        tensors: What an optimizer is about to hold.
        run: The diagnosed run; None where there was none.

    Returns:
        Roots by the prefix of their layers' names, "" for a single root; empty where no module owns the tensors.
    """
    held = {id(tensor) for tensor in tensors}
    owners = [module for module in modules_alive() if any(id(p) in held for p in module.parameters())]
    found = known_roots(owners, run) if run is not None else {}
    if found:
        return found
    whole = [module for module in owners if held <= {id(parameter) for parameter in module.parameters()}]
    return {"": min(whole, key=lambda module: sum(1 for _ in module.modules()))} if whole else {}


def known_roots(owners: list[nn.Module], run: Run) -> dict[str, nn.Module]:
    """Which of these modules are the diagnosed run's roots."""
    names = [str(name) for name in run.facts.get("root_names") or ()]
    found: dict[str, nn.Module] = {}
    for prefix in [*names, ""] if len(names) == 1 else names:
        wanted = shapes_under(run, prefix)
        match = next((module for module in owners if wanted and shapes_of(module) == wanted), None)
        if match is not None and match not in found.values():
            found[prefix] = match
    return found


def shapes_under(run: Run, prefix: str) -> Shapes:
    """Names and shapes of a run's parameters below a root, without its prefix."""
    start = f"{prefix}." if prefix else ""
    return {
        parameter.name.removeprefix(start): tuple(parameter.shape)
        for parameter in run.parameters
        if parameter.name.startswith(start) and not parameter.name.startswith("optimizer")
    }


def shapes_of(module: nn.Module) -> Shapes:
    """Names and shapes of a module's parameters."""
    return {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}


def modules_alive() -> Iterator[nn.Module]:
    """Every module that exists, the outermost of a family before its parts where it was made later."""
    for thing in reversed(gc.get_objects()):
        # Not isinstance: a lazy proxy would be made to load what it stands for.
        if issubclass(type(thing), nn.Module):
            yield thing


def as_one(roots: Mapping[str, nn.Module]) -> nn.Module:
    """One module for a cure to work on: the root itself, or a dictionary of roots under their names."""
    if set(roots) == {""}:
        return roots[""]
    return nn.ModuleDict(dict(roots))


def opening_of(roots: Mapping[str, nn.Module]) -> str:
    r"""The lines that a snippet for several roots begins with; empty for a single root.

    Example:
        >>> opening_of({"encoder": nn.Linear(1, 1)})
        'from torch import nn\n\nmodel = nn.ModuleDict({"encoder": encoder})\n'
    """
    if set(roots) <= {""}:
        return ""
    entries = ", ".join(f'"{name}": {name}' for name in roots)
    return f"from torch import nn\n\nmodel = nn.ModuleDict({{{entries}}})\n"
