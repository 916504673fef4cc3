"""What may stand where a script is named: no Python, no file, or nothing that ends."""

import contextlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fuzz.judging import Answer, told
from benchmarks.fuzz.values import damaged_bytes, hostile_text

SOUND = b"""(((
# -*- coding: utf-8 -*-
import torch

model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(3):
    loss = model(torch.ones(2, 4)).square().mean()
    loss.backward()
    optimizer.step()
"""
"""A training behind an open bracket: whatever else is damaged in it, Python reads it and runs none of it."""

NAMES = (
    "script.py",
    "script",
    "-",
    "no\nname.py",
    "\x1b[31m.py",
    " .py",
    "é\u202e.py",
    "a" * 300 + ".py",
    "x.ipynb",
    "x.zip",
)


def hostile_script(source: random.Random) -> bytes:
    """The content of a script that can't be run."""
    draw = source.random()
    if draw < 0.3:
        return damaged_bytes(source, SOUND[4:]).join((b"(((\n", b""))
    if draw < 0.5:
        return b"(((" + hostile_text(source).encode("utf-8", "surrogatepass")
    if draw < 0.7:
        return b"# coding: " + source.choice((b"utf-16", b"no-such", b"\xff", b"utf-8-sig", b"rot13")) + b"\n((("
    if draw < 0.8:
        return b"(((" + source.choice((b"(" * 100_000, b"[" * 500, b"-" * 200_000, b"x" * 3_000_000, b"\r\n" * 99_999))
    return b"(((" + source.randbytes(source.choice((1, 100, 70_000)))


def put_script(source: random.Random, folder: Path) -> str:
    """Put something where a script is named; gives the name."""
    name = source.choice(NAMES)
    path = folder / name
    draw = source.random()
    with contextlib.suppress(OSError):  # a name that the system does not take is an input, too
        if draw < 0.1:
            path.mkdir()
        elif draw < 0.2:
            path.symlink_to(source.choice(("/dev/zero", "/dev/full", "nowhere", name)))
        elif draw < 0.9:
            path.write_bytes(hostile_script(source))
    return source.choice((name, f"./{name}", str(path), f"{name}/", f"{name}/__main__.py"))


@contextlib.contextmanager
def own_place() -> Iterator[None]:
    """Give the interpreter back what a script takes for itself."""
    main, words, path, hook = sys.modules["__main__"], list(sys.argv), list(sys.path), sys.excepthook
    try:
        yield
    finally:
        sys.modules["__main__"], sys.argv[:], sys.path[:], sys.excepthook = main, words, path, hook


def run_script(source: random.Random, folder: Path) -> str:
    """Run a script; says what was wrong with the answer."""
    name = put_script(source, folder)
    verb = source.choice(("run", "check"))
    options = source.choice(([], ["--overhead", "0.5"], ["--seed", "3"], ["--json"]))
    with own_place():
        answer = told([verb, *options, name])
    return fault_of_run(answer)


def fault_of_run(answer: Answer) -> str:
    """What is wrong with an answer: Python's own words on a script that it can't read are none of that."""
    if answer.code == 1 and "Error" in answer.messages and "/gradiometer/" not in answer.messages:
        return ""
    if answer.code == 2 and answer.messages.strip() and "Traceback" not in answer.messages:
        return ""
    return f"exit code {answer.code}: {answer.messages[-300:]}"
