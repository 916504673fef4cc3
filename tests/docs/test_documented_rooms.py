"""The page on the architecture has the rooms that there are, in the order that import-linter enforces."""

import re
import tomllib

from documented_blocks import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
PACKAGE = ROOT / "src" / "gradiometer"


def test_lists_the_rooms_in_the_order_in_which_they_may_import_each_other() -> None:
    enforced = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
    listed = re.search(r"rooms that ignore each other:\n\n((?: {4}.+\n)+)", PAGE)
    assert listed is not None
    assert [line.strip() for line in listed[1].splitlines()] == enforced


def test_says_of_every_room_what_happens_there() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("_") and path.suffix in {"", ".py"}}
    table = PAGE.partition("## Rooms")[2].partition("Each line may import")[0]
    assert rooms <= set(re.findall(r"`(\w+)`", table))
