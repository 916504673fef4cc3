"""The kinds of hostile input, each with how it is fed."""

import io
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.fuzz import requests, run_files, scripts, settings_texts
from benchmarks.fuzz.judging import fault_of, told
from benchmarks.fuzz.words import hostile_words

VERBS: tuple[tuple[str, ...], ...] = (
    ("diagnose", "run.db"),
    ("diagnose", "run.db", "--json"),
    ("explain", "run.db"),
    ("explain", "run.db", "--json"),
    ("explain", "run.db", "--examples"),
    ("explain", "run.db", "--layer", "body.2"),
    ("report", "run.db"),
    ("compare", "sound.db", "run.db"),
    ("compare", "run.db", "sound.db", "--json"),
    ("compare", "run.db", "sound.db", "--output", "compared.html"),
    ("export", "run.db", "--to", "json", "--output", "tables.json", "--force"),
    ("export", "run.db", "--to", "csv", "--output", "tables", "--force"),
    ("runs", "."),
    ("runs", ".", "--json"),
    ("replay", "run.db"),
    ("diagnose", "run.db", "--junit", "run.xml", "--sarif", "run.sarif", "--markdown", "run.md"),
)
"""Every verb that reads a run file; `replay` finds no script to run again."""


@dataclass
class Bench:
    """What inputs are made from and fed to, made when it is first asked for.

    Attributes:
        folder: The working directory of all inputs: emptied before each.
        sound: The content of a sound run file.
        kept: The content of a sound file of kept tensors.
    """

    folder: Path
    sound: bytes
    kept: bytes

    def prepare(self, kinds: Sequence[str]) -> None:
        """Make the pages that some kinds ask, which takes a while and belongs to no input."""
        for page in ("dashboard", "explorer"):
            if f"request to the {page}" in kinds:
                getattr(self, page)

    @cached_property
    def dashboard(self) -> "Served":
        """The dashboard on two run files beside the working directory."""
        from gradiometer.diagnosing import diagnose
        from gradiometer.showing.dashboard.application import dashboard_application
        from gradiometer.showing.dashboard.shelf import Found, Shelf, key_of

        paths = [self.folder.parent / name for name in ("one.db", "two.db")]
        for path in paths:
            path.write_bytes(self.sound)
        shelf = Shelf(lambda: [Found(path) for path in paths], diagnose)
        return served(dashboard_application(shelf, "."), [key_of(path) for path in paths], {})

    @cached_property
    def explorer(self) -> "Served":
        """The explorer of a digit network, which is trained for a few steps."""
        from gradiometer.lab.datasets.digits import load_digits
        from gradiometer.lab.explorer.answering import answer_question, open_pages
        from gradiometer.lab.explorer.training import digits_of
        from gradiometer.schema.explored import ExplorerSettings, Question
        from gradiometer.showing.explorer.application import explorer_application
        from gradiometer.showing.explorer.moves import PageState, Picked

        pages = open_pages(digits_of(load_digits()))
        ask = partial(answer_question, pages)
        weight = ask(Question("0123456789abcdef", "weight", ExplorerSettings()))
        sound = {
            "state": asdict(PageState()),
            "picked": asdict(Picked()),
            "choices": asdict(ExplorerSettings()),
            "weight": asdict(weight),
            "walk-at": 0,
            "tick": 1,
        }
        return served(explorer_application(ask, pages.digits.data, first_steps=5), ["0123456789abcdef"], sound)


@dataclass(frozen=True, slots=True)
class Served:
    """A page behind its guard.

    Attributes:
        application: The guarded application.
        callbacks: What its page asks.
        keys: Keys of what it shows.
        sound: Values of its stores that it would send itself.
    """

    application: requests.Application
    callbacks: list[requests.Callback]
    keys: list[str]
    sound: Mapping[str, Any]


def served(application: Any, keys: list[str], sound: Mapping[str, Any]) -> Served:
    """A Dash application behind the guard that `serve` puts before it."""
    from gradiometer.showing.served_frame import script_hashes
    from gradiometer.showing.serving import guarded

    guard = guarded(application.server, script_hashes=script_hashes(application))
    return Served(guard, requests.callbacks_of(application), keys, sound)


def try_run_file(source: random.Random, bench: Bench) -> tuple[str, str]:
    """A hostile run file, through a verb that reads it."""
    what, content = run_files.hostile_file(source, bench.sound)
    (bench.folder / "run.db").write_bytes(content)
    words = source.choice(VERBS)
    if words[0] == "compare":
        (bench.folder / "sound.db").write_bytes(bench.sound)
    return f"{what}: {' '.join(words)}", fault_of(told(list(words)))


def try_reading(source: random.Random, bench: Bench) -> tuple[str, str]:
    """A hostile run file, read and diagnosed."""
    from gradiometer.diagnosing import diagnose
    from gradiometer.errors import RunFileError
    from gradiometer.recording.reader import read_run

    what, content = run_files.hostile_file(source, bench.sound)
    path = bench.folder / "run.db"
    path.write_bytes(content)
    try:
        diagnose(read_run(path))
    except RunFileError as error:
        return what, "" if str(error).strip() else "refused without a sentence"
    return what, ""


def try_place(source: random.Random, bench: Bench) -> tuple[str, str]:
    """Something else in the place of a run file."""
    what = run_files.place_of_no_file(source, bench.folder / "run.db", bench.sound)
    words = source.choice(VERBS)
    if words[0] == "compare":
        (bench.folder / "sound.db").write_bytes(bench.sound)
    return f"{what}: {' '.join(words)}", fault_of(told(list(words)))


def try_words(source: random.Random, bench: Bench) -> tuple[str, str]:
    """A hostile command line."""
    words = hostile_words(source)
    (bench.folder / "folder").mkdir()
    (bench.folder / "text.txt").write_text("no Python (((", encoding="utf-8")
    if "sound.db" in words:
        (bench.folder / "sound.db").write_bytes(bench.sound)
    with scripts.own_place():
        answer = told(words)
    # A text may be the path of a file that is there; Python then says that it is no script.
    is_run = words[0] in ("run", "check") and not scripts.fault_of_run(answer)
    return repr(words)[:300], "" if is_run else fault_of(answer)


def try_script(source: random.Random, bench: Bench) -> tuple[str, str]:
    """Something that is no script where one is named."""
    return "script", scripts.run_script(source, bench.folder)


def try_text(read: Callable[[random.Random, Path], str], source: random.Random, bench: Bench) -> tuple[str, str]:
    """A text beside run files."""
    from gradiometer.errors import SettingsError

    try:
        return read.__name__, read(source, bench.folder)
    except SettingsError as error:
        return read.__name__, "" if str(error).strip() else "refused without a sentence"


def try_kept(source: random.Random, bench: Bench) -> tuple[str, str]:
    """A hostile file of kept tensors."""
    return "kept batch", settings_texts.read_kept(source, bench.folder, bench.kept)


def try_request(page: str, source: random.Random, bench: Bench) -> tuple[str, str]:
    """A hostile request to a page that is served."""
    one: Served = getattr(bench, page)
    environment = requests.hostile_request(source, one.callbacks, one.keys, one.sound)
    errors = io.StringIO()
    with redirect_stderr(errors):
        fault = requests.fault_of_answer(one.application, environment)
    return str(environment["PATH_INFO"])[:80], fault and f"{fault} {environment['wsgi.errors'].getvalue()[-400:]}"


Attempt = Callable[[random.Random, Bench], tuple[str, str]]
"""Makes an input and feeds it; gives what was done, and what is wrong with the answer."""

KINDS: Mapping[str, tuple[float, Attempt]] = {
    "run file, read and diagnosed": (0.12, try_reading),
    "run file, through every verb": (0.03, try_run_file),
    "something else in its place": (0.01, try_place),
    "command line": (0.12, try_words),
    "script": (0.02, try_script),
    "settings": (0.22, partial(try_text, settings_texts.read_settings)),
    "end of a trial": (0.12, partial(try_text, settings_texts.read_note)),
    "question of a page": (0.12, partial(try_text, settings_texts.ask_page)),
    "kept batch": (0.08, try_kept),
    "request to the dashboard": (0.1, partial(try_request, "dashboard")),
    "request to the explorer": (0.06, partial(try_request, "explorer")),
}
"""Kinds by name: how often each is drawn, and how it is fed."""


def empty(folder: Path) -> None:
    """Take everything out of a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
