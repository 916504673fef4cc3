"""Dropout or weight decay drowns the signal.

What it finds:
    Dropout of 0.8 and more, and weight decay that makes up most of what the optimizer does while the weights shrink,
    in a network whose loss stays up.

Why it matters:
    A layer that drops nine values of ten hands on a tenth of what it was told, another tenth in every step, and its
    gradient is mostly noise. Decay pulls every weight to zero at a pace that does not depend on the data: where it is
    as strong as the gradient, what is learned in one step is forgotten in the next.

What cures it:
    Dropout of 0.5 at most, and none right before the output; a weight decay of 1e-4 (as part of the loss) or 0.01
    (AdamW), and none on biases and normalising layers.

Source:
    Srivastava et al., "Dropout", 2014 (0.5 in hidden layers, 0.2 at the input); Loshchilov and Hutter, "Decoupled
    Weight Decay Regularization", 2019. The shares are ours: AdamW with 0.1, as language models are trained with, has
    decay at a hundredth of its updates.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.learned_well import constant_loss, is_learned_well, listed, success_text
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.naming import spoken
from gradiometer.diagnosing.weight_motion import largest_weights, late_median, layer_of
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Run, Severity
from gradiometer.units import decibels, format_number, format_share

DECOUPLED: frozenset[str] = frozenset({"AdamW", "NAdamW", "Lion", "Adan", "Muon"})
"""Optimizers whose decay is a move of its own, apart from the gradient's."""


MOST_USUAL, MOST_USUAL_DECOUPLED = 1e-3, 0.1
"""Greatest weight decay that is usual, as part of the gradient and apart from it."""


@dataclass(frozen=True, slots=True)
class Decay:
    """What decay does to one layer's weights.

    Attributes:
        layer: The layer.
        setting: Weight decay of the optimizer's group.
        share: Decay's part against the gradient's, late in the run, in the optimizer's own terms.
        shrunk: Size of the weights at the end over that at the start.
        is_decoupled: The decay is a move of its own, apart from the gradient's.
    """

    layer: str
    setting: float
    share: float
    shrunk: float
    is_decoupled: bool = False

    @property
    def is_strong(self) -> bool:
        """Whether the setting is above what is usual; below, decay wins only where there is next to no gradient.

        Source:
            He et al. 2016 (1e-4 in the loss), Krizhevsky et al. 2012 (5e-4); Loshchilov and Hutter 2019, and language
            models since (0.01 to 0.1, decoupled).
        """
        return self.setting > (MOST_USUAL_DECOUPLED if self.is_decoupled else MOST_USUAL)


def find_over_regularised(
    run: Run, *, large_dropout: float = 0.8, least_share: float = 0.5, most_left: float = 0.7, least_steps: int = 100
) -> list[Finding]:
    """Find dropout and weight decay that drown the signal.

    Args:
        run: The run.
        large_dropout: Probability of dropping from which on it is too much: at 0.8 the noise of a unit is twice its
            signal, at 0.5 as large as it.
        least_share: Decay's part of the move, against the gradient's, from which on decay leads.
        most_left: What is left of the weights' size where decay wins; drawn weights grow while a network learns.
        least_steps: Steps after which a loss may be judged that is still falling.

    Returns:
        One finding or none; `info` for strong dropout in a network that learns well all the same, nothing for decay
        then.
    """
    loss = judge_loss(run)
    severity = severity_of(run, loss, least_steps)
    pulled = severity_of_decay(run, loss, least_steps)
    decays = [one for one in decays_of(run) if is_winning(one, least_share, most_left)]
    if pulled in {"critical", "warning"} and len(decays) > 0 and 2 * len(decays) >= len(decays_of(run)):
        return [describe_decay(run, decays, pulled, loss)]
    dropping = [layer for layer in run.layers if (layer.dropped_share or 0.0) >= large_dropout]
    if dropping:
        worst = max(dropping, key=lambda layer: (layer.dropped_share or 0.0, layer.position))
        names = [worst.name, *(layer.name for layer in reversed(dropping) if layer is not worst)]
        return [describe_dropout(run, names, float(worst.dropped_share or 0.0), severity, loss)]
    return []


def is_winning(decay: Decay, least_share: float, most_left: float, *, little_left: float = 0.3) -> bool:
    """Whether decay is stronger than the gradient: it leads, and weights shrink; or weights have shrunk to little.

    Where gradient and decay have come to a balance the gradient is the larger of the two in a single step, for most of
    it is noise from batch to batch. Weights at a third of their drawn size show who has won: none that learn get there
    within a few thousand steps.

    Args:
        decay: What decay does to one layer.
        least_share: Its part against the gradient's from which on it leads.
        most_left: What is left of the weights then.
        little_left: What is left of them where a fifth of that part is enough.
    """
    if not decay.is_strong:
        return False
    leads = decay.share >= least_share and decay.shrunk <= most_left
    return leads or (decay.share >= 0.2 * least_share and decay.shrunk <= little_left)


def severity_of(run: Run, loss: LossMotion, least_steps: int) -> Severity:
    """How bad it is: what is left of the loss decides, once enough steps were taken."""
    if loss.is_harmed:
        return "critical"
    if loss.step_count < least_steps or is_learned_well(run, loss):
        return "info"
    known = constant_loss(run)
    return "info" if known > 0.0 and loss.end < 0.2 * known else "warning"


def severity_of_decay(run: Run, loss: LossMotion, least_steps: int) -> Severity:
    """How bad decay is by the loss: it keeps a network from being sure, so right answers do not show its cost."""
    if loss.is_harmed:
        return "critical"
    known = constant_loss(run)
    reference = known if known > 0.0 else loss.start
    return "info" if loss.step_count < least_steps or loss.end < 0.2 * reference else "warning"


def decays_of(run: Run) -> list[Decay]:
    """What decay does to every layer's weights; empty where settings were not noted."""
    columns = run.parameter_columns
    if "weight_decay" not in columns or "learning_rate" not in columns or not run.snapshot_count:
        return []
    found = []
    for column in largest_weights(run):
        setting = late_median(columns["weight_decay"][:, column])
        sizes = columns["weight_rms"][:, column]
        known = sizes[~np.isnan(sizes)]
        if not setting > 0.0 or not len(known) or known[0] == 0.0:
            continue
        found.append(
            Decay(
                layer_of(run, run.parameters[column]),
                setting,
                decay_share(run, column, setting),
                float(known[-1] / known[0]),
                run.parameters[column].optimizer in DECOUPLED,
            )
        )
    return found


def decay_share(run: Run, column: int, setting: float) -> float:
    """Decay's part against the gradient's: of the update where it is decoupled, of the gradient where it is not."""
    columns = run.parameter_columns
    size = columns["weight_rms"][:, column]
    if run.parameters[column].optimizer in DECOUPLED:
        pulled = setting * columns["learning_rate"][:, column] * size
        moved = columns["update_rms"][:, column]
    else:
        pulled, moved = setting * size, columns["clipped_gradient_rms"][:, column]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = late_median(pulled / moved)
    return 0.0 if math.isnan(share) else share


def describe_decay(run: Run, decays: list[Decay], severity: Severity, loss: LossMotion) -> Finding:
    """The finding in words, for weight decay."""
    worst = max(decays, key=lambda one: one.share)
    text = (
        f"a weight decay of {format_number(worst.setting)} pulls the weights of {spoken(worst.layer)} to zero "
        f"{format_number(worst.share)} times as hard as the gradient moves them"
    )
    lower = min(worst.setting / 10.0, 1e-4)
    return Finding(
        condition="over_regularised",
        severity=severity,
        layers=tuple(dict.fromkeys([worst.layer, *(one.layer for one in reversed(decays))])),
        cause=Cause("regularisation", decibels(worst.share) if worst.share > 0.0 else None, text),
        evidence=(
            Evidence("decay against gradient", worst.share, "", text),
            Evidence(
                "size left", worst.shrunk, "", f"the weights are down to {format_share(worst.shrunk)} of their size"
            ),
            Evidence("layers", len(decays), "", f"so in {listed([one.layer for one in decays])}"),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("over_regularised", "regularisation"),
        summary=(
            f"Weight decay drowns the signal: {text}, and {format_share(worst.shrunk)} of their size is left; "
            f"{success_text(run, loss)}. Lower weight_decay to {format_number(lower)} or leave it out."
        ),
        prognosis="The weights go on shrinking until the network answers the same to everything.",
        step=int(run.snapshot_steps[min(1, run.snapshot_count - 1)]),
    )


def describe_dropout(run: Run, names: list[str], share: float, severity: Severity, loss: LossMotion) -> Finding:
    """The finding in words, for dropout."""
    text = f"dropout at {spoken(names[0])} drops {format_share(share)} of all values"
    noise = math.sqrt(share / (1.0 - share)) if share < 1.0 else math.inf
    louder = (
        "nothing is left" if share >= 1.0 else f"what is left is {format_number(noise)} times as much noise as signal"
    )
    return Finding(
        condition="over_regularised",
        severity=severity,
        layers=tuple(names),
        cause=Cause("regularisation", None, f"{text}: {louder}"),
        evidence=(
            Evidence("dropped share", share, "", text),
            Evidence("fall of the loss", loss.fall_share, "", loss.text),
        ),
        cures=cures_for("over_regularised", "regularisation"),
        summary=(
            f"Dropout drowns the signal: {text}, {louder}; {success_text(run, loss)}. Lower p to 0.5 or less (p is the "
            "share that is dropped, not the share that is kept)."
        ),
        prognosis="The layers behind it learn from another small part of what they are told in every step.",
        step=int(run.snapshot_steps[0]) if run.snapshot_count else 0,
    )
