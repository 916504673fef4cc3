"""One layer's two ledgers and its units: what it does to the gradient and why, how far its weights move and why."""

import math
from dataclasses import dataclass, fields
from difflib import get_close_matches

from gradiometer.diagnosing.update_shares import shares_of_update
from gradiometer.diagnosing.weight_motion import weight_motions
from gradiometer.errors import SettingsError
from gradiometer.explaining.budget_words import Share, named_shares, shares_of
from gradiometer.gain_budget import GainParts, gain_budget, split_gain
from gradiometer.schema import Layer, Run

UPDATE_WORDS: dict[str, str] = {
    "gradient_db": "the gradient that came to the weights, relative to their size",
    "clipping_db": "clipping",
    "learning_rate_db": "the learning rate, against the one that is usual for the optimizer",
    "optimizer_db": "what the optimizer made of these (momentum, scaling, weight decay)",
}
"""Part of an update ratio (`UpdateShares`) to what it comes from, in words."""


@dataclass(frozen=True, slots=True)
class UpdateStory:
    """How far a step moved a layer's weights.

    Attributes:
        parameter: Name of the weights.
        ratio: Update ratio in the measurement told of; nan where it was not measured.
        late_ratio: Median over the later half of the run.
        shares: What its distance from the usual ratio comes from, largest first; they add up to it.
    """

    parameter: str
    ratio: float
    late_ratio: float
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class LayerStory:
    """One layer in one full measurement; nan for what was not measured.

    Attributes:
        layer: Its name.
        kind: Class of the module or name of the function.
        call_site: `file:line` of its call, where it is known.
        step: Step of the measurement; None where there is none.
        level_db: Level at its output, relative to the network's output, dB.
        gain_db: Its own gain, dB.
        gain_shares: What the gain comes from, largest first; they add up to it.
        weights_excess_db: How far the scale of its weights is above the critical one, dB; None where unknown.
        unit_count: Units at its output, None where unknown.
        saturated_share: Newest share of its units that are saturated.
        dead_share: Newest share of its units that are dead.
        linear_share: Newest share of its units that only scale.
        update: How far its weights move; None for a layer without weights that an optimizer moves.
    """

    layer: str
    kind: str
    call_site: str | None
    step: int | None
    level_db: float
    gain_db: float
    gain_shares: tuple[Share, ...]
    weights_excess_db: float | None
    unit_count: int | None
    saturated_share: float
    dead_share: float
    linear_share: float
    update: UpdateStory | None


def tell_layer(run: Run, name: str, snapshot_index: int | None) -> LayerStory:
    """Tell of one layer.

    Args:
        run: The run.
        name: Name of the layer; where layers were not opened, the path of its parameters.
        snapshot_index: The full measurement to tell of; None for none.

    Returns:
        Its ledgers and units.

    Raises:
        SettingsError: The run has no such layer; the message names the nearest ones.
    """
    update = tell_update(run, name, snapshot_index)
    layer = next((layer for layer in run.layers if layer.name == name), None)
    if layer is None:
        if update is None:
            raise SettingsError(unknown_layer(run, name))
        layer = Layer(name, "not opened", "leaf", 0)
    is_measured = snapshot_index is not None and layer in run.layers
    column = run.layer_index(name) if is_measured else 0
    index = snapshot_index if is_measured and snapshot_index is not None else None
    gain_db, parts, excess_db = gain_of(run, layer, index)
    return LayerStory(
        layer=name,
        kind=layer.kind,
        call_site=layer.call_site,
        step=None if snapshot_index is None else int(run.snapshot_steps[snapshot_index]),
        level_db=math.nan if index is None else number_at(run, "level_db", index, column),
        gain_db=gain_db,
        gain_shares=shares_of(parts),
        weights_excess_db=excess_db,
        unit_count=layer.unit_count,
        saturated_share=newest_at(run, "saturated_share", column, is_known=index is not None),
        dead_share=newest_at(run, "dead_share", column, is_known=index is not None),
        linear_share=newest_at(run, "linear_share", column, is_known=index is not None),
        update=update,
    )


def gain_of(run: Run, layer: Layer, index: int | None) -> tuple[float, GainParts, float | None]:
    """Gain of a layer with its parts, from the trunk where it stands there; and its weights' excess over critical."""
    if index is None:
        return math.nan, GainParts(), None
    budget = gain_budget(run, index)
    excess_db = budget.excesses_db.get(layer.name)
    for entry in budget.entries:
        if entry.layer == layer.name:
            return entry.gain_db, entry.parts, excess_db
    gain_db = number_at(run, "gain_db", index, run.layer_index(layer.name))
    return gain_db, split_gain(layer, gain_db, budget.beside.get(layer.name)), excess_db


def number_at(run: Run, name: str, index: int, column: int) -> float:
    """One number of a layer in one full measurement; nan where it was not measured."""
    grid = run.layer_columns.get(name)
    return math.nan if grid is None else float(grid[index, column])


def newest_at(run: Run, name: str, column: int, *, is_known: bool) -> float:
    """A layer's newest value of a column; nan where there is none."""
    return float(run.newest_of(name)[column]) if is_known and name in run.layer_columns else math.nan


def tell_update(run: Run, name: str, snapshot_index: int | None) -> UpdateStory | None:
    """How far a layer's weights move and why; None where it has none that move."""
    motion = next((motion for motion in weight_motions(run) if motion.layer == name), None)
    if motion is None or snapshot_index is None:
        return None
    shares = shares_of_update(run, motion, snapshot_index)
    numbers = {spec.name: float(getattr(shares, spec.name)) for spec in fields(shares)}
    ratio = float(motion.ratios[snapshot_index])
    return UpdateStory(motion.parameter, ratio, motion.late_ratio, named_shares(numbers, UPDATE_WORDS))


def unknown_layer(run: Run, name: str) -> str:
    """Say that a run has no such layer, and which ones it has."""
    names = [layer.name for layer in run.layers] or [motion.layer for motion in weight_motions(run)]
    near = get_close_matches(name, names, n=5, cutoff=0.4) or names[:5]
    if not near:
        return f"the run has no layer {name!r}: no layer was measured in it."
    return f"the run has no layer {name!r}; it has {len(names)}, among them {', '.join(near)}."
