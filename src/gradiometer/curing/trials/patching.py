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
from pathlib import Path
from typing import Any

from gradiometer.curing import parse_cure
from gradiometer.curing.trials.activation_edits import edit_activations
from gradiometer.curing.trials.opened_script import Making, Script, making_at, open_script, spans
from gradiometer.curing.trials.rewriting import names_in
from gradiometer.schema import Run

SIMPLE_OPTIMIZER = re.compile(r"^import torch\s+optimizer = torch\.optim\.(\w+)\(optimizer\.[^,]*, (.+)\)\s*$")
"""The snippet of an optimizer with one group and nothing else: its class and its settings."""


def patch_script(run: Run, changes: Sequence[Mapping[str, Any]], *, folder: Path | None = None) -> str | None:
    """Write changes as a patch of the files that make the optimizers.

    Args:
        run: The diagnosed run.
        changes: The parts of a cure, in order, as `gradiometer.curing.trials.treatment.Change` has them; with several
            models or optimizers each part stands there once for each that it has changed.
        folder: The folder that the script ran in; the working directory where None.

    Returns:
        A unified diff for each file, relative to that folder; None where the changes can't be written as one.
    """
    scripts: dict[str, Script] = {}
    for change in without_repeats(changes):
        if not is_said_once(run, change, changes):
            return None
        site, optimizer = change.get("optimizer_site"), change.get("optimizer")
        path, _, line = str(site or run.facts.get("optimizer_site") or "").rpartition(":")
        if not path or not line.isdigit():
            return None
        script = scripts[path] if path in scripts else open_script((folder or Path()) / path, path, run)
        if script is None:
            return None
        scripts[path] = script
        making = making_at(script, int(line), str(optimizer or run.facts.get("optimizer")))
        if making is None or not (
            edit_in_place(script, making, change, changes) or call_function(script, making, change)
        ):
            return None
    diffs = [diff_of(script) for script in scripts.values()]
    return None if None in diffs or not diffs else "".join(str(diff) for diff in diffs)


def without_repeats(changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The changes, each once: a loop that makes optimizers in one line repeats what is done to each of them."""
    kept: list[Mapping[str, Any]] = []
    for change in changes:
        if not any(dict(change, text="") == dict(known, text="") for known in kept):
            kept.append(change)
    return kept


def is_said_once(run: Run, change: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether code beside a change's optimizer is run for nothing but this change.

    Where a line makes several optimizers, as in a loop, each of them has to be changed, and all in the same words.
    """
    site, label = change.get("optimizer_site"), change["label"]
    made_count = list(run.facts.get("optimizer_sites") or ()).count(site)
    alike = [known for known in changes if known.get("optimizer_site") == site and known["label"] == label]
    return made_count <= 1 or (len(alike) == made_count and len(without_repeats(alike)) == 1)


def edit_in_place(
    script: Script, making: Making, change: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]
) -> bool:
    """Make a change by editing words of the script; False where it can't be made so."""
    name, _, setting = str(change["label"]).partition(":")
    if name == "change_learning_rate":
        return edit_learning_rate(script, making, setting)
    if name == "exchange_optimizer":
        return edit_optimizer(script, making, str(change["snippet"]))
    if name == "exchange_activation":
        alike = [str(known["snippet"]) for known in changes if known["label"] == change["label"]]
        return edit_activations(script, setting, alike)
    return False


def edit_learning_rate(script: Script, making: Making, setting: str) -> bool:
    """Write the new learning rate into the constructor."""
    call = making.call
    given = [keyword.value for keyword in call.keywords if keyword.arg == "lr"] or call.args[1:2]
    has_groups = isinstance(call.args[0] if call.args else None, ast.List | ast.ListComp)
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
    script.edit([script.source.replacing(given[0], text)])
    return True


def edit_optimizer(script: Script, making: Making, snippet: str) -> bool:
    """Write another class and its settings into the constructor."""
    found = SIMPLE_OPTIMIZER.match(snippet.strip() + "\n")
    function, call = making.call.func, making.call
    if found is None or not call.args or any(keyword.arg is None for keyword in call.keywords):
        return False
    if isinstance(function, ast.Attribute):
        home = ast.unparse(function.value)
    elif script.modules.get("torch") == "torch":
        home = "torch.optim"
    else:
        return False
    taken = script.source.text_of(call.args[0])
    script.edit([script.source.replacing(call, f"{home}.{found[1]}({taken}, {found[2]})")])
    return True


def call_function(script: Script, making: Making, change: Mapping[str, Any]) -> bool:
    """Make a change by a function of its own; False where the script has no place to call it."""
    snippet = str(change["snippet"]).strip()
    is_before = change["placement"] == "before_optimizer"
    given = arguments_of(script, making, change, names_in(snippet))
    if given is None or (making.optimizer is None and not is_before) or ("optimizer" in given and is_before):
        return False
    name = free_name(script, str(change["label"]).partition(":")[0])
    body = textwrap.indent(snippet, "    ", lambda line: bool(line.strip()))
    rebinds = "optimizer" in names_in(snippet, is_stored=True)
    ending = "\n    return optimizer" if rebinds else ""
    script.functions.append(f"def {name}({', '.join(given)}):\n{body}{ending}\n")
    call = f"{name}({', '.join(given.values())})"
    calls = making.calls_before if is_before else making.calls_after
    calls.append(f"{making.optimizer} = {call}" if rebinds else call)
    return True


def arguments_of(script: Script, making: Making, change: Mapping[str, Any], names: set[str]) -> dict[str, str] | None:
    """What a function for a change is given, by the name that its code has for it; None where the script has no word.

    Args:
        script: The script.
        making: The statement beside which the function is called.
        change: The change.
        names: Names that its code uses.
    """
    if parse_cure(str(change["label"])).needs:
        return None  # its code asks for inputs, and which of the script's words stands for them is not known
    roots = [str(root) for root in change.get("roots") or [""]]
    given: dict[str, str | None] = {}
    if roots == [""]:
        # Where the optimizer holds a part of the model only, what it is given is no name of the model.
        is_covered = bool(change.get("is_covered", True)) and len(making.owners) == 1
        given |= {"model": next(iter(making.owners)) if is_covered else None} if "model" in names else {}
    elif "model" in names:
        given |= {root: root_expression(script, making, root, is_only=len(roots) == 1) for root in roots}
    given |= {"optimizer": making.optimizer} if "optimizer" in names else {}
    known = {name: expression for name, expression in given.items() if expression is not None and name.isidentifier()}
    return known if len(known) == len(given) else None


def root_expression(script: Script, making: Making, root: str, *, is_only: bool) -> str | None:
    """How the script calls a root at the statement that makes its optimizer; None where that can't be told."""
    named = [owner for owner in making.owners if owner == root or owner.endswith(f".{root}")]
    if named:
        return named[0] if len(named) == 1 else None
    if is_only and len(making.owners) == 1:
        return next(iter(making.owners))
    return root if is_bound_before(script.source.tree, root, making.statement) else None


def is_bound_before(tree: ast.Module, name: str, statement: ast.stmt) -> bool:
    """Whether a name is assigned in the function of a statement, or at the script's top, in a line before it."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    def scope(node: ast.stmt | ast.expr) -> int | None:
        around = [function.lineno for function in functions if spans(function, node.lineno)]
        return max(around, default=None)

    return any(
        isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Store)
        and node.lineno < statement.lineno
        and scope(node) in {None, scope(statement)}
        for node in ast.walk(tree)
    )


def free_name(script: Script, wanted: str) -> str:
    """A name that the script does not use."""
    taken = names_in(script.source.text) | {text.partition("(")[0].removeprefix("def ") for text in script.functions}
    return (
        wanted
        if wanted not in taken
        else next(f"{wanted}_{k}" for k in range(2, 10**6) if f"{wanted}_{k}" not in taken)
    )


def diff_of(script: Script) -> str | None:
    """Make the edits and write the difference; None where the result is no Python."""
    source, path = script.source, script.file
    edits = list(script.edits)
    for making in script.makings.values():
        edits += source.around(making.statement, making.calls_before, making.calls_after)
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
