"""Command lines: each verb with options that it has, options that it has not, and values of every kind."""

import random
from collections.abc import Mapping
from pathlib import Path

from benchmarks.fuzz.values import NUMBERS, hostile_text
from gradiometer.launching.script import is_there

FILES = ("sound.db", "nothing.db", "folder", "text.txt", "pipe", "", ".", "sound.db/x", "no such\nfile", "\x1b[31m.db")
"""Words for a run file, most of which are none."""

VERBS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "diagnose": (("--json", "--fail-on"), FILES),
    "explain": (("--json", "--layer", "--examples"), FILES),
    "report": (("--json",), FILES),
    "export": (("--to", "--figures", "--force", "--json"), FILES),
    "compare": (("--json",), FILES),
    "runs": (("--json", "--clean", "--keep", "--older-than", "--yes"), ("folder", ".", "text.txt", "nothing")),
    "docs": (("--json",), ("vanishing", "redraw_weights", "all", "no_such_condition", "../../etc/passwd")),
    "theory": (
        ("--sigma-w", "--sigma-b", "--depth", "--width", "--dropout", "--recurrent", "--orthogonal", "--json"),
        ("tanh", "relu", "no_such", "nothing.py:f", "text.txt:f", "no.such.module:f", ":", "a:b:c"),
    ),
    "lab": (("--quick", "--seeds", "--json", "--port", "--token"), ("no-such-experiment", "explorer2", "-", "all\n")),
    "live": (("--port", "--no-browser"), ("nothing", "no such folder", "sound.db/x")),
    "run": (
        (
            *("--overhead", "--seed", "--fail-on", "--stop-on", "--steps", "--cure", "--to"),
            *("--keep-batches", "--keep-weights", "--open-compiled", "--quiet", "-m"),
        ),
        ("no_such.py", "folder"),
    ),
    "check": (("--steps", "--seed", "--fail-on", "--open-compiled", "--json", "-m"), ("no_such.py", "folder")),
    "replay": (("--step", "--json"), FILES),
    "cure": (
        (
            *("--steps", "--seconds", "--seeds", "--workers", "--try", "--without"),
            *("--fresh", "--diff", "--json", "--engine"),
        ),
        ("no_such.py", "nothing", "\x00"),
    ),
}
"""Of each verb options and words. None of them is a program that could be run, and no page is ever served."""

OTHER_OPTIONS = (
    "--help",
    "--version",
    "--no-such",
    "-x",
    "--",
    "-",
    "---",
    "--json=1",
    "-m",
    "--output",
    "--\x1b[31m",
    "-h",
)


def hostile_words(source: random.Random) -> list[str]:
    """A command line."""
    verb = source.choice([*VERBS, source.choice(("", "no-such-verb", "--help", "diagnos", "\x1b[2J"))])
    options, words = VERBS.get(verb, ((), FILES))
    line = [source.choice(words)] if source.random() < 0.9 else []
    if verb == "compare" and source.random() < 0.8:
        line.append(source.choice(words))
    for _ in range(source.choice((0, 0, 1, 1, 2, 3, 5))):
        name = source.choice(options) if options and source.random() < 0.85 else source.choice(OTHER_OPTIONS)
        if name == "--output" or (verb == "cure" and name == "-m"):
            continue  # it would be written to, or trained
        line.insert(source.randrange(len(line) + 1), name)
        if source.random() < 0.6:
            line.insert(line.index(name) + 1, hostile_word(source))
    if verb == "cure":  # a text may be the path of a file that is there, and would be tried in other processes
        line = [word for word in line if not is_there(Path(word))]
    # A page that is served would wait for its readers: its token is too short to be one.
    first = [verb, "--token", "short"] if verb == "live" else [verb]
    return [*first, *line[: source.choice((12, 12, 12, 0, 1))]]


def hostile_word(source: random.Random) -> str:
    """A value of an option: a number as people and machines write them, a word, a text."""
    draw = source.random()
    if draw < 0.5:
        return str(source.choice(NUMBERS))
    if draw < 0.7:
        return source.choice(
            ("csv", "json", "html", "critical", "warning", "x", "0", "1", "3", "0.5", "1e3", "-1", "body.0")
        )
    # A command line holds no NUL, and no more than the system lets it.
    return hostile_text(source).replace("\x00", "")[:4000]
