"""What stands behind a script's name, or behind `-m MODULE`, is the script's own."""

import pytest

from gradiometer.cli import PASSING_ON, LazyVerbs


@pytest.mark.parametrize("verb", sorted(PASSING_ON))
@pytest.mark.parametrize(
    ("line", "module", "rest"),
    [
        ("-m package.train --epochs 3 -m x", "package.train", "--epochs 3 -m x"),
        ("--steps 9 -m package.train --json", "package.train", "--json"),
        ("-m package.train", "package.train", ""),
        ("train.py --steps 7 -m", None, "train.py --steps 7 -m"),
        ("-- -m train.py", None, "-m train.py"),
    ],
)
def test_leaves_to_a_script_what_follows_its_name(verb: str, line: str, module: str | None, rest: str) -> None:
    given = LazyVerbs().get_command(None, verb).make_context(verb, line.split()).params
    assert given["module"] == module
    assert list(given["words"] or []) == rest.split()
