"""Records a script and replays it, once for each kind of fault; prints what came of all as one JSON object."""

import contextlib
import io
import json
import sys
from pathlib import Path

from gradiometer.cli import main

SCRIPT = str(Path(__file__).with_name("replayed_script.py"))


def called(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one call of the command line."""
    output, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            main(list(words))
        except SystemExit as leaving:
            code = int(leaving.code or 0)
    return code, output.getvalue(), errors.getvalue()


def recorded(kind: str, bad_step: int, *options: str) -> list[str]:
    """Record a run and replay it in every way that is asked for."""
    file = f"{kind}.db"
    called("run", "--quiet", "--file", file, "--overhead", "0.5", *options, SCRIPT, kind, str(bad_step))
    return [file]


KINDS = {
    "root": (7, ("--seed", "1")),
    "overflow": (9, ("--seed", "2")),
    "division": (0, ("--seed", "3")),
    "batch": (11, ("--seed", "4", "--keep-batches", "2")),
    "jump": (30, ("--seed", "5")),
    "unseeded": (50, ()),
    "sound": (50, ("--seed", "6")),
}


def results() -> dict[str, object]:
    """What came of every kind, and of a second look at some."""
    found: dict[str, object] = {}
    for kind, (bad_step, options) in KINDS.items():
        (file,) = recorded(kind, bad_step, *options)
        words = ("--step", "20") if kind == "unseeded" else ()
        found[kind] = called("replay", file, "--json", *words)
    found["root text"] = called("replay", "root.db")
    found["too late"] = called("replay", "root.db", "--step", "4000")
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(results()))
