import json

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.curing import CURES
from gradiometer.curing.pages import cure_page_of
from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.pages import page_of
from gradiometer.errors import SettingsError


@pytest.mark.parametrize("condition", CONDITIONS)
def test_has_a_whole_page_for_every_condition(condition: str) -> None:
    page = page_of(condition)
    assert page.title.endswith(".")
    assert [heading for heading, _ in page.sections] == [
        "What it finds", "Why it matters", "What cures it", "Source",
    ]  # fmt: skip
    assert all(len(text) > 20 for _, text in page.sections)


@pytest.mark.parametrize("cure", CURES)
def test_has_a_whole_page_for_every_cure(cure: str) -> None:
    page = cure_page_of(cure)
    assert page.title.endswith(".")
    assert [heading for heading, _ in page.sections][:4] == [
        "What it changes", "When it helps", "What it costs", "Source",
    ]  # fmt: skip
    assert all(text for _, text in page.sections)


def test_prints_a_cure_s_page_in_words() -> None:
    result = CliRunner().invoke(app, ["docs", "clip_gradients:1.0"])
    assert result.exit_code == 0
    assert "What it costs\n  " in result.stdout
    assert "Tried for" in result.stdout


def test_prints_a_page_in_words() -> None:
    result = CliRunner().invoke(app, ["docs", "non finite"])
    assert result.exit_code == 0
    assert "What it finds\n  " in result.stdout
    assert "Brings about" in result.stdout


def test_lists_all_conditions_and_cures_without_a_name() -> None:
    result = CliRunner().invoke(app, ["docs"])
    assert all(name in result.stdout for name in (*CONDITIONS, *CURES))


def test_prints_json() -> None:
    one = json.loads(CliRunner().invoke(app, ["docs", "vanishing", "--json"]).stdout)
    every = json.loads(CliRunner().invoke(app, ["docs", "--json"]).stdout)
    assert one in every["conditions"]
    assert len(every["conditions"]) == len(CONDITIONS)
    assert [page["name"] for page in every["cures"]] == list(CURES)


def test_names_the_nearest_condition() -> None:
    with pytest.raises(SettingsError, match="did you mean vanishing"):
        page_of("vanishin")
    with pytest.raises(SettingsError, match="there are vanishing"):
        page_of("zzz")
    with pytest.raises(SettingsError, match="did you mean scale_loss"):
        cure_page_of("scale_los")
    with pytest.raises(SettingsError, match="and the cures exchange_activation"):
        cure_page_of("zzz")


def test_links_what_follows_from_what() -> None:
    assert "stuck" in page_of("vanishing").brings_about
    assert "vanishing" in page_of("stuck").follows_from
