"""A script that is to be patched: its text, the statements that make its optimizers, and what is to be changed."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradiometer.curing.trials.rewriting import Edit, Source, bound_modules
from gradiometer.schema import Run


@dataclass(slots=True)
class Making:
    """A statement that makes an optimizer.

    Attributes:
        statement: The statement.
        call: The optimizer's constructor in it.
        calls_before: Calls to be put before it.
        calls_after: Calls to be put after it.
    """

    statement: ast.stmt
    call: ast.Call
    calls_before: list[str] = field(default_factory=list)
    calls_after: list[str] = field(default_factory=list)

    @property
    def owners(self) -> frozenset[str]:
        """The expressions whose `parameters()` the optimizer takes."""
        return frozenset(
            ast.unparse(node.func.value)
            for node in ast.walk(self.statement)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"parameters", "named_parameters"}
        )

    @property
    def optimizer(self) -> str | None:
        """What the optimizer is assigned to; None where it is returned or handed on."""
        statement = self.statement
        if isinstance(statement, ast.Assign) and statement.value is self.call and len(statement.targets) == 1:
            return ast.unparse(statement.targets[0])
        if isinstance(statement, ast.AnnAssign) and statement.value is self.call:
            return ast.unparse(statement.target)
        return None


@dataclass(slots=True)
class Script:
    """A script under the knife.

    Attributes:
        source: Its text.
        file: Its path, as sites name it.
        modules: What names at its top stand for, in dotted form.
        run: The diagnosed run.
        edits: What is to be changed.
        functions: Functions to be added.
        makings: The statements that make optimizers, by the line that a site names.
    """

    source: Source
    file: str
    modules: dict[str, str]
    run: Run
    edits: list[Edit] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    makings: dict[int, Making] = field(default_factory=dict)

    def edit(self, edits: Sequence[Edit]) -> None:
        """Note edits; one that is noted already is made once."""
        self.edits += [edit for edit in dict.fromkeys(edits) if edit not in self.edits]


def open_script(path: Path, file: str, run: Run) -> Script | None:
    """Read a script; None where it can't be read."""
    try:
        source = Source(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return None
    return Script(source, file, bound_modules(source.tree), run)


def making_at(script: Script, line: int, optimizer: str) -> Making | None:
    """Find the statement that makes an optimizer of some class in a line; None where there is not exactly one."""
    if line in script.makings:
        return script.makings[line]
    tree = script.source.tree
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and spans(node, line)]
    makers = [call for call in calls if last_name(call.func) == optimizer]
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and makers and makers[0] in ast.walk(node)
    ]
    if len(around) != 1 or len(makers) != 1:
        return None
    script.makings[line] = Making(around[0], makers[0])
    return script.makings[line]


def spans(node: ast.stmt | ast.expr, line: int) -> bool:
    """Whether a node covers a line."""
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def last_name(expression: ast.expr) -> str:
    """The last part of a dotted name."""
    return ast.unparse(expression).rpartition(".")[2]


def is_module(script: Script, expression: ast.expr, module: str) -> bool:
    """Whether an expression stands for a module."""
    first, dot, rest = ast.unparse(expression).partition(".")
    return script.modules.get(first, "") + dot + rest == module
