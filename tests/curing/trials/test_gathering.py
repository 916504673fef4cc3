from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from curing.trials.trial_material import GAN, SIGMOIDS, spec_for
from gradiometer.curing.trials.gathering import SAMPLES_FILE, Gathering, read_samples
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.pairing import Reading, log_of, read_trial
from gradiometer.curing.trials.spec import TrialSpec


def run(spec: TrialSpec) -> Reading:
    return read_trial(run_trials([spec], workers=1)[0])


def gathered(folder: Path, text: str, **settings: object) -> tuple[Reading, torch.Tensor | None]:
    spec = replace(spec_for(folder, text), sieve="gather", gathers=True, **settings).placed_in(folder / "trials")
    return run(spec), read_samples(Path(spec.folder) / SAMPLES_FILE)


def test_gathers_the_scripts_inputs_and_pretrains_on_them_in_another_trial(tmp_path: Path) -> None:
    reading, samples = gathered(tmp_path, SIGMOIDS)
    assert reading.trial.status == "done", log_of(reading.spec)
    assert reading.trial.sieve == "gather"
    assert samples is not None
    assert samples.shape == (20 * 16, 8)
    known = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))
    assert {tuple(row) for row in samples.tolist()} <= {tuple(row) for row in known.tolist()}

    control = spec_for(tmp_path, SIGMOIDS)
    file = str(Path(reading.spec.folder) / SAMPLES_FILE)
    spec = replace(control, cures=("pretrain_layers",), samples_file=file).placed_in(tmp_path / "treated")
    treated = run(spec)
    assert treated.trial.status == "done", treated.trial.detail
    assert treated.run is not None
    (change,) = treated.run.facts["cure_changes"]
    assert change["text"].startswith("6 layer(s) were learned one after the other from 320 inputs")
    untreated = run(control)
    assert untreated.run is not None
    assert treated.run.fingerprints == untreated.run.fingerprints
    assert len(treated.run.fingerprints) == 20


def test_says_that_no_inputs_were_gathered_where_a_cure_needs_them(tmp_path: Path) -> None:
    spec = replace(spec_for(tmp_path, SIGMOIDS), cures=("pretrain_layers",)).placed_in(tmp_path / "treated")
    reading = run(spec)
    assert reading.trial.status == "refused"
    assert "no inputs of the model were gathered" in reading.trial.detail


def test_gathers_from_the_first_root_only_what_is_data(tmp_path: Path) -> None:
    reading, samples = gathered(tmp_path, GAN)
    assert reading.trial.status == "done", log_of(reading.spec)
    assert samples is not None
    assert samples.shape[1] == 4  # the generator's noise; the other root is given pairs


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        (SIGMOIDS.replace("model(inputs[picked])", "model(input=inputs[picked])"), (19 * 16, 8)),
        ("import torch\nmodel = torch.nn.Embedding(3, 2)\noptimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
         "for step in range(3):\n    model(torch.tensor([step])).sum().backward()\n    optimizer.step()\n", None),
    ],
)  # fmt: skip
def test_gathers_keywords_and_no_integers(tmp_path: Path, text: str, shape: tuple[int, ...] | None) -> None:
    reading, samples = gathered(tmp_path, text)
    assert reading.trial.status == "done", log_of(reading.spec)
    assert (None if samples is None else tuple(samples.shape)) == shape


def test_ends_the_run_when_it_has_enough(tmp_path: Path) -> None:
    text = SIGMOIDS.replace("randperm(64)[:16]", "randint(0, 64, (3000,))")
    reading, samples = gathered(tmp_path, text)
    assert reading.trial.status == "done", log_of(reading.spec)
    assert reading.trial.step_count == 4
    assert samples is not None
    assert samples.shape == (10_000, 8)


def test_keeps_one_batch_of_a_step_from_the_root_that_came_first() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    gathering = Gathering()
    gathering.note(first, 0, (torch.ones(3, dtype=torch.int64), {"x": [torch.zeros(3, 2)]}))
    gathering.note(first, 0, (torch.ones(3, 2),))
    gathering.note(second, 1, (torch.ones(3, 2),))
    gathering.note(first, 2, (torch.ones(3, 5),))
    gathering.note(first, 2, (torch.ones(0, 2), torch.ones(()), torch.ones(3, 2).to_sparse()))
    assert gathering.example_count == 3
    gathering.note(first, 2, (torch.full((4, 2), 2.0, dtype=torch.bfloat16),))
    assert gathering.example_count == 7
    assert not gathering.is_full


@pytest.mark.parametrize(
    ("gathering", "count"),
    [(Gathering(limit_examples=5), 5), (Gathering(limit_bytes=3 * 4 * 8), 3), (Gathering(limit_bytes=1), 1)],
)
def test_keeps_no_more_than_its_limits(gathering: Gathering, count: int, tmp_path: Path) -> None:
    model, batch = nn.Linear(2, 4), torch.arange(16.0).reshape(2, 2, 4)
    for step in range(4):
        gathering.note(model, step, (batch,))
        batch.add_(100.0)  # a script may fill one and the same tensor again
    assert gathering.is_full
    gathering.write(tmp_path)
    samples = read_samples(tmp_path / SAMPLES_FILE)
    assert samples is not None
    assert samples.shape == (count, 2, 4)
    assert samples[:, 0, 0].tolist() == [0.0, 8.0, 100.0, 108.0, 200.0][:count]


def test_reads_no_file_that_holds_anything_but_such_numbers(tmp_path: Path) -> None:
    assert read_samples(tmp_path / "missing.npy") is None
    file = tmp_path / SAMPLES_FILE
    for content in (b"", b"not numpy", b"\x93NUMPY"):
        file.write_bytes(content)
        assert read_samples(file) is None
    for array in (np.array([{"a": 1}], dtype=object), np.arange(3), np.float32(1.0), np.zeros((0, 2), np.float32)):
        np.save(file, array, allow_pickle=True)
        assert read_samples(file) is None
    Gathering().write(tmp_path / "nowhere")
