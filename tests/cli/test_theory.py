import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.errors import SettingsError


def called(*arguments: str) -> str:
    """What the verb prints."""
    result = CliRunner().invoke(app, ["theory", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_prints_what_theory_says_of_a_network() -> None:
    text = called("tanh", "--sigma-w", "1.3", "--sigma-b", "0.22", "--depth", "30", "--width", "300")
    assert "ORDERED" in text
    assert "chi_1" in text


def test_prints_json_with_the_numbers_of_the_published_table() -> None:
    found = json.loads(called("tanh", "--sigma-b", str(math.sqrt(0.1)), "--json"))
    assert found["phase"] == "critical"
    assert found["sigma_w"] ** 2 == pytest.approx(1.9861, abs=5e-5)
    assert found["q"] == pytest.approx(0.8058, abs=5e-5)
    assert found["xi_c"] == "inf"


def test_takes_a_python_function_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import math\n\ndef squash(x):\n    return math.tanh(x)\n")
    own = json.loads(called(f"{file}:squash", "--sigma-w", "1.1", "--sigma-b", "0.3", "--json"))
    known = json.loads(called("tanh", "--sigma-w", "1.1", "--sigma-b", "0.3", "--json"))
    assert own["activation"] == "squash"
    for name in ("q", "chi_1", "correlation", "xi_q", "xi_c", "critical_sigma_w"):
        assert own[name] == pytest.approx(known[name], rel=1e-6)


def test_writes_the_phase_diagram(tmp_path: Path) -> None:
    page = tmp_path / "diagram.html"
    assert str(page) in called("relu", "--output", str(page)).replace("\n", "")
    assert "data-figure" in page.read_text(encoding="utf-8")


def test_takes_dropout_time_and_orthogonal_weights() -> None:
    found = json.loads(called("tanh", "--dropout", "0.2", "--recurrent", "--orthogonal", "--json"))
    assert (found["dropout"], found["is_recurrent"], found["is_orthogonal"]) == (0.2, True, True)


def test_names_the_activations_it_knows() -> None:
    with pytest.raises(SettingsError, match="known are sigmoid, tanh"):
        called("tanhh")
