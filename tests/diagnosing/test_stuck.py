"""Steps without any gradient say nothing of whether weights move."""

from dataclasses import replace

import numpy as np
import torch
from specimens import Chain, descent, draw, draw_he, make_clusters, run_of
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.diagnosing.weight_motion import idle_snapshots, weight_motions
from gradiometer.schema import Run
from gradiometer.session import watch


def train_with_empty_batches(rate: float, reduction: str) -> Run:
    """Every fourth batch is empty; every step is measured."""
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    points, labels = make_clusters()
    optimizer = descent(rate)(model.parameters())
    generator = torch.Generator().manual_seed(1)
    with watch(model, optimizer, overhead=1.0) as watching:
        for step in range(130):
            batch = torch.randint(0, len(points), (32 if step % 4 else 0,), generator=generator)
            optimizer.zero_grad()
            (F.cross_entropy(model(points[batch]), labels[batch], reduction=reduction) / 32).backward()
            optimizer.step()
    return watching.run


def thinned(run: Run, steps: list[int]) -> Run:
    """The same run with only these of its full measurements."""
    kept = np.isin(run.snapshot_steps, steps)
    return replace(
        run,
        snapshot_steps=run.snapshot_steps[kept],
        snapshot_columns={name: values[kept] for name, values in run.snapshot_columns.items()},
        layer_columns={name: values[kept] for name, values in run.layer_columns.items()},
        parameter_columns={name: values[kept] for name, values in run.parameter_columns.items()},
    )


ADVANCE = [0, 1, 2, 4, 8, 16, 32, 64, 128]


def test_is_not_misled_by_empty_batches_on_which_all_later_measurements_fall():
    run = thinned(train_with_empty_batches(0.1, "sum"), ADVANCE)
    assert idle_snapshots(run).tolist() == [True, False, False, True, True, True, True, True, True]
    assert diagnose(run).verdict == "healthy"
    assert all(motion.late_ratio > 1e-4 for motion in weight_motions(run))


def test_takes_the_nan_of_an_empty_batch_for_what_it_is():
    diagnosis = diagnose(thinned(train_with_empty_batches(0.1, "mean"), ADVANCE))
    assert [(f.condition, f.severity) for f in diagnosis.findings] == [("non_finite", "warning")]
    assert "its batch was empty" in diagnosis.findings[0].cause.text


def test_finds_weights_that_hardly_move_between_empty_batches_and_says_what_it_left_out():
    run = thinned(train_with_empty_batches(1e-7, "sum"), [*ADVANCE, 3, 5, 7, 33, 65])
    finding = diagnose(run).findings[0]
    assert finding.condition == "stuck"
    assert "7 measured steps brought no gradient at all" in finding.evidence[-1].text


def test_leaves_no_step_out_of_a_network_that_died_and_kept_its_loss():
    run = run_of("dead", "sick")
    silent = run.parameter_columns | {"gradient_rms": run.parameter_columns["gradient_rms"].copy()}
    silent["gradient_rms"][5:] = 0.0
    assert not idle_snapshots(replace(run, parameter_columns=silent)).any()
