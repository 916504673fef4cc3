import json
import re
from pathlib import Path

import pytest

from gradiometer.activations import activation_from
from gradiometer.errors import SettingsError
from gradiometer.showing.theory_page import render_theory_page, write_theory_page
from gradiometer.theory.expectation import expect, plan_network
from gradiometer.theory.phase_map import map_around

PLAN = plan_network("tanh", 1.3, 0.2236)


def test_is_one_page_with_verdict_and_diagram_that_loads_nothing() -> None:
    page = render_theory_page(expect(PLAN), map_around(PLAN))
    assert "<h1>Ordered</h1>" in page
    assert "halves every 89 layers" in page
    assert not re.search(r'(src|href)="(?!data:)', page.split('<script type="application/json"')[0])
    figures = json.loads(re.search(r'id="figure-data">(.*?)</script>', page).group(1))  # type: ignore[union-attr]
    assert [trace["type"] for trace in figures["phase_diagram"]["data"]][:2] == ["heatmap", "contour"]


def test_escapes_the_name_of_a_function() -> None:
    known = PLAN.activation
    plan = plan_network(activation_from("<script>alert(1)</script>", known.function, known.slope), 1.3, 0.2)
    assert "<script>alert" not in render_theory_page(expect(plan), map_around(plan))


def test_says_why_it_could_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="choose another place with --output"):
        write_theory_page(expect(PLAN), map_around(PLAN), tmp_path / "missing" / "page.html")
