"""Noise hides the direction: each step follows the few examples of its batch, and the loss does not move.

What it finds:
    A gradient noise scale (how many examples a batch needs before its mean says more than chance) far above the batch
    size, measured over several steps, in a network whose loss is no better than a constant guess. And batches of one
    or two examples, where batch normalisation takes its mean and spread from them, or where steps are ten times the
    usual, and the loss stays at a fifth of what a constant guess gives and more. A network that learns well under
    small batches is no finding, however noisy: most do.

Why it matters:
    At a batch far below the noise scale the steps cancel each other out. Halving the learning rate costs nothing
    then, and the same examples in larger batches move the network further. Two examples, normalised by their own mean
    and spread, come out as plus and minus one whatever they were, and in evaluation other numbers take their place.

What cures it:
    A larger batch, or gradients accumulated over several; a smaller learning rate; averaged weights; group or layer
    normalisation, which look at one example alone, in place of batch normalisation. Where examples
    contradict each other because their labels are wrong, no batch is large enough: look at the data first.

Source:
    McCandlish, Kaplan, Amodei, "An empirical model of large-batch training", 2018 (the noise scale; batches below a
    tenth of it gain in proportion to their size). Goyal et al., "Accurate, large minibatch SGD", 2017: the rate goes
    with the batch, so what is usual for 32 examples is too much for one. Wu and He, "Group normalization", ECCV 2018,
    table 2: batch normalisation loses its use between four examples and two.
"""

import math

from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.loss_path import example_count
from gradiometer.diagnosing.loss_windows import finite_losses, sigmas_between, stretches_of
from gradiometer.diagnosing.weight_motion import weight_motions
from gradiometer.noise_scale import NoiseScale, noise_scale_of
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity
from gradiometer.units import format_number

BATCH_NORMS: frozenset[str] = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "batch_norm"})
"""Kinds of layers that take mean and spread from the batch of one process."""


def find_noisy(
    run: Run,
    *,
    least_excess: float = 30.0,
    least_turns: int = 4,
    most_excess: float = 200.0,
    few_examples: int = 2,
    large_ratio: float = 0.01,
    least_level: float = 0.2,
) -> list[Finding]:
    """Find a training whose direction is lost in noise.

    Args:
        run: The run.
        least_excess: Noise scale over batch size; at ten and above each example still counts in full, and networks
            learn, so the loss has to say that this one does not.
        least_turns: Measured steps that it takes: a single one says little.
        most_excess: Noise scale over batch size above which no batch of a usual size would find a direction: the
            examples share none, as with labels that do not belong to them, and the data are at fault.
        few_examples: Examples in a batch of which nothing can be averaged.
        large_ratio: Update ratio of the fastest layer, when it lasts, that is too large for so few: ten times what is
            usual for batches of a usual size.
        least_level: Share of a constant guess' loss from which on a network has not learned well under so few.

    Returns:
        One finding or none; nothing where the network learns well, or nobody can tell.
    """
    loss = judge_loss(run)
    few = find_few(run, loss, few_examples, large_ratio, least_level)
    if few:
        return few
    batch_size = int(run.facts.get("batch_size") or 0)
    if loss.state not in {"at_chance", "above", "relapsed"} or not batch_size or not run.examples:
        return []
    steps = sorted(run.examples)
    scale = noise_scale_of(run.examples[step] for step in steps[len(steps) // 4 :])
    excess = scale.examples / batch_size
    if scale.step_count < least_turns or not least_excess <= excess <= most_excess:
        return []
    return [describe(run, scale, batch_size, loss)]


def find_few(run: Run, loss: LossMotion, few_examples: int, large_ratio: float, least_level: float) -> list[Finding]:
    """Find batches of which nothing can be averaged, under a normalisation or a rate that ask for more.

    Args:
        run: The run.
        loss: What its loss does.
        few_examples: Examples that are too few.
        large_ratio: Update ratio that is too large for them.
        least_level: Share of a constant guess' loss from which on the network has not learned well.

    Returns:
        One finding or none.
    """
    count = example_count(run) or few_examples + 1
    is_low = loss.chance is None or not loss.end >= least_level * loss.chance
    if count > few_examples or is_low or loss.step_count < 100:
        return []
    severity: Severity = "critical" if loss.is_harmed or loss.end > 1.5 * (loss.chance or 0.0) else "warning"
    examples = "one example" if count == 1 else f"{count} examples"
    norms = tuple(layer.name for layer in run.layers if layer.kind in BATCH_NORMS)
    if norms and count > 1:
        text = f"{len(norms)} normalising layers take mean and spread from {examples}"
        return [describe_few(loss, severity, norms, Cause("normalisation", None, text), count)]
    ratio = max((motion.late_ratio for motion in weight_motions(run) if motion.late_ratio > 0.0), default=0.0)
    if ratio < large_ratio or is_still_lower(run):
        return []
    text = f"a step follows {examples} and moves the fastest weights by {format_number(ratio)} of their size"
    return [describe_few(loss, severity, (), Cause("batch_size", None, text), count)]


def is_still_lower(run: Run) -> bool:
    """Whether the last fifth of the losses lies below the one before it by more than noise can."""
    steps, values = finite_losses(run.losses[0])
    stretches = stretches_of(steps, values)
    return sigmas_between(stretches.middle, stretches.tail) >= 4.0


def describe_few(loss: LossMotion, severity: Severity, layers: tuple[str, ...], cause: Cause, count: int) -> Finding:
    """The finding of batches that are too small, in words."""
    return Finding(
        condition="noisy",
        severity=severity,
        layers=layers,
        cause=cause,
        evidence=(
            Evidence("examples in a batch", count, "examples", cause.text),
            Evidence("end of the loss", loss.end, "", f"{loss.text}, where a constant guess gives {loss.chance:.4g}"),
        ),
        cures=cures_for("noisy", cause.name),
        summary=f"Noise hides the direction: {cause.text}, and {loss.text}. Larger batches, or gradients accumulated "
        f"over several, would help{'; so would group or layer normalisation' if layers else ''}.",
        prognosis="Steps keep undoing each other; the loss stays about where it is.",
        step=loss.first_step,
    )


def describe(run: Run, scale: NoiseScale, batch_size: int, loss: LossMotion) -> Finding:
    """The finding in words."""
    excess = scale.examples / batch_size
    cause = Cause(
        "batch_size",
        10.0 * math.log10(excess),
        f"the batch has {batch_size} examples where {scale.examples:.2g} are needed",
    )
    text = f"the gradient noise scale is {scale.examples:.2g} examples, {format_number(excess)} times the batch"
    return Finding(
        condition="noisy",
        severity="critical",
        layers=(),
        cause=cause,
        evidence=(
            Evidence("gradient noise scale", scale.examples, "examples", f"{text}, over {scale.step_count} steps"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("noisy", cause.name),
        summary=f"Noise hides the direction: {text}, and {loss.text}. Larger batches or a smaller learning rate would "
        "help, unless the labels do not belong to their inputs.",
        prognosis="Steps keep cancelling each other out; the loss stays where a constant guess would be.",
        step=loss.first_step + min(300, max(sorted(run.examples)[:4], default=0)),
    )
