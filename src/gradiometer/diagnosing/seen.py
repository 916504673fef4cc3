"""Whether enough was seen of a run to call it healthy."""

import numpy as np

from gradiometer.diagnosing.weight_motion import updates_are_measured
from gradiometer.schema import Run


def reason_to_doubt(run: Run, *, least_measurements: int = 2, least_seen: float = 0.5) -> str:
    """Say why nothing can be said of a run; empty where enough was seen.

    Args:
        run: The run.
        least_measurements: Full measurements below which nothing can be compared: one says nothing of what lasts.
        least_seen: Share of the layers that has to have been seen.

    Returns:
        A sentence with what was missing and what to do about it, or the empty text.
    """
    if run.snapshot_count < least_measurements:
        return (
            f"{run.snapshot_count} full measurements were taken, and it takes {least_measurements}: let it run for "
            "some more steps, or allow measuring more (overhead)"
        )
    if not run.losses:
        return (
            "no backward() was seen: the gradients came another way (torch.autograd.grad, a process of its own), so "
            "neither the loss nor the layers are known"
        )
    gradients = run.parameter_columns.get("gradient_rms")
    if gradients is None or gradients.size == 0 or bool(np.isnan(gradients).all()):
        return "no gradient was seen at any parameter: the backward pass, or the parameters, are out of sight"
    if not updates_are_measured(run):
        return "no optimizer moved the weights, so whether layers learn can't be told: watch with the optimizer"
    coverage = run.coverage
    # A layer before the first trainable one asks for no gradient: it was seen as far as it goes.
    hidden = [name for name, reason in coverage.unseen if reason != "no gradient"]
    if coverage.total_count and len(hidden) > (1.0 - least_seen) * coverage.total_count:
        return f"too few layers were seen: {coverage.line}"
    return ""
