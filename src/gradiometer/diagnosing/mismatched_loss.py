"""The output unit and the loss do not belong together.

What it finds:
    A softmax or sigmoid before a cross-entropy that takes it itself, a softmax over a single unit or along the batch,
    probabilities or raw scores where a negative log-likelihood wants logarithms, outputs confined to a range in which
    the targets do not lie, outputs of shape [N, 1] that are broadcast against targets of shape [N], and a sigmoid,
    tanh or softmax whose own slope kills the gradient of a squared error. A network that has learned all there is
    to learn in spite of it is told so, and is no more than an `info`.

Why it matters:
    A loss and its output unit are made for each other: together their slope is output minus target, however wrong the
    output is. Apart, the unit's slope stays in the product, and it is smallest where the network is most wrong. What
    is squashed twice can't become sure of anything, so the loss has a floor far above zero.

What cures it:
    The line of the program that the finding names: the loss on the last layer's output as it is (CrossEntropyLoss,
    BCEWithLogitsLoss), no output unit before a regression, outputs and targets of one shape.

Source:
    Goodfellow, Bengio, Courville, "Deep Learning", 2016, section 6.2.2; Nielsen, "Neural Networks and Deep Learning",
    chapter 3 (learning slowdown); Humbatova et al., "Taxonomy of Real Faults in Deep Learning Systems", 2020 (loss).
"""

import numpy as np

from gradiometer.diagnosing.chance import output_layer
from gradiometer.diagnosing.learned_well import newest_accuracy, success_text
from gradiometer.diagnosing.learning import LossMotion, judge_loss
from gradiometer.diagnosing.loss_pairing import PAIRINGS, Mismatch
from gradiometer.diagnosing.loss_path import LossPath, loss_path
from gradiometer.diagnosing.naming import capital
from gradiometer.diagnosing.unopened import is_unopened, last_weights
from gradiometer.prescribing import cures_for
from gradiometer.schema import Cause, Evidence, Finding, Layer, Run
from gradiometer.units import format_share


def find_mismatched_loss(run: Run) -> list[Finding]:
    """Find an output unit and a loss that do not belong together.

    Args:
        run: The run.

    Returns:
        One finding or none; none where it was not noted what stands before the loss, and where several losses are
        trained at several places, of which only the first is known.
    """
    path = loss_path(run)
    if path is None or len(run.losses) > 1:
        return []
    loss = judge_loss(run)
    for find in PAIRINGS:
        mismatch = find(path, run, loss)
        if mismatch is not None:
            return [describe(run, path, mismatch, loss)]
    return []


def describe(run: Run, path: LossPath, mismatch: Mismatch, loss: LossMotion) -> Finding:
    """The finding in words."""
    site = f" (backward at {path.site})" if path.site else ""
    return Finding(
        condition="mismatched_loss",
        severity=mismatch.severity,
        layers=output_names(run),
        cause=Cause("loss", None, f"{mismatch.text}: {mismatch.harm}"),
        evidence=evidence_of(run, path, mismatch, loss),
        cures=cures_for("mismatched_loss", "loss"),
        summary=(
            f"{capital(mismatch.text)}{site}: {mismatch.harm}; {success_text(run, loss)}. "
            f"{capital(mismatch.correction)}."
        ),
        prognosis=(
            "It costs this network nothing that shows; a harder task would meet it."
            if mismatch.severity == "info"
            else "No other setting makes up for it: the loss stays where the pairing keeps it."
        ),
        step=int(run.snapshot_steps[0]) if run.snapshot_count else loss.first_step,
    )


def output_names(run: Run) -> tuple[str, ...]:
    """The network's output, as a finding names it; empty where nothing is known."""
    if is_unopened(run):
        weights = last_weights(run)
        return () if weights is None else (weights[0],)
    layer = output_layer(run)
    leaves = [other for other in run.layers if other.role != "block" and other.fan_in is not None]
    last = max(leaves, key=lambda other: other.position, default=None)
    # A block has no operation of its own, and where ways part again the trunk ends before the output.
    if layer is not None and last is not None and (layer.role == "block" or follows(run, last, layer)):
        layer = last
    return () if layer is None else (layer.name,)


def follows(run: Run, last: Layer, layer: Layer) -> bool:
    """Whether the gradient meets one layer before another, on its way back."""
    levels = run.layer_columns["level_db"][:, run.layer_index(last.name)]
    return last.position > layer.position and bool(np.any(~np.isnan(levels)))


def evidence_of(run: Run, path: LossPath, mismatch: Mismatch, loss: LossMotion) -> tuple[Evidence, ...]:
    """The numbers behind the finding."""
    chain = " <- ".join(path.operations[:6])
    found = [Evidence("way to the loss", None, "", f"from the loss back: {chain}")]
    if mismatch.floor is not None:
        text = f"the cross-entropy can't fall below {mismatch.floor:.3g}"
        found.append(Evidence("least loss possible", mismatch.floor, "", text))
    found.append(Evidence("fall of the loss", loss.fall_share, "", loss.text))
    newest = newest_accuracy(run, loss)
    if newest is not None:
        step, accuracy = newest
        text = f"at step {step} {format_share(accuracy)} of the answers were right"
        found.append(Evidence("right answers", accuracy, "", text))
    return tuple(found)
