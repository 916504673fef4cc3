"""Settings come from the nearest pyproject.toml, and mistakes in it are told."""

from pathlib import Path

import pytest

from gradiometer.errors import SettingsError
from gradiometer.settings import Ignored, Settings, load_settings


def test_defaults_hold_where_no_file_speaks_of_gradiometer(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert load_settings(tmp_path) == Settings()


def test_reads_the_table_from_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.gradiometer]\noverhead = 0.05\nfail_on = "warning"\nopen_compiled = true\n'
        '[[tool.gradiometer.ignore]]\ncondition = "dead"\nlayer = "head.*"\nreason = "sparse on purpose"\n'
    )
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    settings = load_settings(inner)
    assert settings.overhead == 0.05
    assert settings.fail_on == "warning"
    assert settings.open_compiled
    assert settings.ignore == (Ignored("dead", "head.*", "sparse on purpose"),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.gradiometer]\noverheat = 1\n", "overheat"),
        ("[tool.gradiometer]\noverhead = 'much'\n", "should be a float"),
        ("[tool.gradiometer]\nmax_megabytes = true\n", "should be a int"),
        ("[tool.gradiometer]\ndear = 'similarity'\n", "should be a list of names"),
        ("[tool.gradiometer]\nopen_compiled = 1\n", "should be a bool"),
        ("[tool.gradiometer]\nignore = [{condition = 'dead'}]\n", "reason"),
        ("[tool.gradiometer\n", "is not TOML"),
    ],
)
def test_tells_what_is_wrong_and_where(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(SettingsError, match=told):
        load_settings(tmp_path)


@pytest.mark.parametrize(("line", "expected"), [("", None), ("dear = []", ()), ("dear = ['units']", ("units",))])
def test_reads_which_dear_measurements_are_wanted(tmp_path: Path, line: str, expected: tuple[str, ...] | None) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.gradiometer]\n{line}\n")
    assert load_settings(tmp_path).dear == expected
