"""Whose line a loss is known by, where a package between the script and torch calls backward."""

import importlib.util
from pathlib import Path

import torch
from torch import nn

import gradiometer

TRAINER = """
def descend(loss, optimizer):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def train(model, optimizer, inputs):
    for _ in range(2):
        descend(model(inputs).square().mean(), optimizer)
"""


def installed(folder: Path):
    """A module of a trainer's, as pip puts it down."""
    path = folder / "site-packages" / "accelerate" / "trainer.py"
    path.parent.mkdir(parents=True)
    path.write_text(TRAINER)
    spec = importlib.util.spec_from_file_location("trainer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def watched_sites(train) -> list[str]:
    """Sites of the losses of a short training."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradiometer.watch(model, optimizer) as watching:
        train(model, optimizer, torch.randn(4, 3))
    return [Path(series.site).name.split(":")[0] for series in watching.run.losses]


def test_names_the_scripts_line_where_an_installed_trainer_calls_backward(tmp_path) -> None:
    assert watched_sites(installed(tmp_path).train) == ["test_call_sites.py"]


def test_keeps_two_losses_apart_that_go_through_one_line_of_a_trainer(tmp_path) -> None:
    descend = installed(tmp_path).descend

    def train(model, optimizer, inputs) -> None:
        for _ in range(2):
            descend(model(inputs).square().mean(), optimizer)
            descend(model(inputs).abs().mean(), optimizer)

    assert watched_sites(train) == ["test_call_sites.py", "test_call_sites.py"]
