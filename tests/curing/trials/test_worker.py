from dataclasses import replace
from pathlib import Path

import pytest

from curing.trials.trial_material import DROPOUT, GAN, SIGMOIDS, spec_for
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, log_of, paired, read_trial
from gradiometer.curing.trials.spec import TrialSpec
from gradiometer.curing.trials.worker import is_own_source


def read_all(*specs: TrialSpec) -> list[Reading]:
    return [read_trial(end) for end in run_trials(specs, workers=2)]


def treated(spec: TrialSpec, *cures: str, folder: str = "treated") -> TrialSpec:
    return replace(spec, cures=cures).placed_in(Path(spec.working_directory) / folder)


@pytest.mark.slow
def test_sees_the_same_batches_with_and_without_a_cure_that_draws_fewer_numbers(tmp_path: Path) -> None:
    control = spec_for(tmp_path, DROPOUT, seed=3)
    readings = read_all(control, treated(control, "exchange_activation:relu"), treated(control, "insert_normalisation"))

    assert [reading.trial.status for reading in readings] == ["done"] * 3
    assert readings[0].run is not None
    assert len(readings[0].run.fingerprints) == 15
    assert paired(readings[0], readings[1]) is True
    assert paired(readings[0], readings[2]) is True
    assert readings[0].final_loss != readings[1].final_loss


def test_sees_other_batches_under_another_seed(tmp_path: Path) -> None:
    control = spec_for(tmp_path, DROPOUT, seed=3)
    other = replace(control, seed=4).placed_in(tmp_path / "trials")
    first, second = read_all(control, other)

    assert paired(first, second) is False
    assert first.final_loss != second.final_loss


def test_gives_the_same_training_twice(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, DROPOUT, seed=5)
    first, second = read_all(spec, replace(spec, folder=str(tmp_path / "again")))

    assert first.run is not None
    assert second.run is not None
    assert first.run.losses[0].values.tolist() == second.run.losses[0].values.tolist()


def test_seeds_a_script_anew_that_fixes_its_own_seed(tmp_path: Path) -> None:
    text = DROPOUT.replace("data =", "torch.manual_seed(0)\ndata =", 1)
    spec = spec_for(tmp_path, text, seed=1)
    first, second = read_all(spec, replace(spec, seed=2).placed_in(tmp_path / "trials"))

    assert first.run is not None
    assert second.run is not None
    name = "initial_weights_fingerprint"
    assert first.run.facts[name] != second.run.facts[name]
    assert first.run.facts["seeding_calls"] > 0


def test_trains_under_a_construction_cure_with_new_parameters(tmp_path: Path) -> None:
    spec = treated(spec_for(tmp_path, SIGMOIDS), "insert_normalisation")
    (reading,) = read_all(spec)

    assert reading.trial.status == "done", reading.trial.detail
    assert reading.run is not None
    kinds = {layer.kind for layer in reading.run.layers}
    assert "BatchNorm1d" in kinds
    norms = [known for known in reading.run.parameters if known.name == "0.1.weight"]
    assert norms[0].is_optimized
    moved = reading.run.parameter_column("update_rms")[:, reading.run.parameters.index(norms[0])]
    assert moved[1] > 0.0
    assert [event.kind for event in reading.run.events if event.kind == "cure"] == ["cure"]


def test_measures_exchanged_functional_calls_as_what_they_became(tmp_path: Path) -> None:
    text = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)
    def forward(self, x):
        return self.last(torch.sigmoid(self.second(self.first(x).sigmoid())))

model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(6):
    loss = model(torch.randn(8, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
    control = spec_for(tmp_path, text, overhead=1.0)
    untouched, cured = read_all(control, treated(control, "exchange_activation:relu"))

    assert untouched.run is not None
    assert cured.run is not None
    assert cured.trial.status == "done", log_of(cured.spec)
    assert {layer.kind for layer in untouched.run.layers if layer.role == "function"} == {"sigmoid"}
    assert {layer.kind for layer in cured.run.layers if layer.role == "function"} == {"relu"}
    assert cured.run.snapshot_count == 6


def test_keeps_a_scripts_own_checkpoint_and_lets_it_read_it_back(tmp_path: Path) -> None:
    (tmp_path / "best.pt").write_bytes(b"precious")
    text = SIGMOIDS + "    torch.save(model.state_dict(), 'best.pt')\nmodel.load_state_dict(torch.load('best.pt'))\n"
    (reading,) = read_all(spec_for(tmp_path, text, steps=4))

    assert reading.trial.status == "done", log_of(reading.spec)
    assert (tmp_path / "best.pt").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "train.py", "trials"]


def test_says_which_trial_was_refused_and_why(tmp_path: Path) -> None:
    (reading,) = read_all(treated(spec_for(tmp_path, SIGMOIDS), "exchange_activation:sigmoid"))

    assert reading.trial.status == "refused"
    assert "already" in reading.trial.detail
    assert reading.trial.step_count == 0


def test_refuses_a_construction_cure_where_no_optimizer_is_made(tmp_path: Path) -> None:
    text = """\
import torch
from torch import nn
model = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1))
for step in range(5):
    model(torch.randn(4, 2)).square().mean().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad
            parameter.grad = None
"""
    (reading,) = read_all(treated(spec_for(tmp_path, text), "exchange_optimizer:adam"))

    assert reading.trial.status == "refused"
    assert "no optimizer was constructed" in reading.trial.detail


@pytest.mark.parametrize("cure", ["exchange_activation:relu", "insert_normalisation", "change_learning_rate:x0.5"])
def test_treats_a_script_with_several_models(tmp_path: Path, cure: str) -> None:
    control = spec_for(tmp_path, GAN)
    (untouched,) = read_all(control)
    case_file = str(untouched.spec.run_file)
    cured = replace(control, cures=(cure,), case_file=case_file).placed_in(tmp_path / "treated")
    (reading,) = read_all(cured)

    assert reading.trial.status == "done", log_of(reading.spec)
    assert len(reading.final_losses) == 2
    assert paired(untouched, reading) is True


@pytest.mark.slow
def test_runs_a_script_that_sets_its_environment_first_the_same_way(tmp_path: Path) -> None:
    plain = spec_for(tmp_path, DROPOUT, seed=2)
    (forked,) = read_all(plain)
    fresh_text = "import os\nos.environ['OMP_NUM_THREADS'] = '1'\n" + DROPOUT
    (fresh,) = read_all(replace(spec_for(tmp_path, fresh_text, seed=2), folder=str(tmp_path / "fresh")))

    assert forked.run is not None
    assert fresh.run is not None
    assert fresh.run.losses[0].values.tolist() == forked.run.losses[0].values.tolist()
    assert fresh.run.fingerprints == forked.run.fingerprints


def test_knows_a_scripts_own_files_from_installed_ones(tmp_path: Path) -> None:
    import numpy

    assert is_own_source(str(tmp_path / "train.py"))
    assert not is_own_source(str(numpy.__file__))
    assert not is_own_source(__import__("json").__file__)
    assert not is_own_source(__import__("gradiometer").__file__)


def test_notes_the_sources_that_a_script_brought_along(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WIDTH = 8\n")
    (reading,) = read_all(spec_for(tmp_path, "import beside\n" + SIGMOIDS, steps=2))

    assert reading.run is not None
    assert {Path(path).name for path in reading.run.facts["sources"]} == {"train.py", "beside.py"}


def test_treats_a_script_with_an_optimizer_per_layer(tmp_path: Path) -> None:
    text = SIGMOIDS.replace(
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n",
        "optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in model if isinstance(m, nn.Linear)]\n",
    )
    for call in ("zero_grad", "step"):
        text = text.replace(f"    optimizer.{call}()\n", f"    for optimizer in optimizers: optimizer.{call}()\n")
    control = spec_for(tmp_path, text)
    (untouched,) = read_all(control)
    cured = replace(control, cures=("insert_normalisation",), case_file=str(untouched.spec.run_file))
    (reading,) = read_all(cured.placed_in(tmp_path / "treated"))

    assert reading.trial.status == "done", log_of(reading.spec)
    assert reading.run is not None
    assert sum(layer.kind == "BatchNorm1d" for layer in reading.run.layers) == 6
    assert all(parameter.is_optimized for parameter in reading.run.parameters)
