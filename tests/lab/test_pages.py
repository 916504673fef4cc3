"""Every experiment at toy size as a page in a browser."""

import json
from pathlib import Path

import pytest

from browsing import assert_sound, browser, visit, wait_for_figures
from gradiometer.lab import EXPERIMENTS
from gradiometer.lab.bench import Bench
from gradiometer.lab.conducting import conduct_experiment
from gradiometer.showing.json_output import json_text
from gradiometer.showing.lab_object import report_object
from gradiometer.showing.lab_page import write_lab_page
from showing.test_lab_page import figure_count

__all__ = ["browser"]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_makes_a_page_of_every_experiment(browser, tmp_path: Path, name: str) -> None:
    report = conduct_experiment(name, Bench(tmp_path / name, size="toy"))
    assert (report.name, bool(report.summary), bool(report.run_files)) == (name, True, True)
    assert len(json.loads(json_text(report_object(report)))["sections"]) == len(report.sections)
    path = write_lab_page(report, tmp_path / "page.html", question=EXPERIMENTS[name])
    assert path.stat().st_size < 6_000_000
    for width, scheme in ((390, "dark"), (1280, "light")):
        with visit(browser, path.as_uri(), width=width, scheme=scheme) as seen:
            wait_for_figures(seen, figure_count(report))
            assert_sound(seen)
