"""What the browser is handed to draw: a figure's parts, and what it shows in words; each made once for all browsers."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from gradiometer.schema import Run
from gradiometer.showing.dashboard.shelf import Seen
from gradiometer.showing.figure_words import alternative_of
from gradiometer.showing.figures import (
    describe_gain_ladder,
    describe_layer_heatmap,
    describe_learning_speed,
    describe_loss_and_updates,
    describe_trial_pairs,
)
from gradiometer.showing.figures.layer_heatmap import HEAT_KINDS
from gradiometer.showing.figures.parts import FigureParts
from gradiometer.showing.main_captions import MAIN_CAPTIONS
from gradiometer.showing.report import FIGURE_TEXTS
from gradiometer.showing.turn_figures import TURN_FIGURES
from gradiometer.showing.wording import frontier_of, worst_finding

Drawn = dict[str, Any]
"""`place`, `parts`, `words` for those who can't see them, and `said`, the figure's main numbers in a sentence."""

HEAT_MAPS = frozenset({"update_heatmap", "saturated_heatmap", "dead_heatmap"})
"""Figures of the report that are one figure here, with a choice of what it shows."""

TURN_NAMES = tuple(name for name in TURN_FIGURES if name not in HEAT_MAPS)
"""Figures that only some runs have something for, in the order of the page."""


def drawn(place: str, title: str, parts: FigureParts, said: str = "") -> Drawn:
    """What the browser is handed for one figure."""
    return {"place": place, "parts": parts, "words": alternative_of(title, parts, said=said), "said": said}


def frontier_in(seen: Seen) -> str | None:
    """The layer at which the worst finding sets in."""
    return frontier_of(worst_finding(seen.diagnosis)) if seen.diagnosis is not None else None


def drawn_over_steps(seen: Seen) -> dict[str, Drawn | None]:
    """Loss, learning speeds and trials: the figures whose axis are the steps, or that no step matters to."""
    return seen.once("over steps", lambda: make_over_steps(seen))


def make_over_steps(seen: Seen) -> dict[str, Drawn | None]:
    """What `drawn_over_steps` keeps."""
    run, frontier = seen.run, frontier_in(seen)
    last = run.snapshot_count - 1 if run.snapshot_count else None
    figures: dict[str, Callable[[], FigureParts]] = {
        "loss_and_updates": lambda: describe_loss_and_updates(run, frontier=frontier),
        "learning_speed": lambda: describe_learning_speed(run, frontier=frontier),
    }
    made: dict[str, Drawn | None] = {
        name: drawn(name, FIGURE_TEXTS[name][0], describe(), MAIN_CAPTIONS[name](run, last))
        for name, describe in figures.items()
    }
    said = MAIN_CAPTIONS["trial_pairs"](run, last)
    pairs = partial(drawn, "trial_pairs", FIGURE_TEXTS["trial_pairs"][0])
    made["trial_pairs"] = pairs(describe_trial_pairs(run), said) if run.outcome is not None else None
    return made


def drawn_turns(seen: Seen) -> dict[str, Drawn | None]:
    """The figures of what took turns; None for those that this run has nothing for."""
    return seen.once("turns", lambda: {name: make_turn(seen.run, name) for name in TURN_NAMES})


def make_turn(run: Run, name: str) -> Drawn | None:
    """One of `drawn_turns`."""
    figure = TURN_FIGURES[name]
    said = figure.caption(run)
    return drawn(name, figure.title, figure.describe(run), said) if said else None


def drawn_heat_map(seen: Seen, quantity: str, open_names: Collection[str]) -> Drawn:
    """The heat map of one quantity, at an openness of the tree."""
    kind = HEAT_KINDS[quantity]
    opened = frozenset(open_names)
    make = partial(describe_layer_heatmap, seen.run, quantity=quantity, frontier=frontier_in(seen), open_names=opened)
    return seen.once((quantity, opened), lambda: drawn("heat_map", kind.title, make()))


def drawn_ladder(seen: Seen, moment: int | None, open_names: Collection[str]) -> Drawn:
    """The gain ladder of one full measurement, at an openness of the tree."""
    findings = seen.diagnosis.findings if seen.diagnosis is not None else ()
    opened = frozenset(open_names)

    def make() -> Drawn:
        parts = describe_gain_ladder(
            seen.run, snapshot_index=moment, frontier=frontier_in(seen), findings=findings, open_names=opened
        )
        return drawn("gain_ladder", "Gain ladder", parts, MAIN_CAPTIONS["gain_ladder"](seen.run, moment))

    return seen.once(("ladder", moment, opened), make)


HEAT_CHOICES: Mapping[str, str] = {
    "level_db": "Level",
    "update_ratio": "Update ratio",
    "saturated_share": "Saturated units",
    "dead_share": "Dead units",
}
"""Quantity of a heat map to its word."""
