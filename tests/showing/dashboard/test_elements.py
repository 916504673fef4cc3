"""HTML that this package wrote, as Dash's components."""

import pytest
from dash import html

from gradiometer.schema import Diagnosis
from gradiometer.showing.dashboard.elements import elements_of
from gradiometer.showing.report_parts import findings_section, measured_section
from gradiometer.showing.summary_parts import summary_block
from showing.made_run import made_diagnosis, made_finding, made_run


def texts_in(part) -> list[str]:
    """All text of a component, in order."""
    if isinstance(part, str):
        return [part]
    children = part if isinstance(part, list) else getattr(part, "children", None) or []
    return [text for child in (children if isinstance(children, list) else [children]) for text in texts_in(child)]


def tags_in(part) -> set[str]:
    """Names of all components."""
    if isinstance(part, str):
        return set()
    children = part if isinstance(part, list) else getattr(part, "children", None) or []
    own = set() if isinstance(part, list) else {type(part).__name__}
    return own.union(*(tags_in(child) for child in (children if isinstance(children, list) else [children])))


def test_keeps_a_harmful_name_as_text() -> None:
    finding = made_finding("<script>alert(1)</script>")
    parts = elements_of(findings_section(Diagnosis("broken", (finding,))))
    assert "<script>alert(1)</script>" in texts_in(parts)
    assert "Script" not in tags_in(parts)


def test_turns_every_part_of_the_report_into_components() -> None:
    run, diagnosis = made_run(), made_diagnosis()
    for text in (summary_block(run, diagnosis, None), measured_section(run, diagnosis, None)):
        parts = elements_of(text)
        assert tags_in(parts) >= {"Dl", "Dt", "Dd"}
        assert "Why" in texts_in(parts) or "Coverage" in texts_in(parts)


def test_keeps_what_assistive_technology_goes_by() -> None:
    part = elements_of('<div class="scroll" tabindex="0" role="region" aria-label="Layers" onclick="x()">a</div>')[0]
    expected = html.Div(["a"], className="scroll", tabIndex=0, role="region", **{"aria-label": "Layers"})
    assert part.to_plotly_json() == expected.to_plotly_json()


@pytest.mark.parametrize("text", ["<script>x</script>", "<iframe></iframe>", "<style>a</style>", "<b>a</i>"])
def test_refuses_elements_that_do_something(text: str) -> None:
    with pytest.raises(ValueError, match="<"):
        elements_of(text)
