"""The nouns that all rooms exchange; frozen, of plain Python values and numpy arrays.

Written while a script trains: `Layer` and `Parameter` (what there is), `Snapshot` with `LayerStats` and
`ParameterStats` (one full measurement), `StepStats` (what the every-step watch sees), `Event`, `Coverage`.
Read afterwards: `Run` (all of one run, by columns), `Finding`, `Diagnosis`, `Trial`, `Ranking`, `Outcome`.

Conventions: a number that was not measured is None in a noun and nan in a column of a `Run`. What was not finite is
counted in a field of its own, so that "not measured" and "NaN" can't be confused. Levels and gains are in dB.
"""

from gradiometer.schema.judged import (
    SEVERITIES,
    Cause,
    Diagnosis,
    Evidence,
    Finding,
    Severity,
    Verdict,
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
    Outcome,
    OutcomeVerdict,
    Ranking,
    Trial,
)

__all__ = [
    "Cause",
    "Coverage",
    "Diagnosis",
    "Event",
    "Evidence",
    "Finding",
    "FloatArray",
    "LAYER_COLUMNS",
    "Layer",
    "LayerStats",
    "LossSeries",
    "Outcome",
    "OutcomeVerdict",
    "PARAMETER_COLUMNS",
    "Parameter",
    "ParameterStats",
    "Ranking",
    "Role",
    "Run",
    "SEVERITIES",
    "SNAPSHOT_COLUMNS",
    "STEP_COLUMNS",
    "Severity",
    "Snapshot",
    "StepStats",
    "Trial",
    "Verdict",
    "columns_of",
]
