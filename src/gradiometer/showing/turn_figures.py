"""The table of figures that only some runs have something for, most of them of dear measurements."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from gradiometer.schema import Run
from gradiometer.showing.figures import (
    example_norms,
    gradient_ridge,
    layer_heatmap,
    magnitudes,
    noise_scale,
    own_phase,
    similarity,
    through_time,
    unit_map,
)
from gradiometer.showing.figures.parts import FigureParts


@dataclass(frozen=True, slots=True)
class TurnFigure:
    """One figure that a run may have nothing for.

    Attributes:
        title: Its heading.
        how_to_read: What it shows, in a sentence or three.
        describe: Gives its parts.
        caption: The step that it is from and its main numbers, in words; empty where the run has nothing for it.
    """

    title: str
    how_to_read: str
    describe: Callable[[Run], FigureParts]
    caption: Callable[[Run], str]


def heat_map_of(quantity: str) -> TurnFigure:
    """The heat map of one quantity."""
    return TurnFigure(
        layer_heatmap.HEAT_KINDS[quantity].title,
        layer_heatmap.HOW_TO_READ[quantity],
        partial(layer_heatmap.describe_layer_heatmap, quantity=quantity),
        partial(layer_heatmap.caption_of_layer_heatmap, quantity=quantity),
    )


TURN_FIGURES: Mapping[str, TurnFigure] = {
    "update_heatmap": heat_map_of("update_ratio"),
    "saturated_heatmap": heat_map_of("saturated_share"),
    "dead_heatmap": heat_map_of("dead_share"),
    "through_time": TurnFigure(
        "Gradients through time",
        through_time.HOW_TO_READ,
        through_time.describe_through_time,
        through_time.caption_of_through_time,
    ),
    "similarity": TurnFigure(
        "Similarity and effective rank",
        similarity.HOW_TO_READ,
        similarity.describe_similarity,
        similarity.caption_of_similarity,
    ),
    "unit_map": TurnFigure(
        "Saturated and dead units",
        unit_map.HOW_TO_READ,
        unit_map.describe_unit_map,
        unit_map.caption_of_unit_map,
    ),
    "magnitudes": TurnFigure(
        "Magnitudes by powers of two",
        magnitudes.HOW_TO_READ,
        magnitudes.describe_magnitudes,
        magnitudes.caption_of_magnitudes,
    ),
    "gradient_ridge": TurnFigure(
        "Gradients by powers of two, over the steps",
        gradient_ridge.HOW_TO_READ,
        gradient_ridge.describe_gradient_ridge,
        gradient_ridge.caption_of_gradient_ridge,
    ),
    "example_norms": TurnFigure(
        "Gradients of single examples",
        example_norms.HOW_TO_READ,
        example_norms.describe_example_norms,
        example_norms.caption_of_example_norms,
    ),
    "noise_scale": TurnFigure(
        "Gradient noise scale",
        noise_scale.HOW_TO_READ,
        noise_scale.describe_noise_scale,
        noise_scale.caption_of_noise_scale,
    ),
    "own_phase": TurnFigure(
        "Phase diagram of this network",
        own_phase.HOW_TO_READ,
        own_phase.describe_own_phase,
        own_phase.caption_of_own_phase,
    ),
}
"""By name, in the order of the page."""
