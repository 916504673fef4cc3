"""Reads the code and the commands of documentation pages, in the order in which they stand there.

A page says in HTML comments what its reader need not see: `<!-- setup` around a block that prepares others,
`<!-- file: NAME -->` before a block that is a script, and `<!-- not run: REASON -->` before one that no test may run.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

FENCED = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
REMARK = re.compile(r"<!-- (file|not run): (.+?) -->\s*\Z")
CALLED = re.compile(
    r"^(?: {4}|\$ |torchrun .* -m )\s*(?:torchrun .* -m )?gradiometer (?=[a-z-])(.*)$", flags=re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Attributes:
        kind: Its language: `python`, `console` ...
        text: What stands in it.
        line: The line of the page at which it begins.
        file: Name of the script that it is; None for what is run in place.
        reason: Why it is not run; None where it is.
    """

    kind: str
    text: str
    line: int
    file: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A command with the output that a page shows for it.

    Attributes:
        words: What stands behind `gradiometer`.
        shown: The lines below it.
    """

    words: tuple[str, ...]
    shown: str


def name_of(page: Path) -> str:
    """A page as tables and test names write it."""
    return page.relative_to(ROOT).as_posix()


def blocks_of(text: str) -> list[Block]:
    """Every fenced block of a page, hidden ones too.

    Example:
        >>> blocks_of("<!-- not run: slow -->\\n```python\\nx = 1\\n```\\n")[0].reason
        'slow'
    """
    found = []
    for match in FENCED.finditer(text):
        remark = REMARK.search(text[: match.start()])
        said = {remark[1]: remark[2]} if remark else {}
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(match[1], match[2], line, said.get("file"), said.get("not run")))
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block, each with what stands below it up to the next.

    Example:
        >>> commands_of(Block("console", "$ gradiometer docs stuck\\nStuck\\n", 1))
        [Command(words=('docs', 'stuck'), shown='Stuck\\n')]
    """
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    lines = [part.partition("\n") for part in parts]
    return [Command(words_of(line), shown) for line, _, shown in lines if line.startswith("gradiometer ")]


def words_of(line: str) -> tuple[str, ...]:
    """The words behind `gradiometer`, as a shell splits them."""
    return tuple(shlex.split(line.removeprefix("gradiometer "), comments=True))


def calls_of(text: str) -> list[tuple[str, ...]]:
    """Words of every command that stands on a line of its own in a page's code, however it is set.

    Example:
        >>> calls_of("    gradiometer run a.py   # watch\\n\\ntorchrun -n 2 -m gradiometer run b.py\\n")
        [('run', 'a.py'), ('run', 'b.py')]
    """
    whole = text.replace("\\\n", " ")
    return [tuple(shlex.split(match[1], comments=True)) for match in CALLED.finditer(whole)]
