"""`python -m benchmarks.fuzz.guided --runs 100000`: inputs that go by which lines they reach (atheris, libFuzzer).

What is read as it stands: settings, JSON of facts and of a page's questions, and the bytes of a run file. An error that
is none of gradiometer's own ends it, with the input in a file. It needs atheris, which has wheels for Linux alone.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import atheris

from benchmarks.fuzz.settings_texts import SOUND_SETTINGS

with atheris.instrument_imports(include=["gradiometer"]):
    from gradiometer.diagnosing import diagnose
    from gradiometer.errors import GradiometerError
    from gradiometer.recording.fact_shapes import FACT_SHAPES, fits
    from gradiometer.recording.plain_json import parse_json
    from gradiometer.recording.reader import read_run
    from gradiometer.schema.explored import Question
    from gradiometer.schema.retyping import settle
    from gradiometer.settings import load_settings
    from gradiometer.showing.json_output import json_text
    from gradiometer.showing.page_questions import is_question


def read_settings(folder: Path, data: bytes) -> None:
    """Settings."""
    (folder / "pyproject.toml").write_bytes(data)
    load_settings(folder)


def read_facts(_: Path, data: bytes) -> None:
    """JSON that stands for any fact, and for a page's question."""
    try:
        value = parse_json(data.decode("utf-8"))
    except ValueError:
        return  # what the reader says in a sentence
    for name in FACT_SHAPES:
        fits(name, value)
    is_question(value, {})
    json_text(value)
    settle(Question, value)


def read_file(folder: Path, data: bytes) -> None:
    """A run file."""
    path = folder / "run.db"
    path.write_bytes(data)
    diagnose(read_run(path))


READERS = (read_settings, read_facts, read_file)


def feed(folder: Path, data: bytes) -> None:
    """Feed bytes to the reader that the first of them chooses."""
    reader: Callable[[Path, bytes], None] = READERS[data[0] % len(READERS)] if data else READERS[0]
    try:
        reader(folder, data[1:])
    except GradiometerError as error:
        if not str(error).strip():
            raise


def main() -> None:
    """Begin with a sound input for each reader, and go on from there."""
    from benchmarks.fuzz.seeds import sound_run_file

    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz.guided", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="how many inputs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gradiometer-fuzz-") as name:
        corpus, folder = Path(name) / "corpus", Path(name) / "inside"
        corpus.mkdir()
        folder.mkdir()
        sound = (
            SOUND_SETTINGS.encode(),
            b'{"kind": "scene", "page": "1", "settings": {"units": 30}}',
            sound_run_file(),
        )
        for number, content in enumerate(sound):
            (corpus / str(number)).write_bytes(bytes([number]) + content)
        options = [f"-runs={arguments.runs}", "-max_len=200000", "-timeout=60", "-rss_limit_mb=4096", str(corpus)]
        atheris.Setup([sys.argv[0], *options], partial(feed, folder))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
