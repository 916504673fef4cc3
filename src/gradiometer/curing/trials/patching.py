"""Writes a proved change as a patch of the script.

What can be said in a word is edited where it stands: the learning rate, the optimizer's class, the activation where
all its constructors or calls are in the script. Everything else becomes a function of its own, so that no name of the
script is overwritten, called right before or after the statement that makes the optimizer.
"""

import ast
import difflib
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradiometer.activations import MODULE_ACTIVATIONS
from gradiometer.curing.trials.rewriting import Edit, Source, bound_modules, names_in
from gradiometer.schema import Run

SIMPLE_OPTIMIZER = re.compile(r"^import torch\s+optimizer = torch\.optim\.(\w+)\(optimizer\.[^,]*, (.+)\)\s*$")
"""The snippet of an optimizer with one group and nothing else: its class and its settings."""


@dataclass(slots=True)
class Script:
    """The script under the knife.

    Attributes:
        source: Its text.
        statement: The statement that makes the optimizer.
        call: The optimizer's constructor in it.
        modules: What names at its top stand for, in dotted form.
        run: The diagnosed run.
        edits: What is to be changed.
        functions: Functions to be added.
    """

    source: Source
    statement: ast.stmt
    call: ast.Call
    modules: dict[str, str]
    run: Run
    edits: list[Edit] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    calls_before: list[str] = field(default_factory=list)
    calls_after: list[str] = field(default_factory=list)

    @property
    def model(self) -> str | None:
        """The expression whose `parameters()` the optimizer takes; None where there is not exactly one."""
        owners = {
            ast.unparse(node.func.value)
            for node in ast.walk(self.statement)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"parameters", "named_parameters"}
        }
        return owners.pop() if len(owners) == 1 else None

    @property
    def optimizer(self) -> str | None:
        """What the optimizer is assigned to; None where it is returned or handed on."""
        statement = self.statement
        if isinstance(statement, ast.Assign) and statement.value is self.call and len(statement.targets) == 1:
            return ast.unparse(statement.targets[0])
        if isinstance(statement, ast.AnnAssign) and statement.value is self.call:
            return ast.unparse(statement.target)
        return None


def patch_script(run: Run, changes: Sequence[Mapping[str, Any]], *, folder: Path | None = None) -> str | None:
    """Write changes as a patch of the file that makes the optimizer.

    Args:
        run: The diagnosed run.
        changes: The parts of a cure, in order, as `gradiometer.curing.trials.treatment.Change` has them.
        folder: The folder that the script ran in; the working directory where None.

    Returns:
        A unified diff, relative to that folder; None where the change can't be written as one.
    """
    path, _, line = str(run.facts.get("optimizer_site") or "").rpartition(":")
    script = open_script((folder or Path()) / path, int(line), run) if path and line.isdigit() else None
    is_repeated = len({str(change["label"]) for change in changes}) < len(changes)  # for several optimizers
    if script is None or not changes or is_repeated:
        return None
    for change in changes:
        if not (edit_in_place(script, change) or call_function(script, change)):
            return None
    return diff_of(script, path)


def open_script(path: Path, line: int, run: Run) -> Script | None:
    """Read a script and find the optimizer's constructor in it; None where that fails."""
    try:
        source = Source(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and spans(node, line)]
    makers = [call for call in calls if last_name(call.func) == run.facts.get("optimizer")]
    around = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and makers and makers[0] in ast.walk(node)
    ]
    if len(around) != 1 or len(makers) != 1:
        return None
    return Script(source, around[0], makers[0], bound_modules(source.tree), run)


def spans(node: ast.stmt | ast.expr, line: int) -> bool:
    """Whether a node covers a line."""
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def last_name(expression: ast.expr) -> str:
    """The last part of a dotted name."""
    return ast.unparse(expression).rpartition(".")[2]


def edit_in_place(script: Script, change: Mapping[str, Any]) -> bool:
    """Make a change by editing words of the script; False where it can't be made so."""
    name, _, setting = str(change["label"]).partition(":")
    if name == "change_learning_rate":
        return edit_learning_rate(script, setting)
    if name == "exchange_optimizer":
        return edit_optimizer(script, str(change["snippet"]))
    if name == "exchange_activation":
        return edit_activations(script, setting, str(change["snippet"]))
    return False


def edit_learning_rate(script: Script, setting: str) -> bool:
    """Write the new learning rate into the constructor."""
    keywords = [keyword.value for keyword in script.call.keywords if keyword.arg == "lr"]
    given = keywords or script.call.args[1:2]
    has_groups = isinstance(script.call.args[0] if script.call.args else None, ast.List | ast.ListComp)
    if len(given) != 1 or has_groups:
        return False
    if setting.startswith("="):
        text = setting[1:]
    elif isinstance(given[0], ast.Constant) and isinstance(given[0].value, int | float):
        text = f"{float(given[0].value) * float(setting[1:]):.6g}"
    else:
        rate = script.source.text_of(given[0])
        is_whole = isinstance(given[0], ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        text = f"{rate if is_whole else f'({rate})'} * {setting[1:]}"
    script.edits.append(script.source.replacing(given[0], text))
    return True


def edit_optimizer(script: Script, snippet: str) -> bool:
    """Write another class and its settings into the constructor."""
    found = SIMPLE_OPTIMIZER.match(snippet.strip() + "\n")
    function, call = script.call.func, script.call
    if found is None or not call.args or any(keyword.arg is None for keyword in call.keywords):
        return False
    if isinstance(function, ast.Attribute):
        home = ast.unparse(function.value)
    elif script.modules.get("torch") == "torch":
        home = "torch.optim"
    else:
        return False
    taken = script.source.text_of(call.args[0])
    script.edits.append(script.source.replacing(call, f"{home}.{found[1]}({taken}, {found[2]})"))
    return True


def edit_activations(script: Script, target: str, snippet: str) -> bool:
    """Exchange the names of constructors, or functional calls, where all of them are in the script."""
    is_functional = "TorchFunctionMode" in snippet
    places = [place for listed in re.findall(r"for \w+ in (\[.*?\]):", snippet) for place in ast.literal_eval(listed)]
    if is_functional and places:
        return False
    edits = functional_edits(script, target, snippet) if is_functional else constructor_edits(script, target, places)
    script.edits += edits
    return bool(edits)


def constructor_edits(script: Script, target: str, places: Sequence[Any]) -> list[Edit]:
    """Edits of `nn.Sigmoid` to `nn.ReLU` and so on; none where some of them would be wrong."""
    layers = {layer.name: layer.kind for layer in script.run.layers if layer.role == "leaf"}
    kinds = {layers.get(str(place)) for place in places}
    exchanged = {name for name, kind in layers.items() if kind in kinds}
    new = next((module for module, kind in MODULE_ACTIVATIONS.items() if kind == target), None)
    if new is None or None in kinds or exchanged != {str(place) for place in places}:
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


def functional_edits(script: Script, target: str, snippet: str) -> list[Edit]:
    """Edits of `torch.sigmoid(x)` to `F.relu(x)` and so on; none where a call is elsewhere or not to be told."""
    sites = re.findall(r"^#\s+(\S+):(\d+)\s+(\w+)\s*$", snippet, flags=re.MULTILINE)
    site_file = str(script.run.facts.get("optimizer_site")).rpartition(":")[0]
    home = next((name for name, module in script.modules.items() if module == "torch.nn.functional"), None)
    if home is None and script.modules.get("torch") == "torch":
        home = "torch.nn.functional"
    if not sites or home is None or any(file != site_file for file, _, _ in sites):
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


def is_module(script: Script, expression: ast.expr, module: str) -> bool:
    """Whether an expression stands for a module."""
    first, dot, rest = ast.unparse(expression).partition(".")
    return script.modules.get(first, "") + dot + rest == module


def call_function(script: Script, change: Mapping[str, Any]) -> bool:
    """Make a change by a function of its own; False where the script has no place to call it."""
    is_before = change["placement"] == "before_optimizer"
    name = free_name(script, str(change["label"]).partition(":")[0])
    snippet = str(change["snippet"]).strip()
    if list(change.get("roots") or [""]) not in ([""], []):
        return False
    needs_model, needs_optimizer = (word in names_in(snippet) for word in ("model", "optimizer"))
    given = [
        (word, expression)
        for word, expression, is_needed in (
            ("model", script.model, needs_model),
            ("optimizer", script.optimizer, needs_optimizer),
        )
        if is_needed
    ]
    if any(expression is None for _, expression in given) or (needs_optimizer and is_before):
        return False
    if not is_before and script.optimizer is None:
        return False
    body = textwrap.indent(snippet, "    ", lambda line: bool(line.strip()))
    parameters = ", ".join(word for word, _ in given)
    rebinds = "optimizer" in names_in(snippet, is_stored=True)
    ending = "\n    return optimizer" if rebinds else ""
    script.functions.append(f"def {name}({parameters}):\n{body}{ending}\n")
    call = f"{name}({', '.join(str(expression) for _, expression in given)})"
    (script.calls_before if is_before else script.calls_after).append(
        f"{script.optimizer} = {call}" if rebinds else call
    )
    return True


def free_name(script: Script, wanted: str) -> str:
    """A name that the script does not use."""
    taken = names_in(script.source.text) | {text.partition("(")[0].removeprefix("def ") for text in script.functions}
    return (
        wanted
        if wanted not in taken
        else next(f"{wanted}_{k}" for k in range(2, 10**6) if f"{wanted}_{k}" not in taken)
    )


def diff_of(script: Script, path: str) -> str | None:
    """Make the edits and write the difference; None where the result is no Python."""
    source = script.source
    edits = [*script.edits, *source.around(script.statement, script.calls_before, script.calls_after)]
    if script.functions:
        edits.append(source.behind_imports("\n\n" + "\n\n".join(script.functions)))
    patched = source.edited(edits)
    try:
        ast.parse(patched)
    except SyntaxError:
        return None
    lines = difflib.unified_diff(
        source.text.splitlines(keepends=True), patched.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
