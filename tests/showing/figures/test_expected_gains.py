import math

import numpy as np
import pytest
import torch
from torch import nn

import gradiometer
from gradiometer.schema import Run
from gradiometer.showing.figures.expected_gains import expected_gains
from gradiometer.showing.figures.gain_ladder import describe_gain_ladder
from showing.made_run import made_run


@pytest.fixture(scope="module")
def recorded_run() -> Run:
    """One step of a wide tanh network, its weights as they were drawn."""
    width, depth = 256, 4
    torch.manual_seed(0)
    layers = [part for _ in range(depth) for part in (nn.Linear(width, width), nn.Tanh())]
    net = nn.Sequential(*layers, nn.Linear(width, 4))
    descent = torch.optim.SGD(net.parameters(), lr=1e-9)
    with gradiometer.watch(net, descent) as session:
        loss = nn.functional.mse_loss(net(torch.randn(256, width)), torch.randn(256, 4))
        loss.backward()
        descent.step()
    return session.run


def test_expects_what_a_wide_network_of_random_weights_does(recorded_run: Run) -> None:
    run = recorded_run
    expected = expected_gains(run, 0)
    assert len(expected) == 9
    for column, layer in enumerate(run.layers):
        gain = run.layer_columns["gain_db"][0, column]
        # Of 256 random units a gain wanders by a few tenths of a decibel.
        assert math.isnan(gain) or expected[layer.name] == pytest.approx(gain, abs=0.7), layer.name


def test_draws_the_expected_level_beside_the_measured_one(recorded_run: Run) -> None:
    run = recorded_run
    (line,) = [trace for trace in describe_gain_ladder(run)["data"] if trace["name"] == "level that theory expects"]
    lowest = np.nanmin(run.layer_columns["level_db"][0])
    assert line["x"][0] == 0.0
    assert line["x"][-1] == pytest.approx(lowest, abs=1.5)
    assert len(line["y"]) == len(run.layers) + 1


def test_expects_nothing_where_sizes_were_not_measured() -> None:
    assert expected_gains(Run(), 0) == {}
    bare = made_run(2)
    bare.parameter_columns["weight_rms"][:] = math.nan
    bare.layer_columns["output_rms"][:] = math.nan
    assert expected_gains(bare, 0) == {}
    assert "level that theory expects" not in [trace["name"] for trace in describe_gain_ladder(bare)["data"]]
