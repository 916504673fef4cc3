"""Which conditions a run could be judged by at all: what was not measured is neither found nor absent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.unopened import is_unopened
from gradiometer.schema import FloatArray, Run


@dataclass(frozen=True, slots=True)
class Basis:
    """Something that conditions are judged by.

    Attributes:
        is_there: Whether a run has it.
        missing: What is said where it has not.
    """

    is_there: Callable[[Run], bool]
    missing: str


def has_numbers(columns: Mapping[str, FloatArray], name: str) -> bool:
    """Whether a column holds any number.

    Example:
        >>> has_numbers({"level_db": np.array([[np.nan, -3.0]])}, "level_db"), has_numbers({}, "level_db")
        (True, False)
    """
    return name in columns and bool(np.any(~np.isnan(columns[name])))


def in_layers(name: str, missing: str) -> Basis:
    """A basis that is measured of layers."""
    return Basis(lambda run: has_numbers(run.layer_columns, name), missing)


def in_parameters(name: str, missing: str) -> Basis:
    """A basis that is measured of parameters."""
    return Basis(lambda run: has_numbers(run.parameter_columns, name), missing)


LOSS = Basis(lambda run: bool(run.losses), "no loss was seen")
GRADIENTS = in_parameters("gradient_rms", "no gradient was seen at any parameter")
UPDATES = in_parameters("update_rms", "no update of the weights was seen")
LEVELS = Basis(
    lambda run: has_numbers(run.layer_columns, "level_db") or (is_unopened(run) and GRADIENTS.is_there(run)),
    "no gradient was seen at any layer",
)
SATURATED_UNITS = in_layers("saturated_share", "no activation was seen whose units can be saturated")
DEAD_UNITS = Basis(
    lambda run: has_numbers(run.layer_columns, "dead_share") or (is_unopened(run) and GRADIENTS.is_there(run)),
    "no activation was seen whose units can die",
)
LAYERS = Basis(lambda run: bool(run.layers), "the layers were not opened")
TWINS = in_parameters("twin_share", "the units of a layer were not compared")
RANKS = in_layers("output_rank", "similarity was not measured")
THROUGH_TIME = Basis(
    lambda run: any(fades for fades in run.fades.values()), "no gradient through time was measured: nothing recurs"
)
MEMORY = Basis(
    lambda run: THROUGH_TIME.is_there(run) or any(layer.kind in {"RNN", "LSTM", "GRU"} for layer in run.layers),
    THROUGH_TIME.missing,
)
LOSS_PATH = Basis(
    lambda run: isinstance(run.facts.get("loss_path"), Mapping), "how the loss is made of the output was not noted"
)
SCALES = Basis(
    lambda run: any(has_numbers(run.snapshot_columns, name) for name in ("input_rms", "target_rms")),
    "neither inputs nor targets were measured",
)
BATCHES = Basis(
    lambda run: bool(run.examples) or bool(run.facts.get("batch_size")), "how many examples a batch has was not noted"
)
DECAY = Basis(
    lambda run: bool(run.layers) or has_numbers(run.parameter_columns, "weight_decay"),
    "neither layers nor the optimizer's settings were seen",
)

BASES: dict[str, tuple[Basis, ...]] = {
    "vanishing": (GRADIENTS, LEVELS),
    "exploding": (GRADIENTS, LEVELS),
    "saturated": (SATURATED_UNITS,),
    "dead": (DEAD_UNITS,),
    "stuck": (UPDATES,),
    "non_finite": (LOSS,),
    "stalled": (LOSS,),
    "thrashing": (UPDATES,),
    "disconnected": (LOSS,),
    "accumulating": (GRADIENTS,),
    "mismatched_loss": (LOSS_PATH,),
    "linear": (LAYERS,),
    "over_regularised": (DECAY,),
    "unscaled_input": (SCALES,),
    "symmetric": (TWINS,),
    "underflowing": (GRADIENTS,),
    "diverging": (LOSS,),
    "oscillating": (LOSS,),
    "noisy": (LOSS, BATCHES),
    "uneven": (UPDATES,),
    "collapsed": (RANKS,),
    "fading_memory": (THROUGH_TIME,),
    "exploding_memory": (MEMORY,),
}
"""Condition to all that it takes to judge by it."""


def what_is_missing(run: Run, condition: str) -> str:
    """Why a run can't be judged by a condition; empty where it can.

    Args:
        run: The run.
        condition: A key of `gradiometer.diagnosing.CONDITIONS`.

    Example:
        >>> what_is_missing(Run(), "stalled")
        'no loss was seen'
    """
    return next((basis.missing for basis in BASES[condition] if not basis.is_there(run)), "")
