"""What the gain budget says, in plain words: how much of the gradient reaches the input, and what took the rest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.diagnosing.weight_motion import USUAL_RATIO, weight_motions
from gradiometer.gain_budget import GainBudget, GainEntry, GainParts, gain_budget
from gradiometer.schema import Run
from gradiometer.units import decibels, format_db, format_number, ratio_of

PART_WORDS: dict[str, str] = {
    "activation_slope_db": "the activations' greatest slopes (a sigmoid's is 1/4)",
    "saturation_db": "activations working below their greatest slope (saturated, or switched off)",
    "weights_db": "the weights",
    "normalisation_db": "normalising layers",
    "pooling_db": "pooling and dropout",
    "recurrence_db": "recurrent layers",
    "skip_db": "paths that meet, as residual ones do",
    "output_unit_db": "the output unit",
    "other_db": "everything else",
}
"""Part of a gain (`GainParts`, both parts of the weights together) to what it comes from, in words."""

LEAST_SHARE_DB = 0.5
"""Shares smaller than this are in no sentence; JSON has them all."""

KEPT_DB = 6.0
"""A level within a factor of two of the output's counts as kept."""

GLOSS = "dB measures a ratio: -20 dB is a tenth, -40 dB a hundredth"
"""What a decibel is, said once."""


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a change of level, or of an update ratio, with what it comes from."""

    name: str
    share_db: float
    text: str


@dataclass(frozen=True, slots=True)
class LevelStory:
    """How the gradient changes on its way from the loss to the input, in one full measurement.

    Attributes:
        step: Step of the measurement; None where there is no budget.
        layer: The layer at the trunk's far end; empty where there is none.
        level_db: Level there relative to the network's output, dB; -inf where nothing of the gradient is left.
        shares: What the change comes from, largest first; they add up to it.
        sentences: The same in words.
    """

    step: int | None
    layer: str
    level_db: float
    shares: tuple[Share, ...]
    sentences: tuple[str, ...]


def tell_level(run: Run, snapshot_index: int | None) -> LevelStory:
    """Tell what became of the gradient on its way back.

    Args:
        run: The run.
        snapshot_index: The full measurement to tell of; None for none.

    Returns:
        The level and its shares; where the trunk was not seen, only the sentence that says why.
    """
    budget = None if snapshot_index is None or is_unopened(run) else gain_budget(run, snapshot_index)
    entries = [] if budget is None else [entry for entry in budget.entries if not math.isnan(entry.level_db)]
    if budget is None or not entries:
        return LevelStory(None, "", math.nan, (), (reason_without(run),))
    shares = shares_of(budget.totals)
    level_db = budget.level_change_db
    sentences = [level_sentence(budget, entries, level_db)]
    if math.isfinite(level_db) and abs(level_db) >= KEPT_DB:
        told = [f"{format_db(share.share_db)} from {share.text}" for share in shares if is_told(share)]
        if told:
            sentences.append(f"It adds up like this: {', '.join(told)}. ({GLOSS}.)")
        steepest = max(entries, key=lambda entry: abs(entry.gain_db) if math.isfinite(entry.gain_db) else -1.0)
        if math.isfinite(steepest.gain_db) and len(entries) > 2:
            sentences.append(f"Most at one place is {format_db(steepest.gain_db)}, at layer {steepest.layer}.")
    return LevelStory(budget.step, entries[-1].layer, level_db, shares, tuple(sentences))


def is_told(share: Share) -> bool:
    """Whether a share is large enough for a sentence."""
    return abs(share.share_db) >= LEAST_SHARE_DB


def reason_without(run: Run) -> str:
    """Why there is no gain budget."""
    if is_unopened(run):
        return "The layers were not opened, so how the gradient changes from layer to layer is not known."
    if not run.snapshot_count:
        return "No step was measured in full, so nothing is known of the gradient inside the network."
    return "No tensor was found that every gradient has to cross, so the layers' gains do not add up to one level."


def shares_of(parts: GainParts) -> tuple[Share, ...]:
    """The parts of a gain that are not zero, largest first."""
    return named_shares({name: getattr(parts, name) for name in PART_WORDS}, PART_WORDS)


def level_sentence(budget: GainBudget, entries: list[GainEntry], level_db: float) -> str:
    """How much of the gradient is left at the trunk's far end."""
    output, farthest = entries[0].layer, entries[-1].layer
    way = f"At step {budget.step}, on its way back from layer {output} (the output) to layer {farthest}, the gradient"
    if level_db == -math.inf:
        lost = next(entry.layer for entry in entries if -math.inf in (entry.level_db, entry.gain_db))
        return f"{way} was lost altogether: nothing of it is left at layer {lost}."
    if not math.isfinite(level_db):
        return f"{way} can't be followed: its level there is no finite number."
    if abs(level_db) < KEPT_DB:
        return f"{way} kept its size ({format_db(level_db)}): that is as it should be."
    return f"{way} {change_in_words(level_db)} ({format_db(level_db)})."


def change_in_words(level_db: float) -> str:
    """A change of level as a factor.

    Example:
        >>> change_in_words(-40.0), change_in_words(20.0)
        ('shrank to 1/100 of its size', 'grew to 10 times its size')
    """
    if level_db < 0.0:
        return f"shrank to 1/{format_number(ratio_of(-level_db))} of its size"
    return f"grew to {format_number(ratio_of(level_db))} times its size"


def tell_updates(run: Run) -> tuple[str, ...]:
    """Tell how far a step moved the first and the last layer's weights; nothing where that was not measured."""
    motions = [motion for motion in weight_motions(run) if not math.isnan(motion.late_ratio)]
    if not motions:
        return ()
    nearest_output, nearest_input = motions[0], motions[-1]
    usual = f"about {format_number(USUAL_RATIO)} is usual"
    if nearest_input is nearest_output:
        ratio = format_number(nearest_input.late_ratio)
        where = f"the weights of layer {nearest_input.layer} by {ratio} of their size"
        return (f"Late in the run a step moved {where} ({usual}).",)
    low, high = (format_number(motion.late_ratio) for motion in (nearest_input, nearest_output))
    size = f"by {low} of their size" if nearest_input.late_ratio > 0.0 else "not at all"
    words = f"Late in the run a step moved the weights of layer {nearest_input.layer}, nearest the input, {size}, "
    words += f"and those of layer {nearest_output.layer}, nearest the output, by {high}"
    apart = ""
    if nearest_input.late_ratio > 0.0 and nearest_output.late_ratio > 0.0:
        apart_db = decibels(nearest_input.late_ratio / nearest_output.late_ratio)
        apart = f" The two are {abs(apart_db):.0f} dB apart." if abs(apart_db) >= 2.0 * KEPT_DB else ""
    return (f"{words} ({usual}).{apart}",)


def named_shares(shares: Mapping[str, float], words: Mapping[str, str]) -> tuple[Share, ...]:
    """Shares with their words, those of zero left out, largest first."""
    found = [Share(name.removesuffix("_db"), value, words[name]) for name, value in shares.items() if value != 0.0]
    return tuple(sorted(found, key=lambda share: -abs(share.share_db)))
