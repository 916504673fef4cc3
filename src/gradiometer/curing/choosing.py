"""Chooses the cures worth trying: by the findings' causes, by what theory foretells of each, and by depth.

Causes come first: each finding names its cause with its share of the damage, and the prescriptions say what acts on
that cause. Theory then looks at each of these: mean-field theory foretells the level at the network's far end after a
change of activations, weights or normalisation (`gradiometer.forecasting`), and what would leave a gradient as
unbalanced as it is goes behind. A network so deep that theory's learning rate lies far below the script's gets the two
together, for neither trains it alone. What the first measured steps of each show decides on further pairs
(`gradiometer.curing.trials.pairs`).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradiometer.curing.optimizer import MOMENTUM, OPTIMIZERS, USUAL_MOMENTUM
from gradiometer.curing.trials.strain import ILL_DB
from gradiometer.diagnosing.update_shares import momentum_of
from gradiometer.forecasting import forecast_level
from gradiometer.gain_budget import gain_budget, is_normalising
from gradiometer.prescribing import cure_names, cures_for
from gradiometer.schema import Finding, Run
from gradiometer.theory.learning_rate import suggested_learning_rate
from gradiometer.units import format_db, format_setting

MOST_CANDIDATES = 8
"""Cures worth trying for one run: the first sieve takes seconds for each."""

DEEP_LAYERS = 30
"""Layers with weights from which on the learning rate that theory suggests is looked at: below, depth does not limit
it more than the data do."""

FAR_RATIO = 3.0
"""A script's learning rate this many times above the suggested one is changed along with the weights."""

BEARABLE_RATIO = 2.0
"""A found rate may be so many times the suggested one: beyond two to three times it deep plain networks came apart,
later than a range test sees."""

SHORTENING = frozenset({"insert_normalisation", "add_residual_paths", "exchange_optimizer"})
"""Cures after which a network is no plain deep one, or its rate of another kind."""

SEARCHED_RATE = "change_learning_rate:range"
"""The label of a learning rate that is to be found by a range test."""

RELATIVES = frozenset({"adam", "adamw", "nadam", "radam"})
"""Optimizers whose steps are about as long at the same learning rate."""

RECURRENT_KINDS = frozenset({"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"})
GATED_KINDS = frozenset({"LSTM", "GRU", "LSTMCell", "GRUCell"})
BATCH_NORM_KINDS = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"})

ACTS_ON: dict[str, frozenset[str]] = {
    "exchange_recurrence": RECURRENT_KINDS,
    "redraw_recurrent_weights": RECURRENT_KINDS,
    "open_forget_gates": GATED_KINDS,
    "exchange_normalisation": BATCH_NORM_KINDS,
}
"""Cures that act on some kinds of layers alone: where the run has none, they are not worth a trial."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cure that is worth trying.

    Attributes:
        label: Its label.
        cause: The cause that it is prescribed for.
        forecast_db: Level at the trunk's far end that theory foretells with it, relative to the output, dB; None
            where theory has nothing to say.
        reason: Why it is tried, in words.
    """

    label: str
    cause: str
    forecast_db: float | None = None
    reason: str = ""

    @property
    def is_balanced(self) -> bool:
        """Whether theory expects a gradient that a training can live with, or expects nothing."""
        return self.forecast_db is None or abs(self.forecast_db) <= ILL_DB


def choose_candidates(
    findings: Sequence[Finding],
    run: Run | None,
    most: int = MOST_CANDIDATES,
    left_out: Collection[str] = (),
) -> tuple[Candidate, ...]:
    """Choose the cures worth trying.

    The first finding's main cause comes first, since it is the worst; the causes beside it and the other findings
    fill up. The best cure of each further finding is sure of a place.

    Args:
        findings: What was found, worst first.
        run: The run that it was found in; None leaves theory out.
        most: How many candidates there may be.
        left_out: Names of cures that are not to be chosen, alone or as part of a pair.

    Returns:
        The candidates, the most promising first; empty without findings or where none has a cure.
    """
    groups = [prescribed(finding) for finding in findings]
    groups = [[known for known in group if not cure_names(known.label) & set(left_out)] for group in groups]
    if run is not None:
        groups = [[known for known in group if has_something_to_act_on(known.label, run)] for group in groups]
        groups = [ordered_by_theory(group, run) for group in groups]
    if run is not None and "change_learning_rate" not in left_out:
        groups = [with_own_rate(with_suggested_rate(group, run), run) for group in groups]
    chosen: dict[str, Candidate] = {}
    for candidate in [candidate for group in groups for candidate in group]:
        chosen.setdefault(candidate.label, candidate)
    sure = list(dict.fromkeys(group[0].label for group in groups if group))[:most]
    rest = [label for label in chosen if label not in sure][: most - len(sure)]
    kept = {*sure, *rest}
    return tuple(candidate for label, candidate in chosen.items() if label in kept)


def asked_for(labels: Sequence[str]) -> tuple[Candidate, ...]:
    """Candidates that a user asks for."""
    return tuple(Candidate(label, "", reason="asked for") for label in labels)


def prescribed(finding: Finding) -> list[Candidate]:
    """What is prescribed for a finding: its own cures first, then those of the causes beside the main one."""
    found = {label: finding.cause.name for label in finding.cures}
    for cause in (finding.cause, *finding.other_causes):
        for label in cures_for(finding.condition, cause.name):
            found.setdefault(label, cause.name)
    return [Candidate(label, cause, reason=f"for {cause.replace('_', ' ')}") for label, cause in found.items()]


def has_something_to_act_on(label: str, run: Run) -> bool:
    """Whether the run has layers of the kinds that every part of a cure acts on, and a momentum to be lowered."""
    kinds = {layer.kind for layer in run.layers}
    if f"exchange_optimizer:{MOMENTUM}" in label.split("+") and greatest_momentum(run) <= USUAL_MOMENTUM:
        return False
    return all(kinds & ACTS_ON[name] for name in cure_names(label) if name in ACTS_ON)


def greatest_momentum(run: Run) -> float:
    """The greatest momentum of the run's optimizers; 0 where they have none."""
    kinds = {str(known.optimizer) for known in run.parameters if known.optimizer}
    return max((momentum_of(run, kind) for kind in kinds), default=0.0)


def ordered_by_theory(candidates: Sequence[Candidate], run: Run) -> list[Candidate]:
    """Note what theory foretells of each, and put those behind that would leave the gradient unbalanced.

    Nothing is moved where the gradient is balanced as it is: then the trouble is another.
    """
    index = first_usable_snapshot(run)
    if index is None:
        return list(candidates)
    now_db = gain_budget(run, index).gain_db
    told = [with_forecast(candidate, run, index, now_db) for candidate in candidates]
    if math.isfinite(now_db) and abs(now_db) <= ILL_DB:
        return told
    return [known for known in told if known.is_balanced] + [known for known in told if not known.is_balanced]


def with_forecast(candidate: Candidate, run: Run, index: int, now_db: float) -> Candidate:
    """A candidate with the level that theory foretells."""
    foretold = forecast_level(run, index, candidate.label)
    if foretold is None:
        return candidate
    text = f"theory: {format_db(now_db)} at the input would become {format_db(foretold.level_db)}"
    return replace(candidate, forecast_db=foretold.level_db, reason=f"{candidate.reason}; {text}")


def first_usable_snapshot(run: Run) -> int | None:
    """The first full measurement with a finite level anywhere: what a cure starts from; None without one."""
    if not run.snapshot_count or "level_db" not in run.layer_columns:
        return None
    usable = np.flatnonzero(np.isfinite(run.layer_column("level_db")).any(axis=1))
    return int(usable[0]) if len(usable) else None


def with_suggested_rate(candidates: Sequence[Candidate], run: Run) -> list[Candidate]:
    """Where a network is deep and its learning rate far above theory's, let the signal's cures bring a found rate."""
    depth, rate, suggested = weighted_depth(run), script_rate(run), suggested_rate(run)
    if suggested is None or rate is None or rate < FAR_RATIO * suggested:
        return list(candidates)
    text = f"theory: {depth} layers bear a learning rate of about {suggested:.1g}, the script's is {rate:g}"
    found = []
    for candidate in candidates:
        acts = candidate.forecast_db is not None and "change_learning_rate" not in cure_names(candidate.label)
        if acts:
            label = f"{candidate.label}+{SEARCHED_RATE}"
            found.append(replace(candidate, label=label, reason=f"{candidate.reason}; {text}"))
        else:
            found.append(candidate)
    return found


def with_own_rate(candidates: Sequence[Candidate], run: Run) -> list[Candidate]:
    """Keep the script's learning rate where a pair exchanges the optimizer for a relative of it.

    In a pair the exchange is for another end than the length of a step, such as a decay that acts on the weights
    directly: the rate that an author chose for Adam is the better one for AdamW, too, than that which AdamW is usually
    started with. Alone the exchange stays as it is, for the usual rate may be all that it brings.
    """
    rate, kinds = script_rate(run), {str(known.optimizer).lower() for known in run.parameters if known.optimizer}
    if rate is None or not kinds or not kinds <= RELATIVES or not has_one_rate(run):
        return list(candidates)
    own = float(f"{rate:.3g}")
    text = f"at the script's own rate of {own:g}"
    return [
        replace(
            known,
            label=f"{known.label}+change_learning_rate:={format_setting(own)}",
            reason=f"{known.reason}; {text}" if known.reason else text,
        )
        if joins_relative(known.label, own)
        else known
        for known in candidates
    ]


def joins_relative(label: str, own: float) -> bool:
    """Whether a pair exchanges the optimizer for one of `RELATIVES` and leaves open at which rate, `own` not its usual.

    Example:
        >>> labels = ["scale_loss+exchange_optimizer:adamw", "exchange_optimizer:adamw"]
        >>> [joins_relative(label, 0.003) for label in labels]
        [True, False]
    """
    parts = dict(part.partition(":")[::2] for part in label.split("+"))
    to = parts.get("exchange_optimizer")
    is_open = len(parts) > 1 and "change_learning_rate" not in parts
    return is_open and to in RELATIVES and OPTIMIZERS[str(to)].learning_rate != own


def has_one_rate(run: Run) -> bool:
    """Whether all parameters are trained at one learning rate in every full step."""
    rates = run.parameter_columns.get("learning_rate")
    if rates is None or not rates.size:
        return False
    return all(len(np.unique(row[np.isfinite(row)])) == 1 for row in rates)


def suggested_rate(run: Run) -> float | None:
    """The learning rate that theory suggests for a network's depth; None where it is not deep or has norms."""
    depth = weighted_depth(run)
    if depth < DEEP_LAYERS or any(is_normalising(layer) for layer in run.layers):
        return None
    return suggested_learning_rate(depth, optimizer=kind_of_descent(run), width=middle_width(run))


def greatest_rate(label: str, run: Run | None) -> float | None:
    """The greatest rate that a range test may find for a network under a cure; None where depth sets no limit."""
    suggested = None if run is None or cure_names(label) & SHORTENING else suggested_rate(run)
    return None if suggested is None else BEARABLE_RATIO * suggested


def weighted_depth(run: Run) -> int:
    """Layers with weights one after the other: those of the trunk."""
    if not run.snapshot_count or "trunk_position" not in run.layer_columns:
        return 0
    is_on_trunk = (~np.isnan(run.layer_column("trunk_position"))).any(axis=0)
    return sum(
        bool(layer.fan_in) and on_trunk for layer, on_trunk in zip(run.layers, np.atleast_1d(is_on_trunk), strict=True)
    )


def kind_of_descent(run: Run) -> str:
    """Whether steps follow the gradient's size or not, as `gradiometer.theory.learning_rate` tells optimizers apart."""
    names = {str(parameter.optimizer) for parameter in run.parameters if parameter.optimizer}
    return "sgd" if names <= {"SGD", "ASGD"} else "adam"


def middle_width(run: Run) -> int:
    """Median fan-in of the layers with weights; 1 where none is known."""
    widths = [layer.fan_in for layer in run.layers if layer.fan_in]
    return int(np.median(widths)) if widths else 1


def script_rate(run: Run) -> float | None:
    """The script's learning rate: the greatest that was recorded; None where none was."""
    rates = run.step_columns.get("learning_rate", np.zeros(0))
    usable = rates[np.isfinite(rates) & (rates > 0.0)]
    return float(usable.max()) if len(usable) else None
