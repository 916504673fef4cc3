"""The Tab key: as the shells' own scripts ask, so is answered, and without torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradiometer.activations import ACTIVATIONS
from gradiometer.cli import VERBS, app
from gradiometer.cli.completing import complete_run_file, cure_names, recorded_in
from gradiometer.cli.engines import ENGINES
from gradiometer.curing import CURES
from gradiometer.diagnosing import CONDITIONS
from gradiometer.lab import EXPERIMENTS


def offered(line: str) -> list[str]:
    """What is offered at the end of a line, asked for as bash asks."""
    words = line.split(" ")
    asked = {
        "_GRADIOMETER_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, [], env=asked, prog_name="gradiometer")
    assert result.exit_code == 0, result.exception
    return result.stdout.split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with run files: here, right below, recorded, and hidden where nobody looks."""
    for name in ("run.db", "train.py", "runs/old.db", ".gradiometer/runs/train-1.db", ".hidden/secret.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_offers_the_verbs():
    assert offered("gradiometer ") == list(VERBS)
    assert offered("gradiometer re") == ["replay", "report"]


def test_offers_a_verb_s_options():
    assert {"--json", "--fail-on", "--help"} <= set(offered("gradiometer diagnose --"))
    assert offered("gradiometer run --keep-") == ["--keep-batches", "--keep-weights"]


@pytest.mark.parametrize("verb", ["diagnose", "explain", "report", "replay", "export", "compare", "live"])
def test_offers_run_files(verb, folder):
    assert offered(f"gradiometer {verb} ") == ["run.db", "runs/old.db", ".gradiometer/runs/train-1.db"]
    assert offered(f"gradiometer {verb} runs/") == ["runs/old.db"]


def test_offers_run_files_where_the_settings_put_them_or_can_not_be_read(folder):
    (folder / "pyproject.toml").write_text('[tool.gradiometer]\nfolder = "elsewhere"\n')
    assert recorded_in() == "elsewhere"
    (folder / "pyproject.toml").write_text("[tool.gradiometer\n")
    assert recorded_in() == ".gradiometer/runs"
    assert complete_run_file("./r") == ["./run.db", "./runs/old.db"]


def test_takes_what_is_typed_for_a_name_and_no_pattern(folder):
    (folder / "odd[1].db").touch()
    assert complete_run_file("odd[") == ["odd[1].db"]
    assert complete_run_file("*") == []


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("gradiometer docs ", [*CONDITIONS, *sorted(CURES)]),
        ("gradiometer docs vanish", ["vanishing"]),
        ("gradiometer lab ", [*EXPERIMENTS, "all", "explorer"]),
        ("gradiometer theory ", list(ACTIVATIONS)),
        ("gradiometer cure --try clip", ["clip_gradients"]),
        ("gradiometer cure --without warm_up_learning_rate,clip", ["warm_up_learning_rate,clip_gradients"]),
        ("gradiometer run --cure clip", ["clip_gradients"]),
        ("gradiometer run --cure run", ["run.db", "runs/old.db"]),
        ("gradiometer check --fail-on w", ["warning"]),
        ("gradiometer run --stop-on non", ["non_finite"]),
        ("gradiometer cure --engine ", list(ENGINES)),
        ("gradiometer export run.db --figures ", ["png", "svg", "html"]),
    ],
)
def test_offers_names_where_a_name_is_meant(line, names, folder):
    assert offered(line) == names


@pytest.mark.parametrize("line", ["gradiometer run tr", "gradiometer check train.py --ep", "gradiometer runs "])
def test_leaves_paths_and_a_script_s_own_words_to_the_shell(line, folder):
    assert offered(line) == []


def test_knows_every_cure_without_torch():
    assert cure_names() == sorted(CURES)
    program = "import sys; from gradiometer.cli.completing import *; complete_page(''); complete_cures(''); " + (
        "complete_activation(''); complete_experiment(''); complete_figure_format(''); print('torch' in sys.modules)"
    )
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout == "False\n"


SHELLS = {
    "bash": (
        'eval "$(gradiometer --show-completion)"\nCOMP_WORDS=(gradiometer docs vanish)\nCOMP_CWORD=2\n'
        '_gradiometer_completion gradiometer\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    ),
    "fish": (
        "_GRADIOMETER_COMPLETE=source_fish gradiometer | source\ncomplete --do-complete 'gradiometer docs vanish'\n"
    ),
    "zsh": 'autoload -Uz compinit; compinit -D\neval "$(gradiometer --show-completion)"\necho ${_comps[gradiometer]}\n',
}
ANSWERS = {"bash": "vanishing", "fish": "vanishing", "zsh": "_gradiometer_completion"}


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_completes_in_a_real_shell(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    script = tmp_path / f"script.{shell}"
    script.write_text(SHELLS[shell])
    done = subprocess.run(
        [shell, str(script)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split() == [ANSWERS[shell]], done.stderr


@pytest.mark.slow
def test_installs_its_completion_in_the_home_folder_alone(tmp_path):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", "-c", "gradiometer --install-completion; true"],
        env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "bash completion installed" in done.stdout
    assert "gradiometer.sh" in (tmp_path / ".bashrc").read_text()
    assert "complete_bash" in (tmp_path / ".bash_completions/gradiometer.sh").read_text()
