import importlib.util
import re
import sqlite3
from pathlib import Path

import pytest
from docs_pages import pages
from docs_reference import help_lines

import gradiometer
from gradiometer.cli import VERBS
from gradiometer.curing import CURES
from gradiometer.diagnosing import CONDITIONS
from gradiometer.lab import EXPERIMENTS
from gradiometer.recording import writer
from gradiometer.settings import Settings


@pytest.mark.parametrize(
    ("folder", "names"),
    [("conditions", list(CONDITIONS)), ("cures", list(CURES)), ("lab", list(EXPERIMENTS))],
)
def test_has_a_page_for_every_unit_and_lists_it(folder: str, names: list[str]) -> None:
    made = pages()
    assert {place for place in made if place.startswith(f"{folder}/")} == {
        f"{folder}/{name}.md" for name in ["index", *names]
    }
    for name in names:
        assert f"[`{name}`]({name}.md)" in made[f"{folder}/index.md"]
        assert made[f"{folder}/{name}.md"].count("\n## ") >= 2


def test_links_a_condition_to_what_it_brings_about_and_to_cures_it_names() -> None:
    assert "[stuck](../conditions/stuck.md)" in pages()["conditions/vanishing.md"]
    assert "| `floor_db` | -40.0 |" in pages()["conditions/vanishing.md"]
    assert "`redraw_weights:critical`](../cures/redraw_weights.md)" in pages()["cures/index.md"]


def test_documents_every_public_name() -> None:
    text = pages()["reference/api.md"]
    for name in gradiometer.HOMES:
        assert f"## `gradiometer.{name}`" in text
    for place in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE):
        module, _, name = place.rpartition(".")
        spec = importlib.util.find_spec(module)
        assert spec is not None
        source = Path(spec.origin or "").read_text(encoding="utf-8")
        assert re.search(rf"^(def|class) {name}\b", source, flags=re.MULTILINE), place


def test_documents_every_verb_with_its_options() -> None:
    text = pages()["reference/commands.md"]
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == list(VERBS)
    assert "| `--fail-on" in text
    assert "\n$ gradiometer run train.py --epochs 5\n" in text


def test_documents_every_setting() -> None:
    text = pages()["reference/settings.md"]
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| .{10,} \|$", text, flags=re.MULTILINE)
    assert {name for name, _ in rows} == set(Settings.__dataclass_fields__)
    assert dict(rows)["overhead"] == "0.01"
    assert "| `GRADIOMETER_MNIST` |" in text


def test_documents_every_column_of_the_run_file() -> None:
    text = pages()["reference/run_file.md"]
    connection = sqlite3.connect(":memory:")
    connection.executescript((Path(writer.__file__).parent / "tables.sql").read_text(encoding="utf-8"))
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == [name for name in tables if name[:7] != "sqlite_"]
    for table in tables:
        part = text.partition(f"## {table}\n")[2].partition("\n## ")[0]
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
            assert re.search(rf"^\| `{column}` \| {kind}", part, flags=re.MULTILINE), f"{table}.{column}"
    connection.close()


def test_keeps_the_lines_of_a_help_text_that_are_set_as_lines() -> None:
    text = "Does a thing.\n\nMore of\nit.\n\n\b\nExamples:\n  gradiometer run a.py\n  gradiometer run b.py"
    assert "\n".join(help_lines(text)) == (
        "Does a thing.\n\nMore of it.\n\n**Examples**\n\n```text\ngradiometer run a.py\ngradiometer run b.py\n```\n"
    )
