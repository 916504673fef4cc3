"""Figures: pure functions from a run to a picture, one per file.

`describe_<name>` gives the picture as plain dictionaries (what the report embeds, without importing plotly);
`draw_<name>` gives the same as a plotly figure, for notebooks.
"""

from gradiometer.showing.figures.gain_ladder import describe_gain_ladder, draw_gain_ladder
from gradiometer.showing.figures.layer_heatmap import describe_layer_heatmap, draw_layer_heatmap
from gradiometer.showing.figures.learning_speed import describe_learning_speed, draw_learning_speed
from gradiometer.showing.figures.loss_and_updates import describe_loss_and_updates, draw_loss_and_updates
from gradiometer.showing.figures.trial_pairs import describe_trial_pairs, draw_trial_pairs

__all__ = [
    "describe_gain_ladder",
    "describe_layer_heatmap",
    "describe_learning_speed",
    "describe_loss_and_updates",
    "describe_trial_pairs",
    "draw_gain_ladder",
    "draw_layer_heatmap",
    "draw_learning_speed",
    "draw_loss_and_updates",
    "draw_trial_pairs",
]
