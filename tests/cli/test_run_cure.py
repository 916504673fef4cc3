"""`gradiometer run --cure`: a whole script trains with a cure applied, and its files are its own."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch._dynamo

import gradiometer.curing.whole_run
from curing.trials.trial_material import GAN
from gradiometer.cli import main
from gradiometer.recording.reader import read_run
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Outcome

TRAIN = """\
import torch
from torch import nn

torch.manual_seed(3)
inputs = torch.randn(64, 8)
targets = (inputs[:, :1] > 0).float()
layers = [nn.Linear(8, 16), nn.Sigmoid(), nn.Dropout(0.1)]
for _ in range(3):
    layers += [nn.Linear(16, 16), nn.Sigmoid()]
model = nn.Sequential(*layers, nn.Linear(16, 1))
# BEFORE
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
# AFTER
schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.5)
for step in range(30):
    picked = torch.randperm(64)[:16]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked]) / 2
    loss.backward()
    if step % 2:
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
torch.save(model.state_dict(), "weights.pt")
"""
"""Fixes its seed, draws in the model and outside of it, accumulates, has a schedule, and saves what it has learned."""

FUNCTIONAL = """\
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.last(torch.sigmoid(self.first(x)))

inputs = torch.randn(8, 4)
model = Network()
COMPILING
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(80):
    loss = (FORWARD - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""A functional activation; how it is compiled and called is to be filled in."""

Answer = tuple[int, str]

PRELOADED = (gradiometer.curing.whole_run, torch._dynamo)
"""What a forked process need not import again; the first optimizer of a process imports the second."""


@pytest.fixture
def called(tmp_path: Path) -> Callable[..., Answer]:
    """Call the command line in a forked process, which may run a script as `__main__`: exit code and stderr."""

    def call(*words: str) -> Answer:
        child = os.fork()
        if child == 0:
            run_words(tmp_path, words)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return code, (tmp_path / "stderr").read_text()

    return call


def run_words(folder: Path, words: tuple[str, ...]) -> None:
    """Never returns; what a script warns of is no error, as in a process of its own."""
    warnings.resetwarnings()
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    code = 70
    try:
        main(list(words))
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def pasted(text: str, changes: list[dict[str, str]]) -> str:
    """A script with the code of changes written into it."""
    places = {"before_optimizer": "# BEFORE\n", "after_optimizer": "# AFTER\n"}
    for place, mark in places.items():
        code = "".join(f"{change['snippet'].strip()}\n" for change in changes if change["placement"] == place)
        text = text.replace(mark, code)
    return text


@pytest.mark.parametrize(
    "label",
    ["insert_normalisation,exchange_activation:relu", "exchange_optimizer:adam+clip_gradients:0.5,redraw_weights:he"],
)
def test_trains_to_the_bit_as_with_the_change_written_in(
    tmp_path: Path, called: Callable[..., Answer], label: str
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    code, said = called("run", "--quiet", "--file", "run.db", "--cure", label, "train.py")
    run = read_run(tmp_path / "run.db")
    cured = torch.load(tmp_path / "weights.pt")
    (tmp_path / "pasted.py").write_text(pasted(TRAIN, run.facts["cure_changes"]))
    assert called("run", "--quiet", "--file", "pasted.db", "pasted.py")[0] == 0
    expected = torch.load(tmp_path / "weights.pt")

    assert code == 0, said
    assert run.facts["cures"] == label.replace(",", "+").split("+")
    assert len(run.facts["cure_changes"]) == len(run.facts["cures"])
    assert said.count("cured: ") == len(run.facts["cures"])
    assert ("checkpoints get new keys" in said) == ("normalisation" in label)
    assert list(cured) == list(expected)
    assert all(torch.equal(cured[name], expected[name]) for name in cured)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("no_such_cure", "there is no cure 'no_such_cure'"),
        ("redraw_weights:he,exchange_activation:sigmoid", "sigmoid already; nothing was trained"),
    ],
)
def test_ends_before_training_where_a_cure_does_not_fit(
    tmp_path: Path, called: Callable[..., Answer], label: str, words: str
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    code, said = called("run", "--quiet", "--cure", label, "train.py")

    assert code == 2
    assert words in said
    assert "Traceback" not in said
    assert not (tmp_path / "weights.pt").exists()
    assert list(tmp_path.glob(".gradiometer/runs/*")) == []


def test_says_that_a_cure_found_no_moment(tmp_path: Path, called: Callable[..., Answer]) -> None:
    text = "import torch\nw = torch.ones(3, requires_grad=True)\noptimizer = torch.optim.SGD([w], lr=0.1)\n"
    text += "for _ in range(200):\n    w.square().sum().backward()\n    optimizer.step()\n"
    (tmp_path / "train.py").write_text(text)
    code, said = called("run", "--quiet", "--file", "run.db", "--cure", "redraw_weights:he", "train.py")

    assert code == 2
    assert "redraw_weights:he could not be applied: its model was not found in time" in said
    # It did train without its cure; but not to the end.
    assert 0 < read_run(tmp_path / "run.db").step_count < 60


def test_takes_the_cure_that_a_run_file_proves(tmp_path: Path, called: Callable[..., Answer]) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    for name, verdict in (("proved", "better"), ("not_proved", "not shown")):
        with RunWriter(tmp_path / f"{name}.db") as writer:
            writer.set_outcome(Outcome(verdict, cures=("exchange_activation:relu", "redraw_weights:he")))
    assert called("run", "--quiet", "--file", "run.db", "--cure", "proved.db", "train.py")[0] == 0
    code, said = called("run", "--quiet", "--cure", "not_proved.db", "train.py")

    assert read_run(tmp_path / "run.db").facts["cures"] == ["exchange_activation:relu", "redraw_weights:he"]
    assert code == 2
    assert "holds no cure that was proved" in said


def test_cures_every_model_of_a_script_where_no_finding_names_one(
    tmp_path: Path, called: Callable[..., Answer]
) -> None:
    (tmp_path / "train.py").write_text(GAN)
    code, said = called("run", "--quiet", "--file", "run.db", "--cure", "redraw_weights:critical", "train.py")
    roots = [change["roots"] for change in read_run(tmp_path / "run.db").facts["cure_changes"]]

    assert code == 0, said
    assert roots == [["generator"], ["discriminator"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "compiling", ['model = torch.compile(model, backend="eager")', 'model.compile(backend="eager")']
)
def test_cures_a_compiled_model_before_anything_is_traced(
    tmp_path: Path, called: Callable[..., Answer], compiling: str
) -> None:
    text = TRAIN.replace("# BEFORE\n", f"# BEFORE\n{compiling}\n").replace("nn.Dropout(0.1)", "nn.Identity()")
    (tmp_path / "train.py").write_text(text)
    label = "insert_normalisation,exchange_activation:relu,redraw_weights:he"
    code, said = called("run", "--quiet", "--file", "run.db", "--cure", label, "train.py")
    cured = torch.load(tmp_path / "weights.pt")
    (tmp_path / "pasted.py").write_text(pasted(text, read_run(tmp_path / "run.db").facts["cure_changes"]))
    assert called("run", "--quiet", "--file", "pasted.db", "pasted.py")[0] == 0
    expected = torch.load(tmp_path / "weights.pt")

    assert code == 0, said
    assert list(cured) == list(expected)
    assert all(torch.equal(cured[name], expected[name]) for name in cured)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiling", "forward", "words"),
    [
        ("fast = torch.compile(model, backend='eager')", "fast(inputs)", "functional calls can't be exchanged"),
        (
            "compute = torch.compile(lambda x: model(x), backend='eager')",
            "compute(inputs)",
            "compiles a part of its model or a function around it",
        ),
    ],
)
def test_refuses_what_can_not_be_changed_in_compiled_code(
    tmp_path: Path, called: Callable[..., Answer], compiling: str, forward: str, words: str
) -> None:
    (tmp_path / "train.py").write_text(FUNCTIONAL.replace("COMPILING", compiling).replace("FORWARD", forward))
    code, said = called("run", "--quiet", "--cure", "exchange_activation:relu", "train.py")

    assert code == 2
    assert words in said


@pytest.mark.slow
def test_is_not_replayed_without_its_cure(tmp_path: Path, called: Callable[..., Answer]) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    called("run", "--quiet", "--file", "run.db", "--cure", "exchange_activation:relu", "train.py")
    code, said = called("replay", "--step", "3", "run.db")

    assert code == 2
    assert "made with --cure" in said


@pytest.mark.slow
def test_finds_a_learning_rate_before_the_script_is_started(tmp_path: Path, called: Callable[..., Answer]) -> None:
    shallow = TRAIN.replace("range(3)", "range(0)").replace("Sigmoid", "Tanh").replace("lr=0.1", "lr=1e-6")
    (tmp_path / "train.py").write_text(shallow.replace("range(30)", "range(300)"))
    code, said = called("run", "--quiet", "--file", "run.db", "--cure", "change_learning_rate:range", "train.py")

    assert code == 0, said
    (label,) = read_run(tmp_path / "run.db").facts["cures"]
    assert label.startswith("change_learning_rate:=")
    assert float(label.partition("=")[2]) > 1e-3
    assert "learning rate 1.00e-06 became" in said
