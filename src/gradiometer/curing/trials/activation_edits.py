"""Exchanges activations in a script's own words, where all their constructors or calls are in it."""

import ast
import re
from collections.abc import Sequence

from gradiometer.activations import MODULE_ACTIVATIONS
from gradiometer.curing.trials.opened_script import Script, is_module, last_name, spans
from gradiometer.curing.trials.rewriting import Edit
from gradiometer.schema import Run


def edit_activations(script: Script, target: str, snippets: Sequence[str]) -> bool:
    """Exchange the names of constructors, or functional calls, where all of them are in the script.

    Args:
        script: The script.
        target: The new activation.
        snippets: The exchange in each root.
    """
    listed = [found for snippet in snippets for found in re.findall(r"for \w+ in (\[.*?\]):", snippet)]
    places = [str(place) for found in listed for place in ast.literal_eval(found)]
    is_functional = ["TorchFunctionMode" in snippet for snippet in snippets]
    if any(is_functional) and (places or not all(is_functional)):
        return False
    edits = functional_edits(script, target, snippets) if places == [] else constructor_edits(script, target, places)
    script.edit(edits)
    return bool(edits)


def constructor_edits(script: Script, target: str, places: Sequence[str]) -> list[Edit]:
    """Edits of `nn.Sigmoid` to `nn.ReLU` and so on; none where some of them would be wrong."""
    layers = {layer.name: layer.kind for layer in script.run.layers if layer.role == "leaf"}
    kinds = {layers.get(place) for place in places}
    exchanged = {name for name, kind in layers.items() if kind in kinds}
    new = next((module for module, kind in MODULE_ACTIVATIONS.items() if kind == target), None)
    if new is None or None in kinds or exchanged != set(places):
        return []
    found: list[Edit] = []
    for node in ast.walk(script.source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Call) and last_name(node.func.func) in kinds:
            return []  # called at once, so no part of the model
        if isinstance(node, ast.Call) and last_name(node.func) in kinds and (node.args or node.keywords):
            return []
        if isinstance(node, ast.Name) and node.id in kinds:
            return []
        if isinstance(node, ast.Attribute) and node.attr in kinds and is_module(script, node.value, "torch.nn"):
            found.append(script.source.replacing(node, f"{ast.unparse(node.value)}.{new}"))
    return found


def functional_edits(script: Script, target: str, snippets: Sequence[str]) -> list[Edit]:
    """Edits of `torch.sigmoid(x)` to `F.relu(x)` and so on; none where a call is elsewhere or not to be told."""
    pattern = re.compile(r"^#\s+(\S+):(\d+)\s+(\w+)\s*$", flags=re.MULTILINE)
    sites = [site for snippet in snippets for site in pattern.findall(snippet)]
    if not is_whole_site(script.run, sites, snippets):
        return []
    home = next((name for name, module in script.modules.items() if module == "torch.nn.functional"), None)
    if home is None and script.modules.get("torch") == "torch":
        home = "torch.nn.functional"
    if not sites or home is None or any(file != script.file for file, _, _ in sites):
        return []
    found: dict[tuple[int, int], Edit] = {}
    for _, line, kind in sites:
        calls = [
            node
            for node in ast.walk(script.source.tree)
            if isinstance(node, ast.Call) and spans(node, int(line)) and last_name(node.func) == kind
        ]
        for call in calls:
            edit = functional_edit(script, call, f"{home}.{target}")
            if edit is None:
                return []
            found[edit.start] = edit
        if not calls:
            return []
    return list(found.values())


def is_whole_site(run: Run, sites: Sequence[tuple[str, str, str]], snippets: Sequence[str]) -> bool:
    """Whether each of these calls is exchanged wherever it is made: a root that is left alone may share the code."""
    lines = {(f"{file}:{line}", kind) for file, line, kind in sites}
    made = sum((layer.call_site, layer.kind) in lines for layer in run.layers if layer.role == "function")
    return not made or len(snippets) == 1 or made == len(sites)


def functional_edit(script: Script, call: ast.Call, new: str) -> Edit | None:
    """The edit of one call; None for one with settings or written over its input."""
    function = call.func
    if call.keywords or not isinstance(function, ast.Attribute):
        return None
    if is_module(script, function.value, "torch") or is_module(script, function.value, "torch.nn.functional"):
        return script.source.replacing(function, new) if len(call.args) == 1 else None
    if call.args:
        return None
    return script.source.replacing(call, f"{new}({script.source.text_of(function.value)})")
