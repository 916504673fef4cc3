"""Early layers receive so little gradient that they do not learn.

What it finds:
    Layers at the input's side whose weights hardly move (true update ratio) while layers nearer the loss move a
    thousand times faster, and at whose outputs the gradient is far below its level at the network's output. Also a
    softmax between two layers and weights drawn at a tenth of the critical scale, where the loss suffers. A low level
    alone is not a finding above `info`: under Adam a gradient of 1e-9 moves weights as far as one of 1e-3.

Why it matters:
    What the first layers pass on stays what it was at random, and everything behind them has to learn from that.
    Under plain descent ten hidden sigmoid layers stay at chance for as long as one cares to wait.

What cures it:
    An activation whose slope is 1 where it works (ReLU, tanh near zero) together with weights drawn for it,
    normalising layers, weights at the critical scale; Adam where early layers get a consistent if tiny gradient.

Source:
    Bengio, Simard, Frasconi 1994; Glorot and Bengio 2010; Nielsen, "Neural Networks and Deep Learning", chapter 5.
    The thresholds are ours, from the calibration trainings in docs/log.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.causes import losing_causes
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.levels import late_levels, lowest_level
from gradiometer.diagnosing.naming import capital, spoken
from gradiometer.diagnosing.onsets import lasting_onset, step_at
from gradiometer.diagnosing.predictions import predict_level
from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.diagnosing.weak_signal import find_weakened
from gradiometer.diagnosing.weight_motion import WeightMotion, moving, weight_motions
from gradiometer.gain_budget import gain_budget
from gradiometer.prescribing import cures_for
from gradiometer.schema import Evidence, Finding, Run, Severity
from gradiometer.units import format_db, format_number


@dataclass(frozen=True, slots=True)
class Starved:
    """The layers that do not learn.

    Attributes:
        motions: Their updates, the frontier first, the input's layer last.
        feeding: Updates of the fastest layer nearer the loss.
        onset: Index of the first full measurement from which on it holds; 0 where only the median tells.
    """

    motions: tuple[WeightMotion, ...]
    feeding: WeightMotion
    onset: int


def find_vanishing(
    run: Run,
    *,
    least_ratio: float = 1e-5,
    least_contrast: float = 1e-3,
    floor_db: float = -40.0,
    settled_share: float = 0.3,
    telling_db: float = -80.0,
) -> list[Finding]:
    """Find early layers that receive too little gradient.

    Args:
        run: The run.
        least_ratio: Update ratio below which weights do not learn: at 1e-5 they need a hundred thousand steps that all
            agree to become others. First layers of our calibration trainings: healthy 2e-5 (long converged) and up,
            starved 1e-6 and down.
        least_contrast: How much slower, as a factor, than the fastest layer nearer the loss; our healthy trainings
            spread over a factor of up to 800 (a sparse embedding below, a head that starts at zero above).
        floor_db: Level above which the gradient is not what they lack.
        settled_share: Share of its start, or of a constant guess' loss, to which the loss has to have come down for
            it to be no more than an `info`: fitting the output's mean alone takes a regression's loss to half.
        telling_db: Level below which it is worth an `info` that layers move all the same, or that updates were not
            measured.

    Returns:
        One finding or none; `warning` where the loss falls all the same, `info` where it has come far down.
    """
    motions = weight_motions(run)
    starved = find_starved(run, motions, least_ratio, least_contrast, floor_db)
    loss = judge_loss(run)
    if starved is None:
        return find_weakened(run, loss, settled_share) or faint_gradient(run, telling_db)
    return [describe(run, starved, severity_of(loss, settled_share), loss)]


def describe(run: Run, starved: Starved, severity: Severity, loss: LossMotion) -> Finding:
    """The finding in words."""
    budget = gain_budget(run, starved.onset)
    cause, *others = losing_causes(run, budget)
    cures = cures_for("vanishing", cause.name)
    slowest, feeding = starved.motions[-1], starved.feeding
    level_db = late_levels(run).get(slowest.layer, math.nan)
    return Finding(
        condition="vanishing",
        severity=severity,
        layers=tuple(motion.layer for motion in starved.motions),
        cause=cause,
        evidence=evidence_of(starved, level_db, loss),
        cures=cures,
        summary=(
            f"From {spoken(starved.motions[0].layer)} back to the input the weights do not learn: the gradient "
            f"{arrives(run, slowest.layer, level_db)}, and its weights {moving(slowest.late_ratio)}, those of "
            f"{spoken(feeding.layer)} {moving(feeding.late_ratio)}. The main cause: {cause.text}."
        ),
        prognosis=prognosis_of(severity),
        step=step_at(run, starved.onset),
        other_causes=tuple(others),
        prediction=predict_level(run, starved.onset, budget, cures),
    )


def severity_of(loss: LossMotion, settled_share: float) -> Severity:
    """How bad it is: nothing to speak of only where the loss has come far down without the early layers."""
    if not loss.is_learning:
        return "critical"
    return "info" if loss.is_settled(settled_share) else "warning"


def find_starved(
    run: Run, motions: tuple[WeightMotion, ...], least_ratio: float, least_contrast: float, floor_db: float
) -> Starved | None:
    """The unbroken row of layers, up to the input's, that hardly move; None where the input's layer learns."""
    if len(motions) < 2 or len(motions[0].ratios) < 2:
        return None
    paces = [pace_of(motion) for motion in motions]
    fastest = running_greatest(paces)
    levels = late_levels(run)
    first = len(motions)
    for rank in range(len(motions) - 1, 0, -1):
        motion, late, level_db = motions[rank], motions[rank].late_ratio, levels.get(motions[rank].layer, math.nan)
        feeding_ratio = paces[fastest[rank - 1]]
        is_slow = motion.is_still_zero or late < min(least_ratio, least_contrast * feeding_ratio)
        if not is_slow or not level_db < floor_db:
            break
        first = rank
    if first == len(motions):
        return None
    feeding = motions[fastest[first - 1]]
    slow = np.nan_to_num(motions[-1].ratios) < least_ratio
    return Starved(motions[first:], feeding, lasting_onset(slow) or 0)


def running_greatest(values: Sequence[float]) -> list[int]:
    """Index of the greatest value among the first ones, for every number of them.

    Example:
        >>> running_greatest([1.0, 3.0, 2.0, 4.0])
        [0, 1, 1, 3]
    """
    greatest: list[int] = []
    for index, value in enumerate(values):
        is_new = not greatest or value > values[greatest[-1]]
        greatest.append(index if is_new else greatest[-1])
    return greatest


def pace_of(motion: WeightMotion) -> float:
    """Late update ratio, 0 where none was measured."""
    return 0.0 if math.isnan(motion.late_ratio) else motion.late_ratio


def last_telling_snapshot(run: Run) -> int:
    """Index of the last full measurement whose levels are known."""
    levels = run.layer_columns["level_db"]
    known = np.flatnonzero((~np.isnan(levels)).any(axis=1))
    return int(known[-1]) if len(known) else run.snapshot_count - 1


def faint_gradient(run: Run, telling_db: float) -> list[Finding]:
    """An `info` where the level is very low although layers move, or nobody knows whether they do."""
    layer, level_db = lowest_level(run)
    if layer is None or not level_db < telling_db:
        return []
    cause, *others = losing_causes(run, gain_budget(run, last_telling_snapshot(run)))
    moves = "yet its weights move" if weight_motions(run) else "whether its weights move was not measured"
    return [
        Finding(
            condition="vanishing",
            severity="info",
            layers=(layer,),
            cause=cause,
            evidence=(Evidence("level", level_db, "dB", f"level at {spoken(layer)}: {format_db(level_db)}"),),
            cures=cures_for("vanishing", cause.name),
            summary=f"The gradient {arrives(run, layer, level_db)}; {moves}. {capital(cause.text)}.",
            prognosis="Under Adam and its kin this need not hurt; under plain descent such layers stand still.",
            other_causes=tuple(others),
        )
    ]


def arrives(run: Run, layer: str, level_db: float) -> str:
    """How a layer's gradient arrives, in words; where layers were not opened, that of its weights."""
    if is_unopened(run):
        weak = "exactly zero" if level_db == -math.inf else f"{level_text(level_db)}'s weights"
        return f"of the weights of {spoken(layer)} is {weak}"
    return f"arrives at {spoken(layer)} {level_text(level_db)}"


def level_text(level_db: float) -> str:
    """A level in words."""
    if level_db == -math.inf:
        return "as exactly zero"
    # A power of ten by hand: below -6160 dB the factor is beyond what a float holds.
    exponent = -level_db / 20.0
    mantissa, power = 10.0 ** (exponent % 1.0), math.floor(exponent)
    return f"at {format_db(level_db)}, {mantissa:.1f}e{power:+03d} times weaker than at the output"


def evidence_of(starved: Starved, level_db: float, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    slowest, feeding, count = starved.motions[-1], starved.feeding, len(starved.motions)
    standing = "1 layer with weights stands still" if count == 1 else f"{count} layers with weights stand still"
    return (
        Evidence(
            "update ratio, slowest layer",
            slowest.late_ratio,
            "",
            f"weights of {spoken(slowest.layer)} {moving(slowest.late_ratio)}",
        ),
        Evidence(
            "update ratio, fastest layer",
            feeding.late_ratio,
            "",
            f"weights of {spoken(feeding.layer)} move by {format_number(feeding.late_ratio)}",
        ),
        Evidence("level", level_db, "dB", f"level at {spoken(slowest.layer)}: {format_db(level_db)}"),
        Evidence("starved layers", count, "", standing),
        Evidence("fall of the loss", loss.fall_share, "", loss.text),
    )


def prognosis_of(severity: Severity) -> str:
    """What happens if nothing is done."""
    if severity == "info":
        return "The layers nearer the loss learn without them; the early ones stay as they were drawn."
    return "These layers stay as they were drawn, and the loss stays near what the last layers alone can reach."
