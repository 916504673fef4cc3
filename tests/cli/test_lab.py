import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.cli.experimenting import LabOptions, LinesOfProgress, conduct_all, conduct_one
from gradiometer.errors import DataError, SettingsError
from gradiometer.lab import EXPERIMENTS
from gradiometer.lab.bench import Bench
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport, Row

ROW = Row("accuracy", "95.42 %", 94.7, 95.8, "Nielsen, chapter 1", "remembered", unit="%")


def report_with(name: str, *rows: Row) -> ExperimentReport:
    return ExperimentReport(name, f"About {name}", "It shows little.", (), rows, (("Time", "1 s"),))


def conduct(name: str, bench: Bench) -> ExperimentReport:
    """Each name is an experiment that ends another way."""
    bench.progress(0.5, "half of it")
    if name == "no-data":
        raise DataError("MNIST is not at hand: name it with --data PATH.")
    if name == "defect":
        raise ZeroDivisionError("a defect")
    if name == "interrupted":
        raise KeyboardInterrupt
    rows = {"within": (ROW.filled(95.0),), "outside": (ROW.filled(90.0),), "not-run": (ROW.left_out("needs MNIST"),)}
    return report_with(name, *rows[name])


def test_lists_every_experiment_with_its_question() -> None:
    result = CliRunner().invoke(app, ["lab"], catch_exceptions=False)
    assert result.exit_code == 0
    assert all(name in result.stdout for name in EXPERIMENTS)
    listed = CliRunner().invoke(app, ["lab", "--json"], catch_exceptions=False)
    assert {entry["name"]: entry["question"] for entry in json.loads(listed.stdout)["experiments"]} == EXPERIMENTS


def test_lists_without_loading_torch_or_plotly() -> None:
    code = (
        "import sys\nfrom gradiometer.cli import app\n"
        "try:\n    app(['lab'])\nexcept SystemExit as end:\n    print(end.code)\n"
        "print('torch' in sys.modules, 'plotly' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-3:] == ["0", "False", "False"]


def test_names_the_nearest_experiment() -> None:
    with pytest.raises(SettingsError, match="did you mean 'product'"):
        CliRunner().invoke(app, ["lab", "prodct"], catch_exceptions=False)


@pytest.mark.parametrize(("name", "code"), [("within", 0), ("outside", 3), ("not-run", 0)])
def test_ends_with_the_code_of_what_was_measured(name: str, code: int, tmp_path: Path, capsys) -> None:
    assert conduct_one(name, LabOptions(tmp_path), conduct) == code
    said = capsys.readouterr()
    assert str(tmp_path / f"{name}.html") in said.out.replace("\n", "")
    assert said.err == f"{name}: 50 %  half of it\n"
    assert (tmp_path / f"{name}.html").read_text(encoding="utf-8").count("<h1>About") == 1


def test_goes_on_behind_an_experiment_that_fails(tmp_path: Path, capsys) -> None:
    names = ("within", "no-data", "defect", "outside")
    assert conduct_all(LabOptions(tmp_path), conduct, names) == 2
    said = capsys.readouterr()
    assert "could not be run  no-data: MNIST is not at hand: name it with --data PATH." in said.out
    assert "could not be run  defect: ZeroDivisionError: a defect" in said.out
    assert "outside  outside: accuracy: 90 %, accepted 94.7 to 95.8 %" in said.out
    assert "Of 2 published figures 2 were run: 1 within what is accepted, 1 outside." in said.out
    assert "Traceback" in said.err
    assert "no-data could not be run" in said.err
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert [name for name in names if f'href="{name}.html"' in page] == ["within", "outside"]
    assert "MNIST is not at hand" in page
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["index.html", "outside.html", "within.html"]


@pytest.mark.parametrize(("names", "code"), [(("within", "not-run"), 0), (("within", "outside"), 3)])
def test_ends_several_with_the_worst_code(names: tuple[str, ...], code: int, tmp_path: Path) -> None:
    assert conduct_all(LabOptions(tmp_path), conduct, names) == code


def test_prints_json_and_nothing_else(tmp_path: Path, capsys) -> None:
    assert conduct_one("outside", LabOptions(tmp_path, is_json=True), conduct) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["page"] == (tmp_path / "outside.html").as_posix()
    assert [(row["measured"], row["verdict"]) for row in found["rows"]] == [(90.0, "outside")]
    conduct_all(LabOptions(tmp_path, is_json=True), conduct, ("within", "no-data"))
    both = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in both["experiments"]] == ["within"]
    assert [entry["name"] for entry in both["failed"]] == ["no-data"]


@pytest.mark.slow
def test_conducts_an_experiment_of_the_lab(tmp_path: Path) -> None:
    arguments = ["lab", "product", "--quick", "--seeds", "2", "--folder", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert result.exit_code == (3 if any(row["verdict"] == "outside" for row in found["rows"]) else 0)
    assert found["facts"]["Seeds asked for"] == "2"
    assert Path(found["page"]).is_file()
    assert all(read_run(Path(path)).step_count > 0 for path in found["run_files"])


def test_refuses_one_page_for_several_experiments(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="use --folder DIR"):
        conduct_all(LabOptions(tmp_path, output=tmp_path / "page.html"), conduct, ("within",))


def test_writes_the_page_where_it_is_told(tmp_path: Path) -> None:
    place = tmp_path / "mine" / "page.html"
    conduct_one("within", LabOptions(tmp_path / "lab", output=place), conduct)
    assert place.is_file()
    assert not (tmp_path / "lab").exists()


def test_keeps_what_is_done_after_ctrl_c_and_does_not_go_on(tmp_path: Path, capsys) -> None:
    assert conduct_all(LabOptions(tmp_path), conduct, ("within", "interrupted", "outside")) == 130
    assert sorted(path.name for path in tmp_path.glob("*.html")) == ["index.html", "within.html"]
    assert "Interrupted." in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["learning-speeds", "all"])
def test_ends_cleanly_after_ctrl_c(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradiometer", "lab", name, "--quick", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell that runs these tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert " %  " in first
    assert "Traceback" not in errors


def test_writes_lines_of_progress_at_growing_intervals(capsys) -> None:
    lines = LinesOfProgress(Console(file=sys.stderr, markup=False), "product", interval_seconds=0.0)
    lines(0.25, "seed 1")
    lines(0.5, "seed 2")
    slow = LinesOfProgress(Console(file=sys.stderr, markup=False), "product", interval_seconds=60.0)
    slow(0.25, "seed [1]")
    slow(0.5, "seed [2]")
    assert capsys.readouterr().err.splitlines() == [
        "product: 25 %  seed 1",
        "product: 50 %  seed 2",
        "product: 25 %  seed [1]",
    ]
