"""Stub a condition or a cure: its source, its test, its lines in the tables. `make new-condition NAME=uneven`.

The stub imports and lints; its test fails until both hold something real.
"""

import argparse
import keyword
import sys
from pathlib import Path

CONDITION_SOURCE = '''"""SUMMARY.

What it finds:
    ...

Why it matters:
    ...

What cures it:
    ...

Source:
    ...
"""

from gradiometer.schema import Finding, Run


def find_NAME(run: Run) -> list[Finding]:
    """Find this condition in a run.

    Args:
        run: The run; one without full measurements gives no finding.

    Returns:
        At most one finding, at the frontier.
    """
    return []
'''

CONDITION_TEST = """import pytest


def test_finds_NAME_in_a_network_that_has_it():
    pytest.fail("make a run that has it, and assert on layer, severity, cause and evidence")


def test_finds_no_NAME_in_its_healthy_twin():
    pytest.fail("make the same run without it, and assert that nothing is found")
"""

CURE_SOURCE = '''"""SUMMARY.

What it changes:
    ...

When it helps:
    ...

What it costs:
    ...

Source:
    ...
"""

from dataclasses import dataclass
from typing import ClassVar

from gradiometer.curing.cure import Moment, Patient, Placement, fits_by_table
from gradiometer.errors import CureRefusedError, SettingsError
from gradiometer.schema import Finding


@dataclass(frozen=True, slots=True)
class CLASS:
    """SUMMARY."""

    name: ClassVar[str] = "NAME"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "after_optimizer"

    @classmethod
    def parse(cls, setting: str) -> "CLASS":
        """Read the setting behind the name.

        Raises:
            SettingsError: It is not understood.
        """
        if setting:
            raise SettingsError(f"NAME:{setting} is not understood; write NAME")
        return cls()

    @property
    def label(self) -> str:
        """How it is written."""
        return self.name

    def fits(self, finding: Finding) -> bool:
        """By cause and condition."""
        return fits_by_table(self.label, finding)

    def apply(self, patient: Patient) -> str:
        """Change the patient in place."""
        raise CureRefusedError("NAME changes nothing yet")

    def snippet(self, patient: Patient) -> str:
        """The same change as code."""
        return ""
'''

CURE_TEST = """import pytest


def test_changes_a_network_by_NAME_as_its_snippet_does():
    pytest.fail("apply it to one pair, execute its snippet on an equal one, and compare both bit for bit")


def test_refuses_NAME_where_there_is_nothing_to_change():
    pytest.fail("give it a patient that it does not fit, and assert on the reason")
"""


TABLES = {
    "condition": "src/gradiometer/prescribing.py and src/gradiometer/diagnosing/{judgeable,chains}.py",
    "cure": "src/gradiometer/prescribing.py",
}
"""Tables that a new unit needs lines in, which nobody but its author can write."""


def class_name(name: str) -> str:
    """`warm_up` as `WarmUp`."""
    return "".join(word.capitalize() for word in name.split("_"))


def with_import(text: str, module: str, noun: str) -> str:
    """Text of a module with one import more, at its place in the alphabet."""
    lines = text.splitlines()
    positions = [index for index, line in enumerate(lines) if line.startswith("from gradiometer.")]
    if not positions:
        raise SystemExit("the table's file has no imports from gradiometer to add to")
    after = [index for index in positions if lines[index].split()[1] > module]
    place = after[0] if after else positions[-1] + 1
    return "\n".join([*lines[:place], f"from {module} import {noun}", *lines[place:]]) + "\n"


def with_entry(text: str, start: str, closing: str, entry: str) -> str:
    """Text of a module with one entry more at the end of the literal that begins with `start`."""
    lines = text.splitlines()
    try:
        begin = next(index for index, line in enumerate(lines) if line.startswith(start))
        end = next(index for index in range(begin, len(lines)) if lines[index] == closing)
    except StopIteration:
        raise SystemExit(f"there is no table that begins with {start!r} and ends with {closing!r}") from None
    return "\n".join([*lines[:end], entry, *lines[end:]]) + "\n"


def add_condition(root: Path, name: str) -> dict[Path, str]:
    """New texts by path: condition, test, table, import contract."""
    room = root / "src/gradiometer/diagnosing"
    table = with_import((room / "__init__.py").read_text(), f"gradiometer.diagnosing.{name}", f"find_{name}")
    settings = (root / "pyproject.toml").read_text()
    head, contract, rest = settings.partition('name = "conditions are independent of each other"\n')
    return {
        room / f"{name}.py": filled(CONDITION_SOURCE, name),
        root / f"tests/diagnosing/test_{name}.py": filled(CONDITION_TEST, name),
        room / "__init__.py": with_entry(table, "CONDITIONS", "}", f'    "{name}": find_{name},'),
        root / "pyproject.toml": head
        + contract
        + with_entry(rest, "modules", "]", f'    "gradiometer.diagnosing.{name}",'),
    }


def add_cure(root: Path, name: str) -> dict[Path, str]:
    """New texts by path: cure, test, table."""
    room = root / "src/gradiometer/curing"
    noun = class_name(name)
    table = with_import((room / "__init__.py").read_text(), f"gradiometer.curing.{name}", noun)
    return {
        room / f"{name}.py": filled(CURE_SOURCE, name),
        root / f"tests/curing/test_{name}.py": filled(CURE_TEST, name),
        room / "__init__.py": with_entry(table, "CURES", "}", f'    "{name}": {noun},'),
    }


def filled(template: str, name: str) -> str:
    """A template with its three words replaced."""
    summary = name.replace("_", " ").capitalize()
    return template.replace("SUMMARY", summary).replace("CLASS", class_name(name)).replace("NAME", name)


def main() -> None:
    """Read kind and name, write the files, say which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["condition", "cure"])
    parser.add_argument("name", help="lower case, words joined with _; file, function, table key and word on the page")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    arguments = parser.parse_args()
    name = arguments.name
    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name):
        sys.exit(f"{name!r} can't name a file and a function: give NAME=lower_case_words")
    texts = (add_condition if arguments.kind == "condition" else add_cure)(arguments.root, name)
    source = next(iter(texts))
    if source.exists():
        sys.exit(f"{source} is there already")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(arguments.root))
    print(f"next: the docstring, the code, the tests, and its lines in {TABLES[arguments.kind]}")


if __name__ == "__main__":
    main()
