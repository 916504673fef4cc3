"""A verb's `--help`, written like a manual page.

The words stand where the verb stands: its purpose is its function's docstring, and the docstring of its file holds
examples, exit codes, files and environment, each a heading that ends with a colon over indented entries.
"""

import re
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand

HELP_NAMES: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
"""Settings of click's contexts, of the program and of every verb."""

EXAMPLES = "Examples"

OTHER_OPTIONS = "Other options"
"""The group of options that name no `rich_help_panel`."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a manual page.

    Attributes:
        heading: Its heading.
        entries: Term and description of each entry: a command and what it does, a code and what it means.
    """

    heading: str
    entries: tuple[tuple[str, str], ...]


def sections_of(text: str) -> tuple[Section, ...]:
    r"""Read the sections of a docstring.

    Args:
        text: Headings that end with a colon. Below each, indented by four, the entries: a term, and two spaces behind
            it or deeper indented below it the description.

    Example:
        >>> sections_of("Ignored.\n\nExit codes:\n    0  All is\n       well.\n    2  Not.")[0].entries
        (('0', 'All is well.'), ('2', 'Not.'))
    """
    parts = re.split(r"^([A-Z][\w ]+):\n", text, flags=re.MULTILINE)
    return tuple(Section(heading, entries_of(body)) for heading, body in zip(parts[1::2], parts[2::2], strict=True))


def entries_of(body: str) -> tuple[tuple[str, str], ...]:
    r"""Read the entries of a section.

    Example:
        >>> entries_of("    gradiometer docs\n        Lists the pages.\n")
        (('gradiometer docs', 'Lists the pages.'),)
    """
    entries: list[tuple[str, str]] = []
    for line in body.splitlines():
        if re.match(r" {4}\S", line):
            term, *description = re.split(r" {2,}", line.strip(), maxsplit=1)
            entries.append((term, "".join(description)))
        elif line.strip() and entries:
            term, so_far = entries[-1]
            entries[-1] = (term, f"{so_far} {line.strip()}".strip())
    return tuple(entries)


class ManualCommand(TyperCommand):
    """A verb whose help groups its options by topic, and ends with examples, exit codes, files and environment.

    Attributes:
        manual: The docstring of the verb's file.
    """

    manual: str = ""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words behind the verb in its usage: what may be left out stands in brackets."""
        arguments = [parameter for parameter in self.get_params(ctx) if parameter.param_type_name == "argument"]
        names = [(name_of(argument), argument.required) for argument in arguments]
        return ["[OPTIONS]", *(name if required or name.startswith("[") else f"[{name}]" for name, required in names)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options by topic, in the order in which the topics come up."""
        arguments: list[tuple[str, str]] = []
        topics: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append((name_of(parameter), getattr(parameter, "help", "") or ""))
            else:
                topics.setdefault(getattr(parameter, "rich_help_panel", None) or OTHER_OPTIONS, []).append(record)
        others = topics.pop(OTHER_OPTIONS, [])
        for heading, records in (("Arguments", arguments), *topics.items(), (OTHER_OPTIONS, others)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the verb's file."""
        for section in sections_of(self.manual):
            with formatter.section(section.heading):
                if section.heading == EXAMPLES:
                    write_examples(section, formatter)
                else:
                    formatter.write_dl(section.entries)


def name_of(argument: Any) -> str:
    """What stands for an argument."""
    return argument.metavar or str(argument.name).upper()


def write_examples(section: Section, formatter: Any) -> None:
    """Write commands, each whole on its line so that it can be copied, with what it does below it."""
    for command, description in section.entries:
        formatter.write(f"{'':>{formatter.current_indent}}$ {command}\n")
        with formatter.indentation():
            formatter.write_text(description)
