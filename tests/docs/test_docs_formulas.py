from xml.etree import ElementTree

import pytest
from docs_formulas import formula_fence, mathml
from documented_blocks import PAGES, blocks_of, name_of

FORMULAS = {
    f"{name_of(page)}:{block.line}": block.text
    for page in PAGES
    for block in blocks_of(page.read_text(encoding="utf-8"))
    if block.kind == "math"
}


def drawn(source: str) -> ElementTree.Element:
    return ElementTree.fromstring(formula_fence(source, "math", "formula", {}, None))


@pytest.mark.parametrize("place", FORMULAS)
def test_draws_every_formula_of_the_documentation_whole(place: str) -> None:
    formula = drawn(FORMULAS[place])
    drawn_text = "".join(formula.itertext())
    assert "\\" not in drawn_text
    assert "{" not in drawn_text
    assert formula[0].get("alttext") == " ".join(FORMULAS[place].split())


def test_sets_fractions_roots_and_scripts() -> None:
    tags = [
        element.tag for element in ElementTree.fromstring(mathml(r"\frac{a}{b} + \sqrt{c_1^2} \le \sum_{k>1} d")).iter()
    ]
    assert {"mfrac", "msqrt", "msubsup", "munder"} <= set(tags)
    assert "".join(ElementTree.fromstring(mathml(r"\alpha \cdot 2.5 - x'")).itertext()) == "α·2.5−x′"


def test_has_lines_of_their_own() -> None:
    assert len(drawn(r"a = b \\ c = d").findall(".//mtr")) == 2
    assert drawn("a = b").find(".//mtr") is None


def test_escapes_what_html_would_read() -> None:
    assert "<script" not in formula_fence(r"a < b \text{<script>}", "math", "formula", {}, None)


@pytest.mark.parametrize(
    ("source", "words"),
    [(r"\unheard{a}", r"uses \\unheard"), ("{a", "ends before its '}'"), ("a_", "a term was expected")],
)
def test_refuses_what_it_can_not_draw(source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mathml(source)
