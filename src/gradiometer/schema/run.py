"""One run as it is read: everything measured, by columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradiometer.schema.measured import (
    Coverage,
    Event,
    Layer,
    LayerStats,
    Parameter,
    ParameterStats,
    Snapshot,
    StepStats,
)
from gradiometer.schema.tried import Outcome, Trial
from gradiometer.schema.turns import ExampleStats, OctaveHistogram, TimeFade, Turn, UnitMarks

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LossSeries:
    """The loss at one `backward` call site.

    Attributes:
        site: `file:line` of the call.
        steps: Steps at which it was recorded, ascending.
        values: Mean finite loss of each of those steps, nan where there was none.
        nonfinite_counts: Calls in each of those steps whose loss was NaN or infinite.
    """

    site: str
    steps: NDArray[np.int64]
    values: FloatArray
    nonfinite_counts: NDArray[np.int64]


LAYER_COLUMNS: tuple[str, ...] = tuple(spec.name for spec in fields(LayerStats) if spec.name != "layer")
PARAMETER_COLUMNS: tuple[str, ...] = tuple(spec.name for spec in fields(ParameterStats) if spec.name != "parameter")
SNAPSHOT_COLUMNS: tuple[str, ...] = tuple(
    spec.name
    for spec in fields(Snapshot)
    if spec.name not in {"step", "layers", "parameters", "turn", "examples", "fades", "histograms", "unit_marks"}
)
STEP_COLUMNS: tuple[str, ...] = tuple(
    spec.name for spec in fields(StepStats) if spec.name not in {"step", "losses", "batch_fingerprint"}
)


@dataclass(frozen=True, slots=True)
class Run:
    """All that was measured of one run, by columns; nan stands for what was not measured.

    Attributes:
        facts: What is known of the run as a whole: script, versions, device, seed, status, exit code.
        layers: Its layers in order of first execution (input first).
        parameters: Its parameters.
        snapshot_steps: Step of each full measurement, ascending.
        snapshot_columns: For each of `SNAPSHOT_COLUMNS` an array [snapshot].
        layer_columns: For each of `LAYER_COLUMNS` an array [snapshot layer].
        parameter_columns: For each of `PARAMETER_COLUMNS` an array [snapshot parameter].
        turns: Whose turn it was of the dear measurements, by step; likewise, by the step of the snapshot:
        examples: What was measured of the examples.
        fades: Gradients through time.
        histograms: Magnitudes of gradients, weights and updates.
        unit_marks: Saturated and dead units.
        steps: Steps that the every-step watch recorded, ascending.
        step_columns: For each of `STEP_COLUMNS` an array [step].
        losses: One series per `backward` call site, the first seen first.
        fingerprints: Digest of the batch by step, where it was stored.
        events: What happened once, in order.
        coverage: What was seen.
        trials: Trials that were run for this run's cure.
        outcome: What they proved, None where none was run.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    snapshot_steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    snapshot_columns: Mapping[str, FloatArray] = field(default_factory=dict)
    layer_columns: Mapping[str, FloatArray] = field(default_factory=dict)
    parameter_columns: Mapping[str, FloatArray] = field(default_factory=dict)
    turns: Mapping[int, Turn] = field(default_factory=dict)
    examples: Mapping[int, ExampleStats] = field(default_factory=dict)
    fades: Mapping[int, tuple[TimeFade, ...]] = field(default_factory=dict)
    histograms: Mapping[int, tuple[OctaveHistogram, ...]] = field(default_factory=dict)
    unit_marks: Mapping[int, tuple[UnitMarks, ...]] = field(default_factory=dict)
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    step_columns: Mapping[str, FloatArray] = field(default_factory=dict)
    losses: tuple[LossSeries, ...] = ()
    fingerprints: Mapping[int, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    trials: tuple[Trial, ...] = ()
    outcome: Outcome | None = None

    @property
    def snapshot_count(self) -> int:
        """Number of full measurements."""
        return len(self.snapshot_steps)

    @property
    def step_count(self) -> int:
        """Steps that the run took, measured or not."""
        last = max((int(a[-1]) + 1 for a in (self.steps, self.snapshot_steps) if len(a)), default=0)
        return max(last, int(self.facts.get("step_count", 0)))

    @property
    def loss(self) -> LossSeries | None:
        """The run's main loss: the series of the first `backward` call site."""
        return self.losses[0] if self.losses else None

    def layer_column(self, name: str) -> FloatArray:
        """One of `LAYER_COLUMNS` as an array [snapshot layer]."""
        return self.layer_columns[name]

    def parameter_column(self, name: str) -> FloatArray:
        """One of `PARAMETER_COLUMNS` as an array [snapshot parameter]."""
        return self.parameter_columns[name]

    def snapshots_with(self, name: str) -> NDArray[np.intp]:
        """Rows of the snapshots in which one of `LAYER_COLUMNS` or `PARAMETER_COLUMNS` was measured for any.

        What takes turns (`output_similarity`) is nan in most snapshots; this tells which ones to look at.
        """
        columns = self.layer_columns if name in LAYER_COLUMNS else self.parameter_columns
        return np.flatnonzero(~np.isnan(columns[name]).all(axis=1))

    def newest_of(self, name: str) -> FloatArray:
        """The newest value of one of `LAYER_COLUMNS` or `PARAMETER_COLUMNS` for each, nan where there is none."""
        columns = self.layer_columns if name in LAYER_COLUMNS else self.parameter_columns
        grid = columns[name]
        newest = np.full(grid.shape[1], np.nan)
        for row in grid:
            newest = np.where(np.isnan(row), newest, row)
        return newest

    def layer_index(self, name: str) -> int:
        """Column of a layer; KeyError where the run has no such layer."""
        for index, layer in enumerate(self.layers):
            if layer.name == name:
                return index
        raise KeyError(name)

    def trunk(self, snapshot_index: int) -> tuple[int, ...]:
        """Columns of the layers on the trunk in one snapshot, from the network's output to its input."""
        positions = self.layer_columns["trunk_position"][snapshot_index]
        on_trunk = np.flatnonzero(~np.isnan(positions))
        return tuple(on_trunk[np.argsort(positions[on_trunk], kind="stable")].tolist())


def columns_of(rows: Sequence[Any], names: Sequence[str]) -> dict[str, FloatArray]:
    """Turn a list of nouns into one array per field; None becomes nan, booleans become 0 and 1.

    Args:
        rows: Nouns of one class.
        names: The fields to take.

    Returns:
        For each name an array [row].

    Example:
        >>> columns_of([StepStats(step=3, total_norm=2.0)], ["total_norm", "learning_rate"])
        {'total_norm': array([2.]), 'learning_rate': array([nan])}
    """
    return {
        name: np.array(
            [np.nan if (value := getattr(row, name)) is None else float(value) for row in rows],
            dtype=np.float64,
        )
        for name in names
    }
