"""Figures: pure functions from a run, a theory or a finding of the lab to a picture, one per file.

`describe_<name>` gives the picture as plain dictionaries (what the report embeds, without importing plotly);
`draw_<name>` gives the same as a plotly figure, for notebooks.
"""

from gradiometer.showing.figures.example_norms import describe_example_norms, draw_example_norms
from gradiometer.showing.figures.gain_ladder import describe_gain_ladder, draw_gain_ladder
from gradiometer.showing.figures.gradient_ridge import describe_gradient_ridge, draw_gradient_ridge
from gradiometer.showing.figures.lab_chart import describe_lab_chart, draw_lab_chart
from gradiometer.showing.figures.lab_heat_map import describe_lab_heat_map, draw_lab_heat_map
from gradiometer.showing.figures.layer_heatmap import describe_layer_heatmap, draw_layer_heatmap
from gradiometer.showing.figures.learning_speed import describe_learning_speed, draw_learning_speed
from gradiometer.showing.figures.loss_and_updates import describe_loss_and_updates, draw_loss_and_updates
from gradiometer.showing.figures.magnitudes import describe_magnitudes, draw_magnitudes
from gradiometer.showing.figures.noise_scale import describe_noise_scale, draw_noise_scale
from gradiometer.showing.figures.own_phase import describe_own_phase, draw_own_phase
from gradiometer.showing.figures.phase_diagram import describe_phase_diagram, draw_phase_diagram
from gradiometer.showing.figures.similarity import describe_similarity, draw_similarity
from gradiometer.showing.figures.through_time import describe_through_time, draw_through_time
from gradiometer.showing.figures.trial_pairs import describe_trial_pairs, draw_trial_pairs
from gradiometer.showing.figures.two_runs import describe_two_runs, draw_two_runs
from gradiometer.showing.figures.unit_map import describe_unit_map, draw_unit_map

__all__ = [
    "describe_example_norms",
    "describe_gain_ladder",
    "describe_gradient_ridge",
    "describe_lab_chart",
    "describe_lab_heat_map",
    "describe_layer_heatmap",
    "describe_learning_speed",
    "describe_loss_and_updates",
    "describe_magnitudes",
    "describe_noise_scale",
    "describe_own_phase",
    "describe_phase_diagram",
    "describe_similarity",
    "describe_through_time",
    "describe_trial_pairs",
    "describe_two_runs",
    "describe_unit_map",
    "draw_example_norms",
    "draw_gain_ladder",
    "draw_gradient_ridge",
    "draw_lab_chart",
    "draw_lab_heat_map",
    "draw_layer_heatmap",
    "draw_learning_speed",
    "draw_loss_and_updates",
    "draw_magnitudes",
    "draw_noise_scale",
    "draw_own_phase",
    "draw_phase_diagram",
    "draw_similarity",
    "draw_through_time",
    "draw_trial_pairs",
    "draw_two_runs",
    "draw_unit_map",
]
