"""Every block of code in the documentation runs, and every command prints what its page shows."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import pytest
from documented_blocks import PAGES, ROOT, Block, Command, blocks_of, commands_of, name_of

SLOW: dict[str, str] = {
    "docs/guides/recurrent_network.md": "reads the run file that its command leaves",
    "docs/guides/nan.md": "mends the script that its commands run",
    "docs/guides/proving_a_cure.md": "cures a function",
}
"""Pages whose Python is run with the whole page alone, and why; those of `integrations/` load whole trainers."""

LEAST_SHARE = 0.8
"""Share of the words shown that a command has to print again: which cures fit into the time depends on the machine."""

BLOCKS = {name_of(page): blocks_of(page.read_text(encoding="utf-8")) for page in PAGES}
PYTHON = {name: [block for block in blocks if block.kind == "python"] for name, blocks in BLOCKS.items()}
CONSOLE = {name: [block for block in blocks if block.kind == "console"] for name, blocks in BLOCKS.items()}
QUICK = [name for name, blocks in PYTHON.items() if blocks and name not in SLOW and "integrations" not in name]
WHOLE = [name for name in BLOCKS if CONSOLE[name] or (PYTHON[name] and name not in QUICK)]


@pytest.mark.parametrize("page", QUICK)
def test_runs_the_python_of_a_page(page: str, tmp_path: Path) -> None:
    space: dict[str, object] = {"__name__": "__main__"}
    with chdir(tmp_path):
        for block in PYTHON[page]:
            if block.reason is None:
                exec(compile("\n" * (block.line - 1) + block.text, page, "exec"), space)
    assert len(space) > 2


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("page", WHOLE)
def test_does_what_a_whole_page_shows(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    blocks = [block for block in BLOCKS[page] if block.reason is None and block.kind in {"python", "console"}]
    for index, block in enumerate(blocks):
        if block.kind == "console":
            for command in commands_of(block):
                check_command(f"{page}:{block.line}", command, tmp_path)
        elif block.file is not None:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif not any(later.kind == "python" and later.file is None for later in blocks[index + 1 : index + 2]):
            check_python(page, blocks[: index + 1], tmp_path)


def check_python(page: str, blocks: list[Block], folder: Path) -> None:
    """Run the Python of a page up to some block, each line at its place in the page."""
    text = ""
    for block in blocks:
        if block.kind == "python" and block.file is None:
            text += "\n" * (block.line - 1 - text.count("\n")) + block.text
    (folder / "page_so_far.py").write_text(text, encoding="utf-8")
    done = start(["page_so_far.py"], folder)
    assert done.returncode == 0, f"{page}\n{done.stderr}"


def check_command(place: str, command: Command, folder: Path) -> None:
    """Run a command and look for the words that its page shows."""
    done = start(["-m", "gradiometer", *command.words], folder)
    said = done.stdout + done.stderr
    assert done.returncode in {0, 3}, f"{place} {command.words}\n{said}"
    share, missing = share_of_words(command.shown, said)
    assert share >= LEAST_SHARE, f"{place} {command.words}: {sorted(missing)} are not printed\n{said}"


def share_of_words(shown: str, said: str) -> tuple[float, set[str]]:
    """Share of the words shown that were said, and the others; 1 where nothing is shown.

    Example:
        >>> share_of_words("BROKEN  1.5 dB weaker", "broken and weaker")
        (0.5, {'BROKEN'})
    """
    words = set(re.findall(r"[A-Za-z_]{3,}", shown))
    missing = words - set(re.findall(r"[A-Za-z_]{3,}", said))
    return (1.0 - len(missing) / len(words) if words else 1.0), missing


def start(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Start Python in a folder, with the width that the pages were written at."""
    environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_says_why_it_leaves_a_block_out() -> None:
    for blocks in BLOCKS.values():
        for block in blocks:
            assert block.reason is None or len(block.reason) > 10
    assert all(PYTHON[page] for page in SLOW)


def test_notices_output_that_is_another() -> None:
    assert share_of_words("vanishing at layer", "exploding somewhere else")[0] < LEAST_SHARE
    assert share_of_words("vanishing at layer 12", "vanishing at layer 11") == (1.0, set())
