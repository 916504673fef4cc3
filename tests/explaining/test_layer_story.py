import math

import pytest

from gradiometer.errors import SettingsError
from gradiometer.explaining.layer_story import tell_layer
from gradiometer.schema import Run
from gradiometer.units import decibels
from showing.made_run import made_run


def test_splits_a_layers_gain_without_remainder():
    run = made_run()
    for name in ("body.1", "body.2", "body.20"):
        story = tell_layer(run, name, 0)
        assert sum(share.share_db for share in story.gain_shares) == pytest.approx(story.gain_db, abs=1e-9)
        assert story.level_db == float(run.layer_columns["level_db"][0, run.layer_index(name)])
    assert tell_layer(run, "body.1", 0).gain_shares[0].name == "activation_slope"


def test_splits_a_layers_update_ratio_without_remainder():
    run = made_run()
    update = tell_layer(run, "body.20", 3).update
    assert update is not None
    assert update.parameter == "body.20.weight"
    assert sum(share.share_db for share in update.shares) == pytest.approx(decibels(update.ratio / 1e-3), abs=1e-9)


def test_tells_units_of_an_activation_and_no_update():
    story = tell_layer(made_run(), "body.1", 0)
    assert (story.unit_count, story.saturated_share, story.dead_share, story.update) == (64, 0.125, 0.0, None)
    assert math.isnan(story.linear_share)


def test_names_the_nearest_layers_where_there_is_no_such_one():
    with pytest.raises(SettingsError, match=r"no layer 'body.99'; it has 21, among them body\.\d"):
        tell_layer(made_run(), "body.99", 0)
    with pytest.raises(SettingsError, match="no layer was measured in it"):
        tell_layer(Run(), "body.0", None)


def test_tells_of_a_layer_without_any_measurement():
    run = Run(layers=made_run(1).layers)
    story = tell_layer(run, "body.1", None)
    assert (story.step, story.kind) == (None, "Sigmoid")
    assert math.isnan(story.gain_db)
