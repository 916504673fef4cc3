"""What each fact of a run has to look like: they are JSON of a file that may come from anywhere.

Facts that are not listed here are shown as they are and never reckoned with.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Shape = Callable[[Any], bool]
"""Says whether a value of JSON is one of a kind."""

MOST = 2**53
"""Greatest whole number that a float holds, too: what is reckoned with stays below."""


def is_anything(_: Any) -> bool:
    """Any value."""
    return True


def is_text(value: Any) -> bool:
    """A text."""
    return isinstance(value, str)


def is_flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """A whole number of 64 bits, of either sign.

    Example:
        >>> is_whole(-3), is_whole(2**64 - 1), is_whole(2**64), is_whole(False)
        (True, True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64


def is_count(value: Any) -> bool:
    """A whole number from 0 on.

    Example:
        >>> is_count(3), is_count(True), is_count(-1), is_count(10**30)
        (True, False, False, False)
    """
    return is_whole(value) and 0 <= value < MOST


def is_number(value: Any) -> bool:
    """A number, also an infinite one or NaN."""
    return isinstance(value, float) or (is_whole(value) and abs(value) < MOST)


def is_amount(value: Any) -> bool:
    """A finite number from 0 on: seconds, shares."""
    return is_number(value) and math.isfinite(value) and value >= 0


def maybe(shape: Shape) -> Shape:
    """None, too."""
    return lambda value: value is None or shape(value)


def listed(shape: Shape) -> Shape:
    """A list of values of one shape."""
    return lambda value: isinstance(value, list) and all(map(shape, value))


def mapped(shape: Shape) -> Shape:
    """A mapping whose values have one shape."""
    return lambda value: isinstance(value, dict) and all(map(shape, value.values()))


def row(*shapes: Shape) -> Shape:
    """A list of values, each of its own shape."""
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(shapes)
        and all(shape(part) for shape, part in zip(shapes, value, strict=True))
    )


def record(required: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """A mapping with names of its own, some of which may be missing; names that are not known may hold anything."""
    known = {**(optional or {}), **required}
    return lambda value: (
        isinstance(value, dict)
        and all(name in value for name in required)
        and all(known.get(name, is_anything)(part) for name, part in value.items())
    )


SIZES = maybe(listed(is_count))

OPTIMIZER = record({}, {"kind": is_text, "settings": maybe(mapped(is_anything)), "parameter_count": is_count})

LOSS_PATH = record(
    {},
    {
        "site": maybe(is_text),
        "operations": maybe(listed(is_text)),
        "softmaxes": maybe(listed(row(is_whole, is_count, is_count))),
        "network_operations": maybe(listed(is_text)),
        "loose_weights": maybe(listed(record({"shape": listed(is_count), "rms": maybe(is_number)}))),
        "output_shape": SIZES,
        "target_shape": SIZES,
        "target_kind": maybe(is_text),
        "reduction": maybe(is_text),
        "loss": maybe(is_text),
    },
)

OPERATION = record({}, {"name": is_text, "layer": maybe(is_text), "call_site": maybe(is_text)})

REPLAY = record({}, {"step": is_count, "operation": maybe(OPERATION), "source": maybe(is_text)})

EVALUATION = record(
    {},
    {
        "losses": maybe(mapped(listed(row(is_count, is_number)))),
        "fault": maybe(is_text),
        "forward_count": maybe(is_count),
    },
)

RANGE_TEST = record(
    {},
    {
        "base_rates": maybe(listed(listed(is_number))),
        "multipliers": maybe(listed(row(is_count, is_number))),
    },
)

FACT_SHAPES: Mapping[str, Shape] = {
    "arguments": maybe(listed(is_text)),
    "batch_size": maybe(is_count),
    "command": maybe(is_text),
    "cure_changes": maybe(listed(mapped(is_anything))),
    "cure_fault": maybe(is_text),
    "cures": maybe(listed(is_text)),
    "dear_costs": mapped(record({}, {"turn_count": is_count, "spent_seconds": is_amount})),
    "evaluation": maybe(EVALUATION),
    "flight_recorder": mapped(is_count),
    "full_measurement_count": maybe(is_count),
    "initial_weights_fingerprint": maybe(is_text),
    "loss_path": maybe(LOSS_PATH),
    "measuring_seconds": maybe(is_amount),
    "optimizer": maybe(is_text),
    "optimizer_settings": mapped(is_anything),
    "optimizer_site": maybe(is_text),
    "optimizer_sites": maybe(listed(is_text)),
    "optimizers": maybe(listed(OPTIMIZER)),
    "original_losses": maybe(listed(row(is_number, maybe(is_number)))),
    "overhead_allowed": maybe(is_amount),
    "overhead_measured": maybe(is_amount),
    "parameter_count": maybe(is_count),
    "process_count": is_count,
    "range_test": maybe(RANGE_TEST),
    "refusal": maybe(is_text),
    "refusal_at_end": maybe(is_text),
    "repaid_step": maybe(is_count),
    "replay": maybe(REPLAY),
    "root_names": maybe(listed(is_text)),
    "script": maybe(is_text),
    "seed": maybe(is_whole),
    "seeding_calls": maybe(is_whole),
    "sources": maybe(mapped(is_text)),
    "started_at": maybe(is_text),
    "startup_seconds": maybe(is_amount),
    "status": is_text,
    "step_count": is_count,
    "threads": maybe(is_count),
    "traceback": maybe(is_text),
    "training_seconds": maybe(is_amount),
    "working_directory": maybe(is_text),
}
"""Facts that are reckoned with, each with its shape."""


def fits(name: str, value: Any) -> bool:
    """Whether a fact looks as it has to.

    Example:
        >>> fits("batch_size", 32), fits("batch_size", "many"), fits("mood", {"good": 1})
        (True, False, True)
    """
    return FACT_SHAPES.get(name, is_anything)(value)
