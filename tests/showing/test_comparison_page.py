from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.comparing import compare
from gradiometer.diagnosing.levels import late_levels
from gradiometer.errors import RunFileError
from gradiometer.schema import Comparison, Run
from gradiometer.showing.comparison_page import (
    MOST_LAYERS,
    PAGE_COLOURS,
    changed_layers,
    render_comparison_page,
    write_comparison_page,
)
from gradiometer.units import format_db
from showing.made_run import made_run, write_made_run

HOSTILE = '<script>alert(1)</script>.<img src=x onerror="alert(1)">.'


def page_of(before: Run, after: Run) -> str:
    page = render_comparison_page(compare(before, after), before, after, names=("a.db", "b.db"))
    return page[: page.index('<script type="application/json"')]


def test_says_verdict_changes_layers_and_settings_in_this_order() -> None:
    before, after = made_run(), made_run(cut_at=9, seed=1, step_count=200)
    page = page_of(before, after)
    words = ("a.db → b.db", "<h1>", "What changed", "Both runs", "Layers that changed most", "Settings that differ")
    places = [page.index(word) for word in words]
    assert places == sorted(places)
    assert "<td>300</td><td>200</td>" in page
    assert all(change.name in page for change in compare(before, after).changes if change.kind == "setting")


def test_lists_the_layers_whose_level_changed_most() -> None:
    before, after = made_run(), replace(made_run(), layer_columns=dict(made_run().layer_columns))
    after.layer_columns["level_db"] = after.layer_columns["level_db"].copy()
    after.layer_columns["level_db"][:, 4] += 30.0
    after.layer_columns["level_db"][:, 7] -= 50.0
    rows = changed_layers(before, after)
    assert [name for name, _ in rows] == ["body.7", "body.4"]
    levels = late_levels(before)["body.4"], late_levels(after)["body.4"]
    assert rows[1][1][:3] == (format_db(levels[0]), format_db(levels[1]), "+30.0 dB")
    assert len(changed_layers(made_run(40, cut_at=70), made_run(40))) == MOST_LAYERS


def test_says_that_nothing_differs() -> None:
    page = page_of(made_run(), made_run())
    assert "within noise" in page
    assert "Nothing that was measured differs" in page_of(Run(), Run())
    assert "All settings that were recorded are the same." in page
    assert "Layers that changed most" not in page


def test_lets_no_name_become_an_element() -> None:
    page = page_of(made_run(3, prefix=HOSTILE, script=HOSTILE), made_run(3, prefix=HOSTILE, cut_at=3))
    assert "<img" not in page
    assert "<script>alert" not in page


@pytest.mark.parametrize("verdict", PAGE_COLOURS)
def test_has_a_page_for_every_verdict_and_for_runs_without_anything(verdict: str) -> None:
    comparison = Comparison(verdict, "so it is", "unknown", "unknown")  # type: ignore[arg-type]
    page = render_comparison_page(comparison, Run(), Run())
    assert "So it is." in page
    assert f'<header class="{PAGE_COLOURS[verdict]}">' in page


def test_says_where_the_page_could_not_be_written(tmp_path: Path) -> None:
    comparison = compare(Run(), Run())
    with pytest.raises(RunFileError, match="another place with --output FILE"):
        write_comparison_page(comparison, Run(), Run(), tmp_path / "nowhere" / "page.html")


def test_writes_the_page_beside_what_the_terminal_says_and_never_over_a_run(tmp_path: Path) -> None:
    run_file, page = write_made_run(tmp_path / "ten.db", hidden_count=1), tmp_path / "page.html"
    words = ["compare", str(run_file), str(run_file), "--output"]
    result = CliRunner().invoke(app, [*words, str(page)])
    assert (result.exit_code, page.is_file()) == (0, True)
    assert "SAME" in result.stdout
    assert "page.html" in result.stdout.splitlines()[-1]
    held = run_file.read_bytes()
    refused = CliRunner().invoke(app, [*words, str(run_file)])
    assert isinstance(refused.exception, RunFileError)
    assert run_file.read_bytes() == held
