"""Update ratios as the conditions read them, against the weights themselves."""

import pytest
import torch
from specimens import Chain, descent, draw, draw_he, make_clusters, train
from torch import nn
from torch.nn import functional as F

from gradiometer.diagnosing.weight_motion import updates_are_measured, weight_motions
from gradiometer.schema import Run
from gradiometer.session import watch


def test_reads_the_ratio_that_the_weights_show():
    torch.manual_seed(0)
    model = draw(Chain(2, nn.ReLU()), draw_he)
    points, labels = make_clusters(64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    before = model.hidden[0].weight.detach().clone()
    with watch(model, optimizer, overhead=1.0) as watching:
        F.cross_entropy(model(points), labels).backward()
        optimizer.step()
    expected = ((model.hidden[0].weight.detach() - before).norm() / before.norm()).item()
    motions = weight_motions(watching.run)
    assert [motion.layer for motion in motions] == ["output", "hidden.1", "hidden.0"]
    assert motions[-1].late_ratio == pytest.approx(expected, rel=1e-5)


def test_leaves_out_weights_that_stand_still_on_purpose():
    torch.manual_seed(0)
    model = draw(Chain(3, nn.ReLU()), draw_he)
    model.hidden[0].requires_grad_(requires_grad=False)
    groups = [
        {"params": list(model.output.parameters())},
        {"params": list(model.hidden[1].parameters()), "lr": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    points, labels = make_clusters(64)
    with watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model(points), labels).backward()
            optimizer.step()
    assert [motion.layer for motion in weight_motions(watching.run)] == ["output"]


def test_counts_only_the_rows_of_an_embedding_that_were_looked_up():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(2000, 4), nn.Flatten(), nn.Linear(8, 10))
    words = torch.randint(0, 5, (640, 2))
    run = train(model, descent(0.1), steps=4, data=(words, torch.randint(0, 10, (640,))))
    embedding = next(motion for motion in weight_motions(run) if motion.layer == "0")
    column = [parameter.name for parameter in run.parameters].index("0.weight")
    raw = run.parameter_columns["update_ratio"][-1, column]
    # Five rows of 2000 were looked up: the others dilute the ratio by the root of 400.
    assert embedding.ratios[-1] == pytest.approx(20.0 * raw, rel=0.3)


def test_measures_no_update_where_the_learning_rate_is_zero():
    assert not updates_are_measured(train(Chain(1, nn.ReLU()), descent(0.0), steps=3))
    assert not updates_are_measured(Run())
    assert weight_motions(Run()) == ()
