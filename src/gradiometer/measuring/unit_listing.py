"""Which units are saturated or dead: the windows' marks as lists, so that a report can name the units.

The windows themselves are part of every full step; listing them costs a number for each unit that is listed. Units with
equal weights are looked for beside that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gradiometer.measuring.collecting import Collector, Findings, FloatArray, LeftOut, StepSetting
from gradiometer.measuring.unit_windows import UnitWindow
from gradiometer.schema import MOST_MARKS, Snapshot, UnitMarks

ABSENT = -1.0
"""Stands where a list of ranks has ended."""


@dataclass(frozen=True, slots=True)
class JudgedLayer:
    """One layer's units as they were judged when its step ended.

    Attributes:
        layer: Name of the layer.
        unit_count: Its units.
        window_examples: Examples that they were judged on.
        kinds: What they were judged for: "saturated", "dead" or both.
        lists: For each of these how many units it holds of and the first of their ranks.
    """

    layer: str
    unit_count: int
    window_examples: int
    kinds: tuple[str, ...]
    lists: tuple[Tensor, ...]


def judge(layer: str, window: UnitWindow) -> JudgedLayer | None:
    """Judge one layer's units, None where nothing was seen yet."""
    saturated, dead, examples = window.marks()
    known = {kind: mask for kind, mask in (("saturated", saturated), ("dead", dead)) if mask is not None}
    if not known:
        return None
    unit_count = next(iter(known.values())).numel()
    return JudgedLayer(layer, unit_count, examples, tuple(known), tuple(list_ranks(mask) for mask in known.values()))


def list_ranks(mask: Tensor) -> Tensor:
    """How many units a mask marks, and the ranks of the first `MOST_MARKS` of them; the device is not waited for.

    Example:
        >>> list_ranks(torch.tensor([False, True, True])).tolist()
        [2.0, 1.0, 2.0, -1.0]
    """
    mask = mask.flatten()
    ranks = torch.arange(mask.numel(), device=mask.device)
    # In the order of their ranks the marked ones come first: of the others every rank is raised by the number of units.
    first = torch.where(mask, ranks, ranks + mask.numel()).sort().values[:MOST_MARKS]
    listed = torch.where(first < mask.numel(), first.to(torch.float32), ABSENT)
    return torch.cat((mask.sum().to(torch.float32).reshape(1), listed))


def marks_of(judged: JudgedLayer, lists: Sequence[FloatArray]) -> UnitMarks:
    """One layer's units as a noun, from the host's numbers."""
    found = dict(zip(judged.kinds, lists, strict=True))
    saturated, dead = found.get("saturated"), found.get("dead")
    return UnitMarks(
        layer=judged.layer,
        unit_count=judged.unit_count,
        window_examples=judged.window_examples,
        saturated_count=None if saturated is None else int(saturated[0]),
        dead_count=None if dead is None else int(dead[0]),
        saturated=ranks_in(saturated),
        dead=ranks_in(dead),
    )


def ranks_in(listed: FloatArray | None) -> tuple[int, ...]:
    """The ranks of a list; none for no list."""
    if listed is None:
        return ()
    ranks = listed[1:]
    return tuple(ranks[ranks != ABSENT].astype(np.int64).tolist())


def start_unit_listing(setting: StepSetting) -> Collector:
    """List a step's saturated and dead units, and look for units with equal weights."""
    setting.parameters.looks_for_twins = True

    def end() -> Findings:
        with torch.no_grad():
            found = [judge(layer, window) for layer, window in setting.windows.items()]
        judged = [one for one in found if one is not None]

        def read(snapshot: Snapshot, arrays: Sequence[FloatArray]) -> tuple[Snapshot, LeftOut]:
            host = iter(arrays)
            marks = tuple(marks_of(one, [next(host) for _ in one.lists]) for one in judged)
            return replace(snapshot, unit_marks=marks), ()

        return Findings([listed for one in judged for listed in one.lists], read)

    return Collector(end=end)
