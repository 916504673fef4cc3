"""The nouns that all rooms exchange; frozen, of plain Python values and numpy arrays.

Written while a script trains: `Layer` and `Parameter` (what there is), `Snapshot` with `LayerStats` and
`ParameterStats` (one full measurement), `StepStats` (what the every-step watch sees), `Event`, `Coverage`; of the dear
measurements, which take turns on full steps, `Turn`, `ExampleStats`, `TimeFade`, `OctaveHistogram`, `UnitMarks`.
Read afterwards: `Run` (all of one run, by columns), `Finding`, `Diagnosis`, `Trial`, `Ranking`, `Contrast`, `Endpoint`,
`Outcome`; `Replay` with `Operation` and `TensorRange` (what a step did, operation by operation); `Comparison` with
`Change` (what differs between two runs). What an experiment of the lab found: `ExperimentReport` with `Row`, and
`Section` of `Chart`, `HeatMap`, `PictureGrid` and `Table`. What one batch asks of a network: `Nudges` with
`LayerNudge`, `ParameterNudge`, `SensitiveWeight`, `UnitAsk` and `WeightPath`; how examples agree: `Agreement`.

Conventions: a number that was not measured is None in a noun and nan in a column of a `Run`. What was not finite is
counted in a field of its own, so that "not measured" and "NaN" can't be confused. Levels and gains are in dB.
"""

from gradiometer.schema.compared import Change, Comparison, ComparisonVerdict, Direction
from gradiometer.schema.experimented import (
    Chart,
    ExperimentReport,
    HeatMap,
    Line,
    Part,
    Picture,
    PictureGrid,
    Row,
    RowVerdict,
    Section,
    Standing,
    Table,
)
from gradiometer.schema.explained import (
    Agreement,
    ClassPull,
    ExamplePull,
    GradientPath,
    LayerNudge,
    Nudges,
    ParameterNudge,
    PathTerm,
    SensitiveWeight,
    UnitAsk,
    WeightPath,
)
from gradiometer.schema.judged import (
    SEVERITIES,
    Cause,
    Diagnosis,
    Evidence,
    Finding,
    Prediction,
    Severity,
    Verdict,
    WayOut,
)
from gradiometer.schema.measured import (
    Coverage,
    Event,
    Layer,
    LayerStats,
    Parameter,
    ParameterStats,
    Role,
    Snapshot,
    StepStats,
)
from gradiometer.schema.replayed import (
    Operation,
    Phase,
    Replay,
    TensorRange,
)
from gradiometer.schema.run import (
    LAYER_COLUMNS,
    PARAMETER_COLUMNS,
    SNAPSHOT_COLUMNS,
    STEP_COLUMNS,
    FloatArray,
    LossSeries,
    Run,
    columns_of,
)
from gradiometer.schema.tried import (
    Contrast,
    Endpoint,
    Outcome,
    OutcomeVerdict,
    Ranking,
    Trial,
)
from gradiometer.schema.turns import (
    MOST_MARKS,
    ExampleStats,
    OctaveHistogram,
    TimeFade,
    Turn,
    UnitMarks,
)

__all__ = [
    "LAYER_COLUMNS",
    "MOST_MARKS",
    "PARAMETER_COLUMNS",
    "SEVERITIES",
    "SNAPSHOT_COLUMNS",
    "STEP_COLUMNS",
    "Agreement",
    "Cause",
    "Change",
    "Chart",
    "ClassPull",
    "Comparison",
    "ComparisonVerdict",
    "Contrast",
    "Coverage",
    "Diagnosis",
    "Direction",
    "Endpoint",
    "Event",
    "Evidence",
    "ExamplePull",
    "ExampleStats",
    "ExperimentReport",
    "Finding",
    "FloatArray",
    "GradientPath",
    "HeatMap",
    "Layer",
    "LayerNudge",
    "LayerStats",
    "Line",
    "LossSeries",
    "Nudges",
    "OctaveHistogram",
    "Operation",
    "Outcome",
    "OutcomeVerdict",
    "Parameter",
    "ParameterNudge",
    "ParameterStats",
    "Part",
    "PathTerm",
    "Phase",
    "Picture",
    "PictureGrid",
    "Prediction",
    "Ranking",
    "Replay",
    "Role",
    "Row",
    "RowVerdict",
    "Run",
    "Section",
    "SensitiveWeight",
    "Severity",
    "Snapshot",
    "Standing",
    "StepStats",
    "Table",
    "TensorRange",
    "TimeFade",
    "Trial",
    "Turn",
    "UnitAsk",
    "UnitMarks",
    "Verdict",
    "WayOut",
    "WeightPath",
    "columns_of",
]
