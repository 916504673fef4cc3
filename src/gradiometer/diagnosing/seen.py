"""Whether enough was seen of a run to call it healthy."""

from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learning import DEFAULT_LIMITS, judge_loss
from gradiometer.diagnosing.unopened import is_compiled, is_unopened
from gradiometer.diagnosing.weight_motion import updates_are_measured
from gradiometer.schema import Event, Run, WayOut


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why nothing can be said of a run.

    Attributes:
        reason: A sentence with what was missing and what to do about it.
        way_out: What to do about it, as `Diagnosis` names it.
    """

    reason: str
    way_out: WayOut


def reason_to_doubt(run: Run, *, least_measurements: int = 2, least_seen: float = 0.5) -> Doubt | None:
    """Say why nothing can be said of a run; None where enough was seen.

    Args:
        run: The run.
        least_measurements: Full measurements below which nothing can be compared: one says nothing of what lasts.
        least_seen: Share of the layers that has to have been seen.
    """
    if run.snapshot_count < least_measurements:
        return Doubt(too_few(run, least_measurements), "more_steps")
    fault = next((event for event in run.events if event.kind == "fault"), None)
    if fault is not None:
        return Doubt(fault_text(fault), "more_steps")
    if not run.losses:
        return Doubt(
            "no backward() was seen: the gradients came another way (torch.autograd.grad, a process of its own), so "
            "neither the loss nor the layers are known",
            "watch",
        )
    gradients = run.parameter_columns.get("gradient_rms")
    if gradients is None or gradients.size == 0 or bool(np.isnan(gradients).all()):
        text = "no gradient was seen at any parameter: the backward pass, or the parameters, are out of sight"
        return Doubt(text, "watch")
    if not updates_are_measured(run):
        text = "no optimizer moved the weights, so whether layers learn can't be told: watch with the optimizer"
        return Doubt(text, "watch")
    if is_unopened(run):
        return reason_to_doubt_parameters(run)
    coverage = run.coverage
    # A layer before the first trainable one asks for no gradient: it was seen as far as it goes.
    hidden = [name for name, reason in coverage.unseen if not reason.startswith("no gradient")]
    if coverage.total_count and len(hidden) > (1.0 - least_seen) * coverage.total_count:
        way_out: WayOut = "open_compiled" if is_compiled(run) else "watch"
        return Doubt(f"too few layers were seen: {coverage.line}", way_out)
    return None


def what_is_open(run: Run) -> str:
    """What can't be told yet of a run in which nothing was found; empty where its loss shows that it learns.

    Args:
        run: The run.
    """
    loss = judge_loss(run)
    if loss.state != "short" or loss.step_count >= DEFAULT_LIMITS.least_steps:
        return ""
    return f"it is too early to tell whether it learns: {loss.text}"


def too_few(run: Run, least_measurements: int) -> str:
    """Say how little was measured, and what to do about it."""
    if run.facts.get("status") == "failed" and not run.step_count:
        return "the script failed before its first step, so nothing was measured"
    count = run.snapshot_count
    taken = "1 full measurement was taken" if count == 1 else f"{count} full measurements were taken"
    more = "let it run for some more steps, or allow measuring more (overhead)"
    return f"{taken}, and it takes {least_measurements}: {more}"


def fault_text(fault: Event) -> str:
    """Say where the measuring ended before the training did; a traceback stays in the run file."""
    why = "a fault of gradiometer's own" if fault.text.startswith("Traceback") else fault.text.rstrip(".")
    end = f"there the measuring ended ({why})"
    return f"nothing was found up to step {fault.step}, and what came after was not seen: {end}"


def reason_to_doubt_parameters(run: Run) -> Doubt | None:
    """Say why a run of which parameters alone were seen can't be called healthy; None where its loss is learned.

    Units that are dead or saturated do not show in parameters; a loss that falls, or is as low as it gets, says that
    they do no great harm.
    """
    loss = judge_loss(run)
    if loss.is_learning:
        return None
    way = ", or open the layers (--open-compiled)" if is_compiled(run) else ""
    return Doubt(
        f"layers were not opened, parameters alone show nothing wrong, and the loss does not tell: {loss.text}; let it "
        f"run for longer{way}",
        "open_compiled" if is_compiled(run) else "more_steps",
    )
