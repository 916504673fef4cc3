"""The trials: final loss of control and treated run for every seed, and each cure's difference with its interval."""

import math
from typing import TYPE_CHECKING, Any

from gradiometer.schema import Ranking, Run
from gradiometer.showing.figures.parts import FigureParts, axis, draw, empty_parts, layout, shown_words
from gradiometer.showing.palette import CONTROL_COLOUR, GRID_COLOUR, MARK_COLOUR, TEXT_COLOUR, TREATED_COLOUR
from gradiometer.showing.wording import cures_in_words

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HOW_TO_READ = (
    "Above, one line per seed leads from the untouched control to the cured run, lower is better; below, every cure's "
    "mean difference to the control with its interval: a cure is proved when the whole interval lies left of zero."
)


def describe_trial_pairs(run: Run) -> FigureParts:
    """Describe the paired trials as plain dictionaries.

    Args:
        run: The run, with its outcome.

    Returns:
        The figure's parts; a figure that says so where no trial was run. A final loss that is not finite stands
        above all others, with a mark.
    """
    outcome = run.outcome
    if outcome is None or not (outcome.control or outcome.ranking):
        return empty_parts("No trial was run.")
    pairs = list(zip(outcome.control, outcome.treated, strict=False))
    ranked = [ranking for ranking in outcome.ranking if ranking.interval is not None and ranking.difference is not None]
    confidence = f"{100 * outcome.confidence:.4g} % interval"
    lower_share = min(0.2 + 0.08 * len(ranked), 0.6) if ranked else 0.0
    axes = {
        "xaxis": axis(
            "", tickvals=[0, 1], ticktext=["control", "cured"], range=[-0.35, 1.35], showgrid=False, anchor="y"
        ),
        "yaxis": axis("final loss<br>(mean of the last fifth)", domain=[min(lower_share + 0.16, 1), 1.0]),
    }
    data = pair_traces(pairs)
    if ranked:
        axes |= ranking_axes(ranked, lower_share, confidence)
        data += ranking_traces(ranked, confidence)
    return {"data": data, "layout": layout(420 + 60 * len(ranked), shapes=[zero_line()] if ranked else [], **axes)}


def draw_trial_pairs(run: Run) -> "Figure":
    """Draw the paired trials as a plotly figure; arguments as for `describe_trial_pairs`."""
    return draw(describe_trial_pairs(run))


def pair_traces(pairs: list[tuple[float, float]]) -> list[dict[str, Any]]:
    """One line per seed from control to treated; a loss that is not finite stands above the highest, with a cross."""
    finite = [loss for pair in pairs for loss in pair if math.isfinite(loss)]
    ceiling = max(finite, default=1.0) + 0.1 * max(max(finite, default=1.0) - min(finite, default=0.0), 0.1)
    traces = []
    for seed, pair in enumerate(pairs):
        is_finite = [math.isfinite(loss) for loss in pair]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"pair {seed + 1}",
                "x": [0, 1],
                "y": [loss if ok else ceiling for loss, ok in zip(pair, is_finite, strict=True)],
                "line": {"color": GRID_COLOUR.replace("0.25", "0.6"), "width": 1.5},
                "marker": {
                    "size": 10,
                    "color": [
                        colour if ok else MARK_COLOUR
                        for colour, ok in zip((CONTROL_COLOUR, TREATED_COLOUR), is_finite, strict=True)
                    ],
                    "symbol": [
                        symbol if ok else "x" for symbol, ok in zip(("circle", "diamond"), is_finite, strict=True)
                    ],
                },
                "hovertext": [
                    f"pair {seed + 1}: " + (f"{loss:.4g}" if ok else "not finite")
                    for loss, ok in zip(pair, is_finite, strict=True)
                ],
                "hoverinfo": "text",
                "showlegend": False,
            }
        )
    return traces


def ranking_axes(ranked: list[Ranking], share: float, confidence: str) -> dict[str, Any]:
    """Axes of the lower panel: one row per cure that reached the paired trials."""
    return {
        "xaxis2": axis(f"difference of final loss<br>({confidence})", anchor="y2"),
        "yaxis2": axis(
            "",
            domain=[0.0, share],
            tickvals=list(range(len(ranked))),
            ticktext=[shown_words(cures_in_words(ranking.cures)) for ranking in ranked],
            range=[len(ranked) - 0.4, -0.6],
            showgrid=False,
            anchor="x2",
        ),
    }


def ranking_traces(ranked: list[Ranking], confidence: str) -> list[dict[str, Any]]:
    """The difference of every cure with its interval."""
    differences = [ranking.difference or 0.0 for ranking in ranked]
    intervals = [ranking.interval or (0.0, 0.0) for ranking in ranked]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": confidence,
            "x": differences,
            "y": list(range(len(ranked))),
            "xaxis": "x2",
            "yaxis": "y2",
            "marker": {"size": 9, "color": TREATED_COLOUR, "symbol": "diamond"},
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [high - middle for middle, (_, high) in zip(differences, intervals, strict=True)],
                "arrayminus": [middle - low for middle, (low, _) in zip(differences, intervals, strict=True)],
                "thickness": 2,
                "width": 6,
                "color": TREATED_COLOUR,
            },
            "hovertext": [
                f"{d:.4g} ({low:.4g} to {high:.4g})" for d, (low, high) in zip(differences, intervals, strict=True)
            ],
            "hoverinfo": "text",
            "showlegend": False,
        }
    ]


def zero_line() -> dict[str, Any]:
    """The line of no difference."""
    return {
        "type": "line",
        "xref": "x2",
        "x0": 0,
        "x1": 0,
        "yref": "y2 domain",
        "y0": 0,
        "y1": 1,
        "line": {"color": TEXT_COLOUR, "width": 1.5, "dash": "dot"},
    }
