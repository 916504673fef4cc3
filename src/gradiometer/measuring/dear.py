"""The table of dear measurements: name, which networks it fits, what it collects in a step and finishes into rows.

Each is dearer than the core of a full step, so they take turns (`turns`). A measurement of your own is one more value
here: a file with a function from `StepSetting` to `Collector`, and a line in this table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gradiometer.measuring.collecting import Collector, StepSetting
from gradiometer.measuring.example_norms import start_examples
from gradiometer.measuring.magnitudes import start_magnitudes
from gradiometer.measuring.network import Network
from gradiometer.measuring.per_example import PER_EXAMPLE
from gradiometer.measuring.recurrence import RECURRENT_KINDS, start_recurrence
from gradiometer.measuring.similarity import start_similarity
from gradiometer.measuring.unit_listing import start_unit_listing


@dataclass(frozen=True, slots=True)
class DearMeasurement:
    """One dear measurement.

    Attributes:
        fits: Whether a network has what it measures.
        start: Begins to collect in one step.
    """

    fits: Callable[[Network], bool]
    start: Callable[[StepSetting], Collector]


def is_open(network: Network) -> bool:
    """Whether layers are opened."""
    return not network.is_closed


def has_measured_kinds(network: Network) -> bool:
    """Whether a layer has a rule for gradients per example."""
    return is_open(network) and any(type(module) in PER_EXAMPLE for module in network.modules)


def is_recurrent(network: Network) -> bool:
    """Whether anything is repeated over time."""
    return is_open(network) and (
        network.has_loops or any(isinstance(module, RECURRENT_KINDS) for module in network.modules)
    )


def has_windows(network: Network) -> bool:
    """Whether units are judged anywhere."""
    return is_open(network) and network.has_windows


def always(network: Network) -> bool:
    """Every network has parameters."""
    return True


DEAR_MEASUREMENTS: Mapping[str, DearMeasurement] = {
    "similarity": DearMeasurement(is_open, start_similarity),
    "through_time": DearMeasurement(is_recurrent, start_recurrence),
    "per_example": DearMeasurement(has_measured_kinds, start_examples),
    "histograms": DearMeasurement(always, start_magnitudes),
    "units": DearMeasurement(has_windows, start_unit_listing),
}
"""By name, in the order of their first turns."""
