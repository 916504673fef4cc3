"""Pages of the documentation that are made of the product's own tables and docstrings.

Nothing of them is kept in the repository: `make docs` makes them anew, and `python tools/docs_pages.py FOLDER` writes
them as Markdown to look at.
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from docs_reference import api_page, commands_page, run_file_page, settings_page

from gradiometer.curing import CURES
from gradiometer.curing.pages import cure_page_of
from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.pages import Page, page_of
from gradiometer.lab import EXPERIMENTS, experiments
from gradiometer.prescribing import PRESCRIPTIONS, cure_names

ROOT = Path(__file__).resolve().parents[1]

HOMES = {**dict.fromkeys(CONDITIONS, "conditions"), **dict.fromkeys(CURES, "cures")}
"""Every condition and cure, and the folder of its page."""

FROM_THE_ROOT = {
    "reference/changelog.md": "CHANGELOG.md",
    "reference/contributing.md": "CONTRIBUTING.md",
    "reference/security.md": "SECURITY.md",
}
"""Pages that are files of the repository's root."""


def spoken(name: str) -> str:
    """A name of a table as a title says it.

    Example:
        >>> spoken("fading_memory")
        'Fading memory'
    """
    return name.replace("_", " ").replace("-", " ").capitalize()


def prose(text: str) -> str:
    r"""A docstring's text as Markdown: nothing in it is taken for markup but code, and names of pages become links.

    Example:
        >>> prose("n * m < `a*b`, see `dead`")
        'n \\* m &lt; `a*b`, see [`dead`](../conditions/dead.md)'
    """
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(linked(part) if part.startswith("`") else escaped(part) for part in parts)


def escaped(text: str) -> str:
    """Plain text that Markdown leaves as it is."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def linked(code: str) -> str:
    """A piece of code, with a link where it is the name of a condition or cure, maybe with a setting behind it."""
    name = code.strip("`").partition(":")[0].partition("+")[0]
    return f"[{code}](../{HOMES[name]}/{name}.md)" if name in HOMES else code


def names_linked(names: tuple[str, ...]) -> str:
    """Names of conditions or cures, each with a link to its page."""
    return ", ".join(f"[{spoken(name).lower()}](../{HOMES[name]}/{name}.md)" for name in names)


def condition_page(name: str) -> str:
    """A condition's page."""
    page = page_of(name)
    lines = head_of(page)
    if page.brings_about:
        lines += ["## What it can bring about", "", names_linked(page.brings_about) + ".", ""]
    if page.follows_from:
        lines += ["## What it can follow from", "", names_linked(page.follows_from) + ".", ""]
    thresholds = threshold_rows(CONDITIONS[name])
    if thresholds:
        lines += ["## Thresholds", "", "| name | default | what it is |", "|---|---|---|", *thresholds, ""]
    lines += ["## In the terminal", "", "```console", f"$ gradiometer docs {name}", "```", ""]
    return "\n".join(lines)


def cure_page(name: str) -> str:
    """A cure's page."""
    page = cure_page_of(name)
    lines = head_of(page)
    labels = labels_of(name)
    lines += ["## How it is written", "", ", ".join(f"`{label}`" for label in labels) + ".", ""]
    lines += ["```console", f"$ gradiometer cure --try {labels[0]} train.py", f"$ gradiometer docs {name}", "```", ""]
    return "\n".join(lines)


def head_of(page: Page) -> list[str]:
    """Title and sections of a page, as lines of Markdown."""
    lines = [f"# {spoken(page.name)}", "", f"`{page.name}`: {prose(page.title)}", ""]
    for heading, text in page.sections:
        lines += [f"## {heading}", "", prose(text), ""]
    return lines


def threshold_rows(find: Callable[..., object]) -> list[str]:
    """A condition's thresholds as rows of a table: name, default, what the docstring says of it."""
    said = entries_of(inspect.getdoc(find) or "", "Args:")
    return [
        f"| `{name}` | {parameter.default!r} | {prose(said.get(name, ''))} |"
        for name, parameter in inspect.signature(find).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def entries_of(docstring: str, heading: str) -> dict[str, str]:
    r"""Names and texts below one heading of a Google docstring.

    Example:
        >>> entries_of("Find.\n\nArgs:\n    run: One run,\n        recorded.\n    floor: dB.", "Args:")
        {'run': 'One run, recorded.', 'floor': 'dB.'}
    """
    block = docstring.partition(f"{heading}\n")[2].partition("\n\n")[0]
    entries: dict[str, str] = {}
    for line in block.splitlines():
        match = re.match(r" {4}(\w+): (.*)", line)
        if match:
            entries[match[1]] = match[2]
        elif entries and line.startswith("        "):
            entries[list(entries)[-1]] += " " + line.strip()
    return entries


def labels_of(cure: str) -> list[str]:
    """How a cure is written, with the settings that causes ask for; joined cures taken apart."""
    parts = {part for labels in PRESCRIPTIONS.values() for label in labels for part in label.split("+")}
    return sorted(part for part in parts if part.partition(":")[0] == cure) or [cure]


def conditions_index() -> str:
    """The list of all conditions."""
    rows = [f"| [`{name}`]({name}.md) | {prose(page_of(name).title)} |" for name in CONDITIONS]
    return "\n".join([
        "# What can be wrong", "",
        f"gradiometer knows {len(CONDITIONS)} conditions. Each is judged by its consequence (do the layers learn?),",
        "not by the size of a number; how often they are right is counted in",
        "[How often the diagnosis is right](../truth.md).",
        "", "| condition | in one sentence |", "|---|---|", *rows, "",
    ])  # fmt: skip


def cures_index() -> str:
    """The list of all cures, and which are tried for which cause."""
    rows = [f"| [`{name}`]({name}.md) | {prose(cure_page_of(name).title)} |" for name in CURES]
    tried = [
        f"| {cause.replace('_', ' ')} | {', '.join(linked(f'`{label}`') for label in labels)} |"
        for cause, labels in PRESCRIPTIONS.items()
        if labels and all(cure_names(label) for label in labels)
    ]
    return "\n".join([
        "# What cures it", "",
        f"gradiometer knows {len(CURES)} cures. Which of them work on your network is not looked up but tried: see",
        "[Proving a cure](../guides/proving_a_cure.md).", "",
        "| cure | what it does |", "|---|---|", *rows, "",
        "## Which cause asks for which cure", "",
        "Best first; `+` joins two. Causes are what a finding names, with its share in dB where it has one.", "",
        "| cause | what is tried |", "|---|---|", *tried, "",
    ])  # fmt: skip


def lab_index() -> str:
    """The list of the lab's experiments."""
    rows = [f"| [`{name}`]({name}.md) | {question} |" for name, question in EXPERIMENTS.items()]
    return "\n".join([
        "# The lab", "",
        "Ten classic experiments of the field, small enough for a laptop; each prints what was published beside",
        "what is measured. What they gave in full stands in [What the lab measured](../lab.md).", "",
        "| experiment | its question |", "|---|---|", *rows, "",
        "```console", "$ gradiometer lab", "$ gradiometer lab learning-speeds --quick", "```", "",
    ])  # fmt: skip


def experiment_page(name: str) -> str:
    """An experiment's page: its question, what its file says of it, how to conduct it."""
    file = Path(experiments.__file__ or "").parent / name.replace("-", "_") / "experiment.py"
    _, _, rest = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n\n")
    lines = [f"# {spoken(name)}", "", EXPERIMENTS[name], ""]
    for text in filter(None, (" ".join(part.split()) for part in rest.split("\n\n"))):
        heading = re.match(r"([A-Z][a-z ]{3,25}): (.+)", text)
        lines += [f"## {heading[1]}", "", prose(heading[2]), ""] if heading else [prose(text), ""]
    commands = [f"$ gradiometer lab {name} --quick", f"$ gradiometer lab {name}"]
    lines += ["## Conduct it", "", "```console", *commands, "```", ""]
    lines += ["With `--quick` it takes bundled data and fewer seeds; exit code 3 says that a figure lies outside of"]
    lines += ["what is accepted. It leaves one page with figures and published beside measured, and run files.", ""]
    return "\n".join(lines)


def scripts_page() -> str:
    """The example scripts with their source."""
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    table = "\n".join(line for line in readme.splitlines() if line.startswith("|"))
    lines = [
        "# Example scripts",
        "",
        "Short training scripts as people write them; most are faulty on purpose.",
        "",
        table,
        "",
    ]
    for file in sorted((ROOT / "examples").glob("*.py")):
        lines += [f"## {file.name}", "", "```python", file.read_text(encoding="utf-8").rstrip(), "```", ""]
    return "\n".join(lines)


def from_the_root(name: str) -> str:
    """A file of the repository's root, whose links start there and not in the site's folder `reference`."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.sub(r"\]\((?!https?:|#|mailto:)([^)]+)\)", lambda match: f"](../../{match[1]})", text)


@cache
def pages() -> Mapping[str, str]:
    """Every generated page: its place in the site, and its Markdown."""
    made = {"conditions/index.md": conditions_index(), "cures/index.md": cures_index(), "lab/index.md": lab_index()}
    made |= {f"conditions/{name}.md": condition_page(name) for name in CONDITIONS}
    made |= {f"cures/{name}.md": cure_page(name) for name in CURES}
    made |= {f"lab/{name}.md": experiment_page(name) for name in EXPERIMENTS}
    made |= {
        "reference/commands.md": commands_page(),
        "reference/api.md": api_page(),
        "reference/settings.md": settings_page(),
        "reference/run_file.md": run_file_page(),
        "reference/scripts.md": scripts_page(),
    }
    return made | {place: from_the_root(name) for place, name in FROM_THE_ROOT.items() if (ROOT / name).is_file()}


def main(folder: Path) -> None:
    """Write the pages below a folder."""
    for place, text in pages().items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    print(f"{len(pages())} pages in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
