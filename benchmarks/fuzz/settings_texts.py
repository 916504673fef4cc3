"""Texts that gradiometer reads beside run files: settings, kept files, notes of trials, questions of a page."""

import json
import random
from dataclasses import asdict
from pathlib import Path

from benchmarks.fuzz.values import altered, damaged_bytes, hostile_json, hostile_text, hostile_value

SOUND_SETTINGS = """[tool.gradiometer]
overhead = 0.01
folder = ".gradiometer/runs"
fail_on = "critical"
max_megabytes = 256
open_compiled = false
dear = ["similarity", "through_time"]

[[tool.gradiometer.ignore]]
condition = "dead"
layer = "head.*"
reason = "sparse on purpose"
"""


def toml_value(value: object) -> str:
    """A value of JSON as TOML writes it; what TOML has no word for becomes a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml_value(part)}" for key, part in value.items()) + "}"
    return json.dumps(str(value))


def hostile_settings(source: random.Random) -> bytes:
    """A `pyproject.toml`."""
    draw = source.random()
    if draw < 0.3:
        return damaged_bytes(source, SOUND_SETTINGS.encode())
    if draw < 0.8:
        name = source.choice(
            ("overhead", "folder", "fail_on", "max_megabytes", "open_compiled", "dear", "ignore", "other")
        )
        return f"[tool.gradiometer]\n{name} = {toml_value(hostile_value(source))}\n".encode("utf-8", "surrogatepass")
    if draw < 0.9:
        return f"tool = {toml_value(hostile_value(source))}\n".encode("utf-8", "surrogatepass")
    return hostile_text(source).encode("utf-8", "surrogatepass")


def read_settings(source: random.Random, folder: Path) -> str:
    """Read settings; says what was wrong with the answer."""
    from gradiometer.settings import load_settings

    (folder / "pyproject.toml").write_bytes(hostile_settings(source))
    load_settings(folder)
    return ""


def read_note(source: random.Random, folder: Path) -> str:
    """Read how a trial ended."""
    from gradiometer.curing.trials.local import read_end
    from gradiometer.curing.trials.spec import RESULT_FILE, TrialSpec

    sound = json.dumps({"exit_code": 0, "elapsed_seconds": 3.5, "was_late": False})
    content = hostile_json(source, sound).encode("utf-8", "surrogatepass")
    (folder / RESULT_FILE).write_bytes(damaged_bytes(source, content) if source.random() < 0.3 else content)
    read_end(TrialSpec("train.py", None, (), str(folder), str(folder)))
    return ""


def ask_page(source: random.Random, _: Path) -> str:
    """Read back a question as it comes through a pipe."""
    from gradiometer.schema.explored import ExplorerSettings, Question
    from gradiometer.schema.retyping import settle

    sound = asdict(Question("0123456789abcdef", "scene", ExplorerSettings(), 3, 0))
    settle(Question, altered(source, json.loads(json.dumps(sound))))
    return ""


def read_kept(source: random.Random, folder: Path, sound: bytes) -> str:
    """Read a kept batch."""
    from gradiometer.measuring.kept_batches import read_batch

    path = folder / "step-00000003.safetensors"
    head_bytes = int.from_bytes(sound[:8], "little")
    head = hostile_json(source, sound[8 : 8 + head_bytes].decode()).encode("utf-8", "surrogatepass")
    is_whole = source.random() < 0.5
    content = (
        len(head).to_bytes(8, "little") + head + sound[8 + head_bytes :] if is_whole else damaged_bytes(source, sound)
    )
    path.write_bytes(content)
    try:
        read_batch(path)
    except (OSError, ValueError):
        return ""  # what `replay` says in a sentence
    return ""
