"""The magics in real IPython shells: what a cell trains is watched, and nothing of it is changed."""

import builtins
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import CapturedIO, capture_output
from torch.nn.modules import module as module_hooks
from torch.optim import Optimizer, optimizer
from traitlets.config import Config

from gradiometer.recording.reader import read_run
from gradiometer.schema import Run
from showing.made_run import write_made_run

MAKE = """
import torch
torch.manual_seed(3)
model = torch.nn.Sequential(*[m for _ in range({depth}) for m in (torch.nn.Linear(8, 8), torch.nn.Sigmoid())],
                            torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)
x, y = torch.randn(32, 8), torch.randint(0, 3, (32,))
"""

TRAIN = """
for step in range(20):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell with the extension, in a folder without settings."""
    monkeypatch.chdir(tmp_path)
    # IPython warns of a virtual environment that is not its own, and warnings are errors here.
    made = InteractiveShell.instance(config=Config({"InteractiveShell": {"warn_venv": False}}))
    made.run_line_magic("load_ext", "gradiometer")
    ours = {name: getattr(builtins, name) for name in ("display", "get_ipython", "_") if hasattr(builtins, name)}
    # Doctests leave the last value there, and a shell that finds one does not put its own before it.
    vars(builtins).pop("_", None)
    yield made
    made.restore_sys_module_state()
    InteractiveShell.clear_instance()
    for name, value in ours.items():
        setattr(builtins, name, value)


def run(shell: InteractiveShell, cell: str) -> CapturedIO:
    with capture_output() as captured:
        result = shell.run_cell(cell)
    assert result.success, captured.stdout + captured.stderr
    return captured


def weights(shell: InteractiveShell) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in shell.user_ns["model"].parameters()]


def are_hooks_gone() -> bool:
    tables: list[Any] = [
        module_hooks._global_forward_hooks,
        module_hooks._global_forward_pre_hooks,
        optimizer._global_optimizer_pre_hooks,
        optimizer._global_optimizer_post_hooks,
    ]
    return not any(tables) and not hasattr(Optimizer.__init__, "__wrapped__")


def test_watches_a_cell_that_makes_its_model_and_shows_the_diagnosis(shell: InteractiveShell) -> None:
    shown = run(shell, "%%gradiometer" + MAKE.format(depth=12) + TRAIN)
    (card,) = shown.outputs
    assert "Broken" in card.data["text/html"]
    assert "vanishing" in card.data["text/plain"]
    assert are_hooks_gone()


def test_finds_model_and_optimizer_of_an_earlier_cell(shell: InteractiveShell) -> None:
    run(shell, MAKE.format(depth=2))
    run(shell, "left_behind = torch.optim.Adam(torch.nn.Linear(5, 5).parameters())")
    run(shell, "%%gradiometer" + TRAIN)
    watched = shell.run_line_magic("gradiometer", "")
    assert isinstance(watched, Run)
    assert watched.step_count == 20
    assert watched.facts["optimizer"] == "SGD"
    assert len(watched.facts["optimizers"]) == 1
    assert watched.coverage.line == "5 of 5 layers seen"


def test_watches_the_first_of_two_models_of_earlier_cells_that_a_cell_trains(shell: InteractiveShell) -> None:
    second = "other = torch.nn.Linear(8, 3)\nits_optimizer = torch.optim.SGD(other.parameters(), lr=0.1)\n"
    run(shell, MAKE.format(depth=2) + second)
    run(
        shell,
        "%%gradiometer --file first.db" + TRAIN + TRAIN.replace("optimizer", "its_optimizer").replace("model", "other"),
    )
    found = read_run(Path("first.db"))
    assert found.step_count == 20
    assert found.facts["root_names"] == ["Sequential"]
    assert [one["parameter_count"] for one in found.facts["optimizers"]] == [6]


def test_trains_to_the_bit_as_it_does_without_the_magic(shell: InteractiveShell) -> None:
    for first, second in (("", TRAIN), (MAKE.format(depth=3), TRAIN)):
        trained = []
        for magic in ("", "%%gradiometer --overhead 1"):
            run(shell, (MAKE.format(depth=3) if not first else "pass"))
            run(shell, magic + "\n" + first + second)
            trained.append((weights(shell), torch.random.get_rng_state()))
        assert all(torch.equal(a, b) for a, b in zip(trained[0][0], trained[1][0], strict=True))
        assert torch.equal(trained[0][1], trained[1][1])


def test_leaves_names_and_the_last_expression_to_the_cell(shell: InteractiveShell) -> None:
    captured = run(shell, "%%gradiometer" + MAKE.format(depth=2) + TRAIN + "final = loss.item()\nfinal * 0 + 7")
    assert "7.0" in captured.stdout
    assert shell.user_ns["_"] == 7.0
    assert 0.0 < shell.user_ns["final"] < 5.0
    assert "5.0" not in run(shell, "%%gradiometer" + TRAIN + "5.0;").stdout


def test_shows_a_failing_cells_own_error_and_detaches(shell: InteractiveShell) -> None:
    run(shell, MAKE.format(depth=2))
    with capture_output() as captured:
        result = shell.run_cell("%%gradiometer" + TRAIN + "1 / (step - 19)\n")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert captured.stdout.count("ZeroDivisionError") <= 2
    assert "1 / (step - 19)" in captured.stdout
    assert "jupyter.py" not in captured.stdout
    assert are_hooks_gone()
    assert "layers seen" in captured.outputs[0].data["text/plain"]
    watched = shell.run_line_magic("gradiometer", "")
    assert watched.facts["status"] == "failed"
    assert [event.text for event in watched.events if event.kind == "failed"] == ["ZeroDivisionError: division by zero"]


def test_keeps_a_run_that_is_interrupted(shell: InteractiveShell) -> None:
    run(shell, MAKE.format(depth=2))
    with capture_output() as captured:
        shell.run_cell("%%gradiometer --file kept.db" + TRAIN + "raise KeyboardInterrupt\n")
    assert "KeyboardInterrupt" in captured.stdout + captured.stderr
    assert captured.outputs
    assert read_run(Path("kept.db")).facts["status"] == "interrupted"
    assert are_hooks_gone()


def test_reports_a_cell_that_is_no_python(shell: InteractiveShell) -> None:
    with capture_output() as captured:
        result = shell.run_cell("%%gradiometer\nfor step in")
    assert isinstance(result.error_in_exec, SyntaxError)
    assert "no training was seen" in captured.stderr
    assert are_hooks_gone()


def test_says_what_to_do_where_nothing_trained(shell: InteractiveShell) -> None:
    captured = run(shell, "%%gradiometer\nvalue = 1")
    assert shell.user_ns["value"] == 1
    assert not captured.outputs
    assert "no optimizer took a step" in captured.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%%gradiometer --overhead 2\nhas_run = True", "above 0 and at most 1"),
        ("%%gradiometer --overhead much\nhas_run = True", "invalid float value"),
        ("%%gradiometer --nonsense\nhas_run = True", "unrecognized arguments: --nonsense"),
        ("%%gradiometer --file 'open\nhas_run = True", "can't be read"),
        ("%%gradiometer --file there.db\nhas_run = True", "there.db"),
        ("%gradiometer nowhere.db", "nowhere.db"),
        ("%gradiometer", "no training was watched yet"),
    ],
)
def test_refuses_in_a_sentence_and_does_not_run_the_cell(shell: InteractiveShell, line: str, words: str) -> None:
    Path("there.db").write_text("something else")
    with capture_output() as captured:
        result = shell.run_cell(line)
    assert not result.success
    assert words in captured.stderr
    assert captured.stderr.startswith("UsageError: ")
    assert "Traceback" not in captured.stdout + captured.stderr
    assert "has_run" not in shell.user_ns


def test_opens_a_recorded_run(shell: InteractiveShell) -> None:
    write_made_run(Path("old run.db"))
    run(shell, "opened = %gradiometer 'old run.db'")
    assert shell.user_ns["opened"].step_count == 300


@pytest.mark.slow
def test_takes_the_settings_of_the_folder(shell: InteractiveShell) -> None:
    Path("pyproject.toml").write_text(
        "[tool.gradiometer]\noverhead = 0.5\n[[tool.gradiometer.ignore]]\nreason = 'a toy'\n"
    )
    captured = run(shell, "%%gradiometer" + MAKE.format(depth=12) + TRAIN)
    assert "vanishing" not in captured.outputs[0].data["text/plain"]
    assert shell.run_line_magic("gradiometer", "").facts["overhead_allowed"] == 0.5


def test_loads_no_torch_before_a_cell_is_watched() -> None:
    program = (
        "from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell.instance()\n"
        "result = shell.run_cell('%load_ext gradiometer')\nimport sys\n"
        "print(result.success, 'gradiometer' in shell.magics_manager.magics['cell'], 'torch' in sys.modules)"
    )
    words = [sys.executable, "-c", program]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert shown.split()[-3:] == ["True", "True", "False"]


@pytest.mark.slow
def test_does_what_its_page_shows(shell: InteractiveShell) -> None:
    page = (Path(__file__).parents[2] / "docs" / "integrations" / "jupyter.md").read_text(encoding="utf-8")
    cells = re.findall(r"```ipython\n(.*?)```", page, flags=re.DOTALL)
    shown = [run(shell, cell) for cell in cells]
    assert len(cells) == 6
    assert "vanishing" in shown[2].outputs[0].data["text/plain"]
    assert isinstance(shell.user_ns["run"], Run)
    assert shell.user_ns["run"].step_count == 50
    assert "BROKEN" in shown[4].stdout


@pytest.mark.slow
def test_measures_parameters_alone_of_what_an_earlier_cell_has_compiled(shell: InteractiveShell) -> None:
    trained = []
    for magic in ("", "%%gradiometer\n"):
        run(shell, MAKE.format(depth=2) + "compiled = torch.compile(model, backend='eager')")
        run(shell, magic + TRAIN.replace("model(x)", "compiled(x)"))
        trained.append(weights(shell))
    assert all(torch.equal(a, b) for a, b in zip(*trained, strict=True))
    watched = shell.run_line_magic("gradiometer", "")
    assert watched.step_count == 20
    assert "parameters alone are measured" in watched.coverage.line
    assert watched.snapshot_count > 2
