import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from curing.trials.trial_material import GAN, SIGMOIDS, spec_for, write_script
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, read_trial
from gradiometer.curing.trials.patching import patch_script
from gradiometer.schema import Layer, Run

FUNCTIONAL = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 1)

    def forward(self, x):
        x = torch.sigmoid(self.first(x))
        return self.last(self.second(x).sigmoid())

inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] > 0).float()

def train(rate):
    net = Net()
    opt = torch.optim.SGD(net.parameters(), lr=rate)
    for step in range(20):
        loss = nn.functional.binary_cross_entropy_with_logits(net(inputs), targets)
        opt.zero_grad()
        loss.backward()
        opt.step()

train(0.1)
"""

CURES = [
    "exchange_activation:relu",
    "redraw_weights:he",
    "insert_normalisation",
    "clip_gradients:0.01",
    "change_learning_rate:x0.5",
    "change_learning_rate:=0.3",
    "exchange_optimizer:adam",
    "exchange_activation:relu+redraw_weights:he",
    "exchange_activation:tanh+exchange_optimizer:adam",
]


def read_one(folder: Path, text: str, *cures: str, case: Reading | None = None) -> Reading:
    case_file = None if case is None else str(case.spec.run_file)
    conditions = () if case is None else ("vanishing", "stalled", "stuck")
    spec = spec_for(folder, text, cures=cures, case_file=case_file, conditions=conditions, overhead=1.0)
    return read_trial(run_trials([spec], workers=1)[0])


def patched(folder: Path, patch: str) -> str:
    """What `patch` makes of the script."""
    done = subprocess.run(["patch", "-p1"], cwd=folder, input=patch, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + patch
    return (folder / "train.py").read_text()


def changes_of(reading: Reading) -> list[dict[str, object]]:
    assert reading.run is not None
    assert reading.trial.status == "done", reading.trial.detail
    return list(reading.run.facts["cure_changes"])


@pytest.mark.slow
@pytest.mark.parametrize("text", [SIGMOIDS, FUNCTIONAL], ids=["modules", "functions"])
@pytest.mark.parametrize("cure", CURES)
def test_writes_a_patch_that_trains_as_the_treated_trial_did(tmp_path: Path, text: str, cure: str) -> None:
    control = read_one(tmp_path, text)
    treated = read_one(tmp_path, text, *cure.split("+"), case=control)
    assert control.run is not None
    patch = patch_script(control.run, changes_of(treated), folder=tmp_path)
    assert patch is not None
    again = tmp_path / "again"
    again.mkdir()
    write_script(again, text)
    from_patch = read_one(again, patched(again, patch))

    assert from_patch.trial.status == "done", from_patch.trial.detail
    assert from_patch.final_loss != control.final_loss
    # Six digits of a learning rate are written; everything else is the same bit for bit.
    assert from_patch.final_loss == pytest.approx(treated.final_loss, rel=1e-5)


AUTOENCODER = """\
import torch
from torch import nn

class Part(nn.Module):
    def __init__(self, width, code):
        super().__init__()
        self.first, self.second = nn.Linear(width, 8), nn.Linear(8, code)

    def forward(self, x):
        return self.second(torch.sigmoid(self.first(x)))

inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))

def train():
    encoder, decoder = Part(8, 3), Part(3, 8)
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
    for step in range(20):
        loss = nn.functional.mse_loss(decoder(encoder(inputs)), inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

train()
"""
"""Two roots, one optimizer, one line of code for the activations of both."""


@pytest.mark.slow
@pytest.mark.parametrize("text", [GAN, AUTOENCODER], ids=["two optimizers", "one optimizer"])
@pytest.mark.parametrize("cure", CURES)
def test_writes_a_patch_for_several_models_that_trains_as_the_treated_trial_did(
    tmp_path: Path, text: str, cure: str
) -> None:
    control = read_one(tmp_path, text)
    treated = read_one(tmp_path, text, *cure.split("+"), case=control)
    assert control.run is not None
    changes = changes_of(treated)
    patch = patch_script(control.run, changes, folder=tmp_path)
    assert patch is not None
    again = tmp_path / "again"
    again.mkdir()
    write_script(again, text)
    from_patch = read_one(again, patched(again, patch))

    assert from_patch.trial.status == "done", from_patch.trial.detail
    assert from_patch.final_loss != control.final_loss
    assert len(from_patch.final_losses) == len(treated.final_losses)
    for (_, loss), (_, expected) in zip(from_patch.final_losses, treated.final_losses, strict=True):
        assert loss == pytest.approx(expected, rel=1e-5)


def run_of(folder: Path, text: str, *, site: str | None = None, optimizer: str = "SGD", layers: object = ()) -> Run:
    """A run of a script whose optimizer is made in the line that says so."""
    script = write_script(folder, text)
    line = next(number for number, content in enumerate(text.splitlines(), 1) if f"{optimizer}(" in content)
    facts = {"optimizer_site": site or f"{script}:{line}", "optimizer": optimizer}
    return Run(facts=facts, layers=tuple(layers))  # type: ignore[arg-type]


def change(
    label: str, snippet: str, placement: str = "before_optimizer", roots: tuple[str, ...] = ("",)
) -> dict[str, object]:
    return {"label": label, "snippet": snippet, "placement": placement, "text": "", "roots": list(roots)}


def lines_added(patch: str | None) -> list[str]:
    assert patch is not None
    return [line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++")]


def test_edits_a_learning_rate_where_it_stands(tmp_path: Path) -> None:
    run = run_of(tmp_path, SIGMOIDS)
    patch = patch_script(run, [change("change_learning_rate:x0.1", "", "after_optimizer")])
    assert lines_added(patch) == ["optimizer = torch.optim.SGD(model.parameters(), lr=0.01)"]


def test_multiplies_a_learning_rate_that_is_an_expression(tmp_path: Path) -> None:
    run = run_of(tmp_path, SIGMOIDS.replace("lr=0.1", "lr=a + b"))
    patch = patch_script(run, [change("change_learning_rate:x0.1", "", "after_optimizer")])
    assert lines_added(patch) == ["optimizer = torch.optim.SGD(model.parameters(), lr=(a + b) * 0.1)"]


def test_edits_the_class_of_an_optimizer(tmp_path: Path) -> None:
    run = run_of(tmp_path, SIGMOIDS.replace("torch.optim.SGD", "optim.SGD"))
    snippet = 'import torch\n\noptimizer = torch.optim.Adam(optimizer.param_groups[0]["params"], lr=0.001)\n'
    patch = patch_script(run, [change("exchange_optimizer:adam", snippet, "after_optimizer")])
    assert lines_added(patch) == ["optimizer = optim.Adam(model.parameters(), lr=0.001)"]


def test_names_the_scripts_own_model_and_indents_as_it_does(tmp_path: Path) -> None:
    text = "import torch\n\nclass Trainer:\n\n    def set_up(self):\n"
    text += "        self.o = torch.optim.SGD(self.net.parameters())\n"
    run = run_of(tmp_path, text)
    patch = patch_script(run, [change("redraw_weights:he", "for p in model.parameters():\n    p.zero_()\n")])
    added = lines_added(patch)

    assert "        redraw_weights(self.net)" in added
    assert added.index("def redraw_weights(model):") < added.index("        redraw_weights(self.net)")


def test_does_not_take_a_name_that_the_script_uses(tmp_path: Path) -> None:
    run = run_of(tmp_path, "def redraw_weights(): pass\n" + SIGMOIDS)
    patch = patch_script(run, [change("redraw_weights:he", "model.eval()\n")])
    assert "redraw_weights_2(model)" in lines_added(patch)


def test_leaves_an_activation_alone_that_is_used_outside_the_model(tmp_path: Path) -> None:
    text = SIGMOIDS + "print(nn.Sigmoid()(model(inputs)))\n"
    run = run_of(tmp_path, text, layers=[Layer("1", "Sigmoid", "leaf", 1)])
    snippet = "from torch import nn\nfor place in ['1']:\n    setattr(model, place, nn.ReLU())\n"
    added = lines_added(patch_script(run, [change("exchange_activation:relu", snippet)]))

    assert "exchange_activation(model)" in added
    assert not any("ReLU" in line and "layers" in line for line in added)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("import torch\nfor net in nets:\n    return_(torch.optim.SGD(net.parameters(), 0.1))\n", "after_optimizer"),
        ("import torch\noptimizer = torch.optim.SGD([weight], 0.1)\n", "before_optimizer"),
    ],
    ids=["nothing holds the optimizer", "no model is named"],
)
def test_writes_no_patch_where_there_is_no_place_for_one(tmp_path: Path, text: str, changed: str) -> None:
    snippet = "optimizer.zero_grad()\n" if changed == "after_optimizer" else "model.eval()\n"
    assert patch_script(run_of(tmp_path, text), [change("clip_gradients:1", snippet, changed)]) is None


def test_writes_no_patch_of_a_file_that_it_cannot_read(tmp_path: Path) -> None:
    run = run_of(tmp_path, SIGMOIDS, site="nowhere/train.py:3")
    assert patch_script(run, [change("redraw_weights:he", "model.eval()\n")]) is None
    assert patch_script(Run(), [change("redraw_weights:he", "model.eval()\n")]) is None
    assert patch_script(run_of(tmp_path, SIGMOIDS), []) is None


def test_keeps_statements_that_share_a_line_together(tmp_path: Path) -> None:
    text = "import torch\nif True: optimizer = torch.optim.SGD(model.parameters(), 0.1); x = 1\n"
    added = lines_added(patch_script(run_of(tmp_path, text), [change("redraw_weights:he", "model.eval()\n")]))
    assert "if True: redraw_weights(model); optimizer = torch.optim.SGD(model.parameters(), 0.1); x = 1" in added


TWO_IN_A_LOOP = """\
import torch
for net in (encoder, decoder):
    optimizers.append(torch.optim.SGD(net.parameters(), lr=0.1))
"""


def made_in_a_loop(folder: Path, *roots: str) -> str | None:
    """The patch of a change that was made at one line, to these of the two roots."""
    run = run_of(folder, TWO_IN_A_LOOP)
    site = str(run.facts["optimizer_site"])
    run = replace(run, facts={**run.facts, "optimizer_sites": [site, site]})
    made = [change("change_learning_rate:x0.1", "", "after_optimizer", (root,)) for root in roots]
    return patch_script(run, [{**one, "optimizer_site": site, "optimizer": "SGD", "roots": []} for one in made])


def test_edits_a_line_that_makes_several_optimizers_only_where_all_are_meant(tmp_path: Path) -> None:
    both = made_in_a_loop(tmp_path, "encoder", "decoder")
    assert lines_added(both) == ["    optimizers.append(torch.optim.SGD(net.parameters(), lr=0.01))"]
    assert made_in_a_loop(tmp_path, "decoder") is None


def test_writes_no_patch_for_a_model_of_which_the_optimizer_holds_a_part(tmp_path: Path) -> None:
    run = run_of(tmp_path, SIGMOIDS.replace("model.parameters()", "model[2].parameters()"))
    redrawn = {**change("redraw_weights:he", "model.eval()\n"), "is_covered": False}
    assert patch_script(run, [redrawn]) is None


def test_gives_each_model_the_name_that_the_script_has_for_it(tmp_path: Path) -> None:
    text = "import torch\n\nclass Trainer:\n    def set_up(self):\n        encoder = self.encoder\n"
    text += "        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]\n"
    text += "        self.o = torch.optim.SGD([*self.decoder.parameters(), *rest], lr=0.1)\n"
    run = run_of(tmp_path, text)
    snippet = "model = {NAME: NAME}\nmodel.eval()\n"
    made = [
        change("redraw_weights:he", snippet.replace("NAME", name), roots=(name,)) for name in ("decoder", "encoder")
    ]
    added = lines_added(patch_script(run, made))

    assert "        redraw_weights(self.decoder)" in added
    assert patch_script(run, [change("redraw_weights:he", "model = both\n", roots=("decoder", "unknown"))]) is None
