import json
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.streams_apart import runner_apart
from gradiometer.cli import app
from gradiometer.errors import GradiometerError
from gradiometer.schema import Change, Comparison
from showing.made_run import write_made_run


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_made_run(tmp_path / "ten.db")


def test_prints_the_verdict_first(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["compare", str(run_file), str(run_file)])
    assert result.exit_code == 0
    assert "SAME" in result.stdout.splitlines()[0]
    assert "broken → broken" in result.stdout


def test_prints_one_object_and_nothing_else_with_json(run_file: Path) -> None:
    result = runner_apart().invoke(app, ["compare", str(run_file), str(run_file), "--json"])
    written = json.loads(result.stdout, parse_constant=lambda word: 1 / 0)
    assert list(written) == [spec.name for spec in fields(Comparison)]
    assert list(written["changes"][0]) == [spec.name for spec in fields(Change)]
    assert result.stderr == ""


def test_refuses_a_file_that_is_missing(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["compare", str(run_file), "no.db"])
    assert isinstance(result.exception, GradiometerError)


@pytest.mark.slow
def test_ends_with_exit_code_three_where_the_second_run_is_worse(run_file: Path) -> None:
    program = Path("healthy.py")
    program.write_text(
        "import torch\ntorch.manual_seed(0)\n"
        "net = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))\n"
        "descent = torch.optim.SGD(net.parameters(), lr=0.1)\ncentres = torch.randn(4, 8)\n"
        "for _ in range(400):\n    labels = torch.randint(0, 4, (32,))\n    descent.zero_grad()\n"
        "    torch.nn.functional.cross_entropy(net(centres[labels]), labels).backward()\n    descent.step()\n"
    )
    assert CliRunner().invoke(app, ["run", "--file", "good.db", str(program)]).exit_code == 0
    worse = CliRunner().invoke(app, ["compare", "good.db", str(run_file)])
    better = CliRunner().invoke(app, ["compare", str(run_file), "good.db"])
    assert (worse.exit_code, better.exit_code) == (3, 0)
    assert "WORSE" in worse.stdout
    assert "BETTER" in better.stdout
