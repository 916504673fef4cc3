"""Answers to a run's page: its words and figures when the run has grown, and what its controls ask for."""

from bisect import bisect_right
from typing import Any

from dash import Dash, Input, Output, State, no_update

from gradiometer.schema import Run
from gradiometer.showing.dashboard import words
from gradiometer.showing.dashboard.drawn import (
    TURN_NAMES,
    drawn_heat_map,
    drawn_ladder,
    drawn_over_steps,
    drawn_turns,
    frontier_in,
)
from gradiometer.showing.dashboard.shelf import Seen, Shelf
from gradiometer.showing.dashboard.tree import Openness, open_names, tree_table, words_on
from gradiometer.showing.figures.layer_heatmap import HEAT_KINDS
from gradiometer.showing.layer_rows import snapshot_to_show
from gradiometer.showing.wording import worst_finding

OVER_STEPS = ("loss_and_updates", "learning_speed", "trial_pairs")

WORDS = {
    "head": Output("head", "children"),
    "verdict": Output("heading", "className"),
    "title": Output("title", "data"),
    "status": Output("status", "children"),
    "answers": Output("answers", "children"),
    "beside": Output("beside", "children"),
    "findings": Output("findings", "children"),
    "outcome": Output("outcome", "children"),
    "trials": Output("trials", "children"),
    "commands": Output("commands", "children"),
    "measured": Output("measured", "children"),
}


def add_run_answers(application: Dash, shelf: Shelf) -> None:
    """Let the page of a run be answered.

    Args:
        application: The dashboard.
        shelf: The table of runs.
    """
    add_words(application, shelf)
    add_figures(application, shelf)
    add_heat_map(application, shelf)
    add_slider(application, shelf)
    add_moment(application, shelf)


def add_words(application: Dash, shelf: Shelf) -> None:
    """The page's words follow the run."""

    @application.callback(output=WORDS, inputs={"mark": Input("mark", "data")}, state={"key": State("key", "data")})
    def say(mark: str, key: str) -> dict[str, Any]:
        """Write everything that is said of the run; the mark only says that it has changed."""
        seen = shelf.look(str(key))
        if seen is None or not mark:
            return dict.fromkeys(WORDS, no_update)
        return {
            "head": words.head_of(seen),
            "verdict": seen.diagnosis.verdict if seen.diagnosis is not None else "unread",
            "title": f"{words.title_of(seen)}: {words.subject_of(seen)}",
            "status": words.status_line(seen),
            "answers": words.answers_of(seen),
            "beside": words.beside(seen, shelf.found()),
            "findings": words.findings_of(seen),
            "outcome": words.outcome_of(seen),
            "trials": words.trials_of(seen, shelf.found()),
            "commands": words.commands_of(seen),
            "measured": words.measured_of(seen),
        }


def add_figures(application: Dash, shelf: Shelf) -> None:
    """The figures whose axis are the steps follow the run."""

    @application.callback(
        output={name: Output(f"{name}-parts", "data") for name in (*OVER_STEPS, *TURN_NAMES)},
        inputs={"mark": Input("mark", "data")},
        state={"key": State("key", "data")},
    )
    def draw(mark: str, key: str) -> dict[str, Any]:
        """Describe the figures anew."""
        seen = shelf.look(str(key)) if mark else None
        if seen is None or seen.diagnosis is None:
            return dict.fromkeys((*OVER_STEPS, *TURN_NAMES))
        return {**drawn_over_steps(seen), **drawn_turns(seen)}


def add_heat_map(application: Dash, shelf: Shelf) -> None:
    """The heat map follows the run and its controls."""

    @application.callback(
        output={"parts": Output("heat_map-parts", "data"), "words": Output("heat-words", "children")},
        inputs={
            "mark": Input("mark", "data"),
            "quantity": Input("quantity", "data"),
            "opened": Input("opened", "data"),
            "searched": Input("search", "value"),
        },
        state={"key": State("key", "data")},
    )
    def draw_heat_map(mark: str, quantity: Any, opened: Any, searched: Any, key: str) -> dict[str, Any]:
        """Describe the heat map of the chosen quantity."""
        seen = shelf.look(str(key)) if mark else None
        if seen is None or seen.diagnosis is None or str(quantity) not in HEAT_KINDS:
            return {"parts": None, "words": no_update}
        names = open_names(seen, openness_from(opened, searched))
        return {"parts": drawn_heat_map(seen, quantity, names), "words": HEAT_KINDS[quantity].how_to_read}


def add_slider(application: Dash, shelf: Shelf) -> None:
    """The slider follows the run."""

    @application.callback(
        output={
            "moments": Output("moments", "data"),
            "most": Output("moment", "max"),
            "value": Output("moment", "value"),
        },
        inputs={"mark": Input("mark", "data")},
        state={
            "moments": State("moments", "data"),
            "value": State("moment", "value"),
            "key": State("key", "data"),
        },
    )
    def follow(mark: str, moments: Any, value: Any, key: str) -> dict[str, Any]:
        """Give the slider the measurements there are."""
        seen = shelf.look(str(key)) if mark else None
        if seen is None:
            return {"moments": [], "most": 0, "value": 0}
        steps = seen.run.snapshot_steps.tolist()
        return {
            "moments": steps,
            "most": max(len(steps) - 1, 0),
            "value": moment_after(seen, steps, numbers_from(moments), value),
        }


def add_moment(application: Dash, shelf: Shelf) -> None:
    """Ladder and tree follow the slider."""

    @application.callback(
        output={
            "parts": Output("gain_ladder-parts", "data"),
            "tree": Output("tree", "children"),
            "found": Output("tree-words", "children"),
            "words": Output("moment-words", "children"),
        },
        inputs={
            "value": Input("moment", "value"),
            "moments": Input("moments", "data"),
            "opened": Input("opened", "data"),
            "searched": Input("search", "value"),
        },
        state={"key": State("key", "data")},
    )
    def draw_moment(value: Any, moments: Any, opened: Any, searched: Any, key: str) -> dict[str, Any]:
        """Describe ladder and tree at one full measurement."""
        seen = shelf.look(str(key))
        if seen is None or seen.diagnosis is None:
            return {"parts": None, "tree": None, "found": "", "words": ""}
        moment = moment_at(seen.run, numbers_from(moments), value)
        openness = openness_from(opened, searched)
        parts = drawn_ladder(seen, moment, open_names(seen, openness)) if moment is not None else None
        return {
            "parts": parts,
            "tree": tree_table(seen, moment, openness),
            "found": words_on(seen, openness.searched),
            "words": words_at(seen.run, moment),
        }


def numbers_from(moments: Any) -> list[int]:
    """The steps that the slider goes by, as the browser says."""
    return [step for step in moments if type(step) is int] if isinstance(moments, list) else []


def openness_from(opened: Any, searched: Any) -> Openness:
    """Which blocks are open, as the browser says."""
    changed = {str(name): bool(is_open) for name, is_open in opened.items()} if isinstance(opened, dict) else {}
    return Openness(changed, str(searched or ""))


def rank_from(value: Any, count: int) -> int:
    """Where the slider stands among some measurements; the browser may send text."""
    try:
        rank = int(value)
    except (TypeError, ValueError, OverflowError):
        rank = count - 1
    return min(max(rank, 0), max(count - 1, 0))


def moment_at(run: Run, moments: list[int], value: Any) -> int | None:
    """Rank of the full measurement at which the slider stands; the one before where it is not kept any more."""
    if not run.snapshot_count:
        return None
    if not moments:
        return run.snapshot_count - 1
    step = moments[rank_from(value, len(moments))]
    return max(bisect_right(run.snapshot_steps.tolist(), step) - 1, 0)


def moment_after(seen: Seen, steps: list[int], before: list[int], value: Any) -> int:
    """Where the slider stands when the run has grown: at its end where it stood there, else where it was."""
    if not steps:
        return 0
    if not before:
        return moment_at_first(seen, len(steps))
    rank = rank_from(value, len(before))
    if rank == len(before) - 1:
        return len(steps) - 1
    return max(bisect_right(steps, before[rank]) - 1, 0)


def moment_at_first(seen: Seen, count: int) -> int:
    """Where the slider stands at first: the newest of a run that grows, else where its worst finding was told."""
    finding = worst_finding(seen.diagnosis) if seen.diagnosis is not None else None
    if seen.run.facts.get("status", "running") == "running" or finding is None or frontier_in(seen) is None:
        return count - 1
    shown = snapshot_to_show(seen.run, finding.step)
    return count - 1 if shown is None else shown


def words_at(run: Run, moment: int | None) -> str:
    """The step at which the slider stands."""
    if moment is None:
        return "no full measurement yet"
    return f"step {int(run.snapshot_steps[moment]):,} ({moment + 1} of {run.snapshot_count})"
