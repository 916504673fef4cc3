"""Runs of which parameters alone were seen: compiled models, and layers that no hook reached.

Conditions then judge by the gradients and updates of the weights and by the loss. Layers are named by their
parameters, and the order of the parameters stands for the order of execution, as it does where a model is written
down from its input to its output.
"""

import numpy as np

from gradiometer.diagnosing.weight_motion import idle_snapshots, largest_weights, layer_of
from gradiometer.schema import Evidence, FloatArray, Run

NOTE = Evidence("judged by", None, "", "by parameters: layers were not opened")
"""Stands beside the evidence of every finding of such a run."""


def is_unopened(run: Run) -> bool:
    """Whether no layer was measured and parameters were."""
    return not run.layers and bool(run.parameters) and run.snapshot_count > 0


def is_compiled(run: Run) -> bool:
    """Whether layers were not measured because they are compiled."""
    return any(reason == "compiled" for _, reason in run.coverage.unseen)


def gradient_levels(run: Run) -> tuple[list[str], FloatArray]:
    """Norm of the gradient of each layer's weights, relative to that of the output's weights.

    Returns:
        Names of the layers, input first, and an array [snapshot layer], dB; -inf for a gradient of exactly zero, nan
        where one of the two was not measured or the output's is zero, and for steps without any gradient.
    """
    columns = largest_weights(run)
    sizes = np.sqrt([run.parameters[column].element_count for column in columns])
    norms = run.parameter_columns["gradient_rms"][:, columns] * sizes
    norms[idle_snapshots(run)] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = norms / norms[:, -1:] if columns else norms
        levels = 20.0 * np.log10(np.where(np.isinf(relative), np.nan, relative))
    return [layer_of(run, run.parameters[column]) for column in columns], levels


def last_weights(run: Run) -> tuple[str, int] | None:
    """Layer and number of outputs of the weights nearest the loss, by the order of the parameters; None for none."""
    columns = largest_weights(run)
    if not columns:
        return None
    parameter = run.parameters[columns[-1]]
    return layer_of(run, parameter), int(parameter.shape[0])
