"""How a training goes, as small figures: accuracy, cost, and how much of the error arrives at layer 1."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gradiometer.schema.explored import Course
from gradiometer.showing.figures.parts import FigureParts, axis, layout, numbers
from gradiometer.showing.palette import CONTROL_COLOUR, TREATED_COLOUR

MARKERS_UP_TO = 30
"""Points are marked where there are few of them."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What one figure shows.

    Attributes:
        title: Its axis, with the unit.
        column: Name of the values in a `Course`.
        percent: What to multiply them by.
        span: Range of the axis; None for that of the values.
    """

    title: str
    column: str
    percent: float = 1.0
    span: tuple[float, float] | None = None


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "accuracy": Quantity("accuracy (%)", "accuracies", 100.0, (0.0, 100.0)),
        "cost": Quantity("mean cost", "costs"),
        "level": Quantity("error at layer 1 (dB)", "levels_db"),
    }
)


def describe_course(quantity: Quantity, now: Course, before: Course | None) -> FigureParts:
    """Describe one figure as plain dictionaries.

    Args:
        quantity: What it shows.
        now: The training.
        before: That of the network before the last change, dashed.
    """
    courses = [(now, "now", TREATED_COLOUR, "solid")]
    if before is not None:
        courses.insert(0, (before, "before", CONTROL_COLOUR, "dash"))
    traces = [
        {
            "type": "scatter",
            "x": list(course.steps),
            "y": [None if y is None else quantity.percent * y for y in numbers(getattr(course, quantity.column))],
            "name": name,
            "mode": "lines+markers" if len(course.steps) < MARKERS_UP_TO else "lines",
            "line": {"color": colour, "dash": dash, "width": 2},
            "marker": {"size": 5},
        }
        for course, name, colour, dash in courses
    ]
    bounds = {} if quantity.span is None else {"range": list(quantity.span)}
    return {
        "data": traces,
        "layout": layout(
            210,
            xaxis=axis("step", rangemode="tozero"),
            yaxis=axis(quantity.title, **bounds),
            showlegend=before is not None,
            uirevision="course",
        ),
    }
