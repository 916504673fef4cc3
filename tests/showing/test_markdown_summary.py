from dataclasses import replace

import pytest

from gradiometer.schema import Diagnosis
from gradiometer.showing.markdown_summary import code, escaped, markdown_text
from showing.hostile_diagnosis import HOSTILE_NAMES, hostile
from showing.made_run import made_diagnosis, made_run


def test_says_verdict_findings_and_the_next_command() -> None:
    lines = markdown_text(replace(made_run(), outcome=None), made_diagnosis()).splitlines()
    assert lines[0] == "## gradiometer: broken"
    assert lines[2].startswith("`train.py --epochs 3`: As it stands")
    assert [
        line.split(" | ")[:2] for line in lines if line.startswith("| critical") or line.startswith("| warning")
    ] == [
        ["| critical", "vanishing"],
        ["| warning", "saturated"],
    ]
    assert "- What follows: stalled" in lines
    assert "conditions: 3 failed, " in "\n".join(lines)
    assert lines[-2] == "Next: `gradiometer cure train.py --epochs 3`"


def test_says_that_nothing_was_found_in_a_line() -> None:
    text = markdown_text(made_run(), Diagnosis("healthy"))
    assert text.startswith("## gradiometer: healthy\n")
    assert "| severity" not in text


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_keeps_hostile_names_in_their_cell_and_line(name: str) -> None:
    text = markdown_text(*hostile(name))
    plain = markdown_text(*hostile("plain"))
    assert len(text.splitlines()) == len(plain.splitlines())
    rows = [line for line in text.splitlines() if line.startswith("| critical")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [5]
    assert "<" not in text
    assert "](" not in text.replace("\\](", "")
    assert "://" not in text
    assert "\n::" not in text


def test_fences_code_with_more_backticks_than_it_holds() -> None:
    assert code("a``b") == "``` a``b ```"
    assert escaped("a*b") == "a\\*b"
