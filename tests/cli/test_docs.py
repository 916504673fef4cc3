import json

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
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


def test_prints_a_page_in_words() -> None:
    result = CliRunner().invoke(app, ["docs", "non finite"])
    assert result.exit_code == 0
    assert "What it finds\n  " in result.stdout
    assert "Brings about" in result.stdout


def test_lists_all_conditions_without_a_name() -> None:
    result = CliRunner().invoke(app, ["docs"])
    assert all(condition in result.stdout for condition in CONDITIONS)


def test_prints_json() -> None:
    one = json.loads(CliRunner().invoke(app, ["docs", "vanishing", "--json"]).stdout)
    every = json.loads(CliRunner().invoke(app, ["docs", "--json"]).stdout)
    assert one in every["conditions"]
    assert len(every["conditions"]) == len(CONDITIONS)


def test_names_the_nearest_condition() -> None:
    with pytest.raises(SettingsError, match="did you mean vanishing"):
        page_of("vanishin")
    with pytest.raises(SettingsError, match="there are vanishing"):
        page_of("zzz")


def test_links_what_follows_from_what() -> None:
    assert "stuck" in page_of("vanishing").brings_about
    assert "vanishing" in page_of("stuck").follows_from
