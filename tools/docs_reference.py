"""Reference pages that are made of the product itself: commands, public names, settings, the run file's tables."""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

import gradiometer
from gradiometer.cli import VERBS, app
from gradiometer.cli.manual import EXAMPLES, OTHER_OPTIONS, name_of, sections_of
from gradiometer.launching.guard import quiet_environment
from gradiometer.recording import writer
from gradiometer.settings import Settings

NOUNS = ("Run", "Diagnosis", "Finding")
"""Public names that are nouns: what they hold is listed."""

BESIDE = (
    "gradiometer.testing.assert_healthy",
    "gradiometer.integrations.lightning.GradiometerCallback",
    "gradiometer.integrations.transformers.GradiometerCallback",
    "gradiometer.integrations.accelerate.watch",
    "gradiometer.integrations.ray_train.watch",
    "gradiometer.integrations.tensorboard.sink",
    "gradiometer.integrations.wandb.sink",
    "gradiometer.integrations.mlflow.sink",
    "gradiometer.integrations.trackio.sink",
)
"""Public names of modules that are imported by themselves; read without importing them, for many load a partner."""

API_INTRODUCTION = """# Public names

What `import gradiometer` gives; every name is imported on first use, so that reading a run never loads torch. Names
that are not listed here may change between any two versions ([Versions](../versioning.md)).
"""

SETTINGS_INTRODUCTION = """# Settings and environment

## In `pyproject.toml`

gradiometer reads `[tool.gradiometer]` of the nearest `pyproject.toml`, looked for from the working directory upwards.
The command line's options come before it. An unknown name is an error that lists the known ones.

```toml
{example}
```

| setting | default | what it is |
|---|---|---|
{rows}

`[[tool.gradiometer.ignore]]` leaves findings out: `condition` and `layer` are patterns as in file names (`*` for all
where they are not given), and `reason` has to be given; it is shown wherever such a finding is left out.

## In the environment

| variable | what it does |
|---|---|
{variables}

While `cure` tries things and while `replay` repeats them, these are set for the script, so that no experiment logger
uploads anything; a script that asks for an upload in so many words overrules them:

{quiet}
"""

RUN_FILE_INTRODUCTION = """# The run file

One SQLite file, named `.db`, with everything measured of one run. Any SQLite reader opens it, also while the training
is still going. {remarks}

It is read most easily by `gradiometer.open(file)`; `gradiometer export RUN --to csv` writes every table as a file. When
it is written, how it is bounded and how older versions are read stands in
[Architecture](../architecture.md#the-run-file).

"""


def commands_page() -> str:
    """Every verb with its arguments, options, examples and exit codes, as `--help` has them."""
    lines = [
        "# Commands", "",
        "What `gradiometer VERB --help` says, of every verb. Options for gradiometer go before a script's name; what",
        "stands behind it is the script's own.", "",
    ]  # fmt: skip
    return "\n".join([*lines, *(line for verb, command in commands() for line in verb_section(verb, command))])


def commands() -> Iterator[tuple[str, Any]]:
    """Every verb with its command."""
    group: Any = typer.main.get_command(app)
    for verb in VERBS:
        yield verb, group.get_command(group.context_class(group), verb)


def verb_section(verb: str, command: Any) -> list[str]:
    """A verb's part of the page."""
    context = command.context_class(command, info_name=f"gradiometer {verb}")
    usage = " ".join(["gradiometer", verb, *command.collect_usage_pieces(context)])
    lines = [f"## {verb}", "", "```text", usage, "```", "", *help_lines(command.help or "")]
    rows: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if parameter.param_type_name == "argument":
            rows.setdefault("Arguments", []).append((name_of(parameter), parameter.help or ""))
        elif record is not None and parameter.name != "help":
            rows.setdefault(getattr(parameter, "rich_help_panel", None) or OTHER_OPTIONS, []).append(record)
    for heading, entries in rows.items():
        lines += definitions(heading, entries)
    for section in sections_of(command.manual):
        is_examples = section.heading == EXAMPLES
        lines += examples(section.entries) if is_examples else definitions(section.heading, section.entries)
    return lines


def definitions(heading: str, entries: Iterable[tuple[str, str]]) -> list[str]:
    """A table of terms and what they mean, below a heading of its own."""
    rows = [f"| {cell(f'`{term}`')} | {cell(meaning)} |" for term, meaning in entries]
    return [f"**{heading}**", "", "| what | meaning |", "|---|---|", *rows, ""]


def examples(entries: Iterable[tuple[str, str]]) -> list[str]:
    """Commands with what they do."""
    lines = [line for command, meaning in entries for line in (f"$ {command}", f"  {meaning}")]
    return ["**Examples**", "", "```console", *lines, "```", ""]


def help_lines(text: str) -> list[str]:
    """A help text as Markdown: what is indented or after a mark for kept lines is a block of its own."""
    lines: list[str] = []
    for part in inspect.cleandoc(text).replace("\r", "").split("\n\n"):
        kept = part.removeprefix("\b\n")
        rows = kept.splitlines()
        is_block = kept != part or all(row.startswith("  ") for row in rows)
        lines += heading_and_block(rows) if is_block and rows else [" ".join(part.split()), ""]
    return lines


def heading_and_block(rows: list[str]) -> list[str]:
    """Kept lines as a block, below their heading where the first one is that."""
    has_heading = rows[0].endswith(":") and not rows[0].startswith(" ")
    block = inspect.cleandoc("\n".join([""] + rows[has_heading:]))
    return [*([f"**{rows[0][:-1]}**", ""] if has_heading else []), "```text", block, "```", ""]


def cell(text: str) -> str:
    """A text that fits into a cell of a table; what looks like a tag outside of code is none."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def api_page() -> str:
    """Every public name, for the site's reader of docstrings."""
    lines = [API_INTRODUCTION]
    homes = dict(sorted(gradiometer.HOMES.items(), key=lambda entry: (entry[0] in NOUNS, entry[0])))
    for name, module in homes.items():
        origin = inspect.getmodule(getattr(gradiometer, name))
        place = f"{origin.__name__ if origin else module}.{gradiometer.ORIGINAL_NAMES.get(name, name)}"
        lines += documented(f"gradiometer.{name}", place)
    lines += [line for place in BESIDE for line in documented(place, place)]
    return "\n".join(lines)


def documented(title: str, place: str) -> list[str]:
    """A section whose text is a docstring, below how what it describes is called.

    Args:
        title: The name that people use.
        place: Where it is defined.
    """
    module, _, name = place.rpartition(".")
    spec = find_spec(module)
    source = Path(spec.origin or "").read_text(encoding="utf-8") if spec else ""
    call = call_of(source, name)
    shown = ["```python", call.replace(name, title.rpartition(".")[2], 1), "```", ""] if call else []
    return [f"## `{title}`", "", *shown, f"::: {place}", "    options:", "      show_root_heading: false",
            "      show_root_toc_entry: false", ""]  # fmt: skip


def call_of(source: str, name: str) -> str:
    """How a function or class is called: its parameters with their defaults, their kinds left to its docstring.

    Args:
        source: The text of the module that defines it.
        name: Its name.

    Returns:
        The call; empty for a class that is not made by those who use it.

    Example:
        >>> call_of("def scale(x: float, *, by: float = 2.0): ...", "scale")
        'scale(x, *, by=2.0)'
    """
    node = next(node for node in ast.parse(source).body if getattr(node, "name", None) == name)
    made = [part for part in getattr(node, "body", []) if getattr(part, "name", None) == "__init__"]
    function = next(iter(made), node)
    if not isinstance(function, ast.FunctionDef):
        return ""
    for argument in ast.walk(function.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    words = ast.unparse(function.args).removeprefix("self, ")
    one_line = f"{name}({words})"
    return one_line if len(one_line) < 84 else f"{name}(\n    " + words.replace(", ", ",\n    ") + ",\n)"


def settings_page() -> str:
    """The settings, from the docstring that describes them."""
    module_text = inspect.getdoc(inspect.getmodule(Settings)) or ""
    defaults = Settings()
    rows = [
        f"| `{name}` | `{getattr(defaults, name)!r}` | {cell(said)} |"
        for name, said in re.findall(r"^ {4}(\w+): (.+)$", inspect.getdoc(Settings) or "", flags=re.MULTILINE)
    ]
    return SETTINGS_INTRODUCTION.format(
        example=module_text.partition("\n\n")[2],
        rows="\n".join(rows),
        variables="\n".join(f"| {cell(f'`{name}`')} | {cell(said)} |" for name, said in variables().items()),
        quiet=", ".join(f"`{name}`" for name in quiet_environment(Path())) + ".",
    )


def variables() -> dict[str, str]:
    """Environment variables that some verb goes by, and what they do; the first verb that says it counts."""
    found: dict[str, str] = {}
    for _, command in commands():
        for section in sections_of(command.manual):
            if section.heading == "Environment":
                found = dict(section.entries) | found
    return found


def run_file_page() -> str:
    """The run file's tables, from the SQL that makes them."""
    source = (Path(writer.__file__).parent / "tables.sql").read_text(encoding="utf-8")
    remarks = " ".join(line.removeprefix("-- ") for line in source.partition("\n\n")[0].splitlines())
    lines = [RUN_FILE_INTRODUCTION.format(remarks=remarks)]
    for match in re.finditer(r"CREATE TABLE (\w+) \((?: +-- ([^\n]*))?\n(.*?)\n\)", source, flags=re.DOTALL):
        lines += [f"## {match[1]}", "", *([match[2].capitalize() + ".", ""] if match[2] else [])]
        lines += ["| column | type | what it holds |", "|---|---|---|", *column_rows(match[3]), ""]
    return "\n".join(lines)


def column_rows(body: str) -> list[str]:
    """The columns of a table as rows: name, type, remark; keys of several columns last."""
    rows = []
    for line in body.splitlines():
        definition, _, remark = (part.strip() for part in line.partition("--"))
        name, _, kind = definition.rstrip(",").partition(" ")
        if name.isupper():
            rows.append(f"| | {cell(definition.rstrip(','))} | |")
        else:
            rows.append(f"| `{name}` | {kind} | {cell(remark)} |")
    return rows
