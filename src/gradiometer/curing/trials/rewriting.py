"""A script's text with its syntax tree: places by node, and edits that leave everything else as it is."""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Place = tuple[int, int]
"""Line from 0 and offset in bytes of UTF-8, as syntax trees count columns."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A stretch of text and what takes its place.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        text: What takes its place.
    """

    start: Place
    end: Place
    text: str


class Source:
    """A script's text.

    Raises:
        SyntaxError: It is no Python.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self._lines = [line.encode() for line in text.splitlines(keepends=True)]

    def text_of(self, node: ast.expr) -> str:
        """A node as it is written."""
        return ast.get_source_segment(self.text, node) or ast.unparse(node)

    def replacing(self, node: ast.expr, text: str) -> Edit:
        """The edit that writes something else in a node's place."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return Edit((node.lineno - 1, node.col_offset), (node.end_lineno - 1, node.end_col_offset), text)

    def around(self, statement: ast.stmt, before: Sequence[str], after: Sequence[str]) -> list[Edit]:
        """The edits that put lines before and after a statement, indented as it is.

        A statement that shares its line with another (`a = 1; b = 2`) gets them on that line.
        """
        first, last = statement.lineno - 1, (statement.end_lineno or statement.lineno) - 1
        lead = self._lines[first][: statement.col_offset].decode()
        tail = self._lines[last][statement.end_col_offset or 0 :].decode().strip()
        indent = lead if not lead.strip() else None
        is_alone = indent is not None and (not tail or tail.startswith("#"))
        edits = []
        if before:
            joined = (
                "".join(f"{line}\n{indent}" for line in before)
                if indent is not None
                else "".join(f"{line}; " for line in before)
            )
            place = (first, statement.col_offset)
            edits.append(Edit(place, place, joined))
        if after:
            place = (last, len(self._lines[last].rstrip(b"\r\n")) if is_alone else statement.end_col_offset or 0)
            joined = "".join(f"\n{indent}{line}" if is_alone else f"; {line}" for line in after)
            edits.append(Edit(place, place, joined))
        return edits

    def behind_imports(self, text: str) -> Edit:
        """The edit that puts text after the imports that the script begins with."""
        last = 0
        for index, statement in enumerate(self.tree.body):
            is_docstring = index == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not (is_docstring or isinstance(statement, ast.Import | ast.ImportFrom)):
                break
            last = statement.end_lineno or statement.lineno
        return Edit((last, 0), (last, 0), text if last else text.lstrip("\n") + "\n\n")

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with edits made; of two at one place the first one named comes first."""
        lines = list(self._lines)
        ordered = sorted(enumerate(edits), key=lambda entry: (entry[1].start, entry[0]), reverse=True)
        for _, edit in ordered:
            (first, start), (last, end) = edit.start, edit.end
            if first >= len(lines):
                lines.append(b"")
            lines[first : last + 1] = [lines[first][:start] + edit.text.encode() + lines[last][end:]]
        return b"".join(lines).decode()


def bound_modules(tree: ast.Module) -> dict[str, str]:
    r"""What the names that a script imports at its top stand for, in dotted form.

    Example:
        >>> bound_modules(ast.parse("import torch.nn as nn\nfrom torch import optim\nimport torch.nn.functional"))
        {'nn': 'torch.nn', 'optim': 'torch.optim', 'torch': 'torch'}
    """
    found: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                first = alias.name.partition(".")[0]
                found[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(statement, ast.ImportFrom) and not statement.level:
            for alias in statement.names:
                found[alias.asname or alias.name] = f"{statement.module}.{alias.name}"
    return found


def names_in(code: str, *, is_stored: bool = False) -> set[str]:
    """Names that code uses, or only those that it assigns to.

    Example:
        >>> sorted(names_in("a = b.c")), names_in("a = b.c", is_stored=True)
        (['a', 'b'], {'a'})
    """
    nodes = list(ast.walk(ast.parse(code)))
    names = {
        node.id for node in nodes if isinstance(node, ast.Name) and (not is_stored or isinstance(node.ctx, ast.Store))
    }
    if is_stored:
        return names
    return names | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
