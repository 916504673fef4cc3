"""Which units are saturated or dead: the windows' marks as lists, so that a report can name the units.

The windows themselves are part of every full step; listing them costs a transfer of a bit for each unit.
"""

from dataclasses import replace

import torch
from torch import Tensor

from gradiometer.measuring.collecting import Collector, LeftOut, StepSetting
from gradiometer.measuring.unit_windows import UnitWindow
from gradiometer.schema import MOST_MARKS, Snapshot, UnitMarks


def marks_of(layer: str, window: UnitWindow) -> UnitMarks | None:
    """One layer's units as a noun, None where nothing was judged yet."""
    saturated, dead, examples = window.marks()
    known = [mask for mask in (saturated, dead) if mask is not None]
    if not known:
        return None
    return UnitMarks(
        layer=layer,
        unit_count=known[0].numel(),
        window_examples=examples,
        saturated_count=None if saturated is None else int(saturated.sum()),
        dead_count=None if dead is None else int(dead.sum()),
        saturated=first_ranks(saturated),
        dead=first_ranks(dead),
    )


def first_ranks(mask: Tensor | None) -> tuple[int, ...]:
    """Ranks of the units that a mask marks, the first `MOST_MARKS`; none for no mask."""
    return () if mask is None else tuple(torch.nonzero(mask.flatten()).flatten()[:MOST_MARKS].tolist())


def start_unit_listing(setting: StepSetting) -> Collector:
    """List a step's saturated and dead units."""

    def finish(snapshot: Snapshot) -> tuple[Snapshot, LeftOut]:
        with torch.no_grad():
            found = [marks_of(layer, window) for layer, window in setting.windows.items()]
        return replace(snapshot, unit_marks=tuple(marks for marks in found if marks is not None)), ()

    return Collector(finish=finish)
