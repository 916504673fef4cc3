"""Every program of `benchmarks` and `tools` that a page tells to run is there, with the options that it is given."""

import re
from pathlib import Path

import pytest
from documented_blocks import PAGES, ROOT, name_of

RUN = re.compile(r"\bpython (-m )?((?:benchmarks|tools)[\w./]*\w)((?:[ \n]+[-\w=,.\[\]]+)*)")
PROGRAMS = [
    *(ROOT / "benchmarks").glob("*.py"),
    *(ROOT / "benchmarks").glob("*/__*.py"),
    *(ROOT / "tools").glob("*.py"),
]

TEXTS = {
    name_of(page): page.read_text(encoding="utf-8")
    for page in (*PAGES, ROOT / "Makefile", ROOT / "CONTRIBUTING.md", *sorted(PROGRAMS))
    if page.name != "log.md"  # it tells what was run once
}


def faults_in(text: str) -> list[str]:
    """Programs that are not there, and options that a program does not read."""
    faults = []
    for is_module, place, words in RUN.findall(text):
        files = sources_of(place, is_module=bool(is_module))
        source = "".join(file.read_text(encoding="utf-8") for file in files)
        faults += [] if files else [f"{place} can't be run so"]
        faults += [f"{place} {option}" for option in re.findall(r"--[a-z][\w-]*", words) if f'"{option}"' not in source]
    return faults


def sources_of(place: str, *, is_module: bool) -> list[Path]:
    """The files that read a program's command line, those beside it that it imports too; none where it can't be run."""
    path = ROOT / (place.replace(".", "/") if is_module else place)
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.is_file() or (is_module and not (file.parent / "__init__.py").is_file()):
        return []
    beside = re.findall(r"^from (\w+) import", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [file, *(found for name in beside if (found := file.with_name(f"{name}.py")).is_file())]


@pytest.mark.parametrize("place", [name for name, text in TEXTS.items() if RUN.search(text)])
def test_has_every_program_and_option_that_a_page_shows(place: str) -> None:
    assert faults_in(TEXTS[place]) == []


def test_notices_a_program_and_an_option_that_it_does_not_have() -> None:
    assert faults_in("python benchmarks/heal.py") == ["benchmarks/heal.py can't be run so"]
    assert faults_in("`python -m benchmarks.soak --steps 3`") == ["benchmarks.soak can't be run so"] + [
        "benchmarks.soak --steps"
    ]
    assert faults_in("python benchmarks/soak.py --steps 3\n  --sideways") == ["benchmarks/soak.py --sideways"]
    assert faults_in("python -m benchmarks.fuzz --inputs 9") == []
