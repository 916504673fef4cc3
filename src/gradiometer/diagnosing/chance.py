"""Which loss is at hand, to judge by its gradient at the network's output, and what a constant guess would give.

The norm of a mean loss' gradient at the output, times the root of the batch size, is a number of its own for every
kind of loss: for a cross-entropy over C classes at equal probabilities it is the root of 1 - 1/C on logits, 1 on
log-probabilities, C on probabilities; for a binary one 1/2 on logits and 2 on probabilities; for a mean squared error
over B·d numbers the squared norm is 4·loss / (B·d), always.
"""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.diagnosing.loss_path import example_count
from gradiometer.diagnosing.unopened import is_unopened, last_weights
from gradiometer.schema import Layer, Run


@dataclass(frozen=True, slots=True)
class Guess:
    """What the best constant guess gives.

    Attributes:
        loss: Its loss.
        margin: How near to it, as a share, a loss counts as being there.
    """

    loss: float
    margin: float


def constant_guess(run: Run, *, margin: float = 0.05) -> Guess | None:
    """What the best constant guess gives: from the targets really seen, else from the loss' gradient at the output.

    Args:
        run: The run.
        margin: How near to it, as a share, a loss counts as being there, where many targets were seen. Few targets
            make the guess itself unsure: a variance of N targets by about twice the root of 1/N, and an entropy over C
            classes comes out too low by about C/(2N).

    Returns:
        None where neither tells.
    """
    measured = np.asarray(run.snapshot_columns.get("constant_loss", ()), dtype=np.float64)
    known = measured[np.isfinite(measured)]
    if len(known) and known[-1] > 1e-12:
        seen_count = float((example_count(run) or 1) * len(known))
        return Guess(float(known[-1]), min(0.5, max(margin, 2.0 / math.sqrt(seen_count))))
    chance = chance_loss(run)
    return None if chance is None else Guess(chance, margin)


def is_turned(run: Run) -> bool:
    """Whether the main loss is a known one with its sign turned, so that descent makes the network worse.

    Losses for which it is known what a constant guess gives are never negative by themselves.
    """
    measured = np.asarray(run.snapshot_columns.get("constant_loss", ()), dtype=np.float64)
    values = run.losses[0].values if run.losses else measured
    known = values[np.isfinite(values)]
    return bool(np.isfinite(measured).any()) and len(known) > 0 and float(known.max()) < 0.0


def output_layer(run: Run) -> Layer | None:
    """The network's output: the first layer of the first trunk that was measured; None where nothing was."""
    for index in range(run.snapshot_count):
        trunk = run.trunk(index)
        if trunk:
            return run.layers[trunk[0]]
    return run.layers[-1] if run.layers else None


def chance_loss(run: Run, *, margin: float = 0.05, gradient_margin: float = 0.15) -> float | None:
    """What a constant guess over equally frequent classes gives, where the loss is a cross-entropy.

    Args:
        run: The run.
        margin: How near to ln C, as a share, a measured loss has to come for its gradient to be compared.
        gradient_margin: How near, as a share, that gradient has to come to a cross-entropy's; batches whose classes
            are not equally frequent move it by a few percent.

    Returns:
        ln C, for a binary loss ln 2; None where the loss is another one, its output is unknown, or it never came near
        such a value, so that its kind can't be told.
    """
    if is_unopened(run):
        return presumed_chance(run, margin)
    layer = output_layer(run)
    batch_size = run.facts.get("batch_size")
    if layer is None or not layer.unit_count or not batch_size or "loss" not in run.snapshot_columns:
        return None
    if is_squared_error(run):
        return None
    losses = run.snapshot_columns["loss"]
    gradients = run.snapshot_columns["output_gradient_norm"] * math.sqrt(float(batch_size))
    matches = []
    for chance, expected in gradients_at_chance(layer.unit_count):
        is_near = np.abs(losses - chance) <= margin * chance
        found = np.flatnonzero(is_near & (np.abs(gradients - expected) <= gradient_margin * expected))
        matches += [(int(index), chance) for index in found[:1]]
    # A loss comes by other kinds' values on its way down; the first match is at its start.
    return min(matches)[1] if matches else None


def presumed_chance(run: Run, margin: float) -> float | None:
    """Logarithm of C where layers were not opened: the last weights have C > 2 outputs and the loss came near ln C.

    It is presumed, not known: the gradient at the output, which tells a cross-entropy, was not measured.
    """
    output = last_weights(run)
    if output is None or output[1] <= 2 or "loss" not in run.snapshot_columns:
        return None
    chance = math.log(output[1])
    losses = run.snapshot_columns["loss"]
    return chance if bool((np.abs(losses - chance) <= margin * chance).any()) else None


def possible_chance(run: Run) -> float | None:
    """What a constant guess would give if the loss were a cross-entropy, which nothing speaks against.

    Returns:
        ln C; None for a mean squared error and where the output is unknown.
    """
    if is_unopened(run):
        output = last_weights(run)
        return None if output is None else math.log(max(output[1], 2))
    layer = output_layer(run)
    if layer is None or not layer.unit_count or is_squared_error(run):
        return None
    return math.log(max(layer.unit_count, 2))


def gradients_at_chance(unit_count: int) -> list[tuple[float, float]]:
    """Cross-entropies over that many outputs: loss of a constant guess, gradient norm times root of batch size."""
    binary = (math.log(2.0), 1.0 / math.sqrt(unit_count))
    found = [(binary[0], 0.5 * binary[1]), (binary[0], 2.0 * binary[1])]
    if unit_count > 1:
        classes = math.log(unit_count)
        found += [(classes, math.sqrt(1.0 - 1.0 / unit_count)), (classes, 1.0), (classes, float(unit_count))]
    return found


def is_far_below_chance(run: Run, loss: float, *, share: float = 0.7) -> bool:
    """Whether a loss is so low that, were it a cross-entropy, the network would have learned.

    Args:
        run: The run.
        loss: Where its loss ends.
        share: Greatest part of ln C that counts as learned, and greatest part of the gradient at chance.

    Returns:
        False for a mean squared error, whose size says nothing, and where the output is unknown.
    """
    layer = output_layer(run)
    batch_size = run.facts.get("batch_size")
    if layer is None or not layer.unit_count or not batch_size or not run.snapshot_count:
        return False
    if "loss" not in run.snapshot_columns or is_squared_error(run):
        return False
    chance, gradient = gradients_at_chance(layer.unit_count)[-3 if layer.unit_count > 1 else 0]
    measured = run.snapshot_columns["output_gradient_norm"][-1] * math.sqrt(float(batch_size))
    # An example guessed with probability p = exp(-loss) has a gradient of at least 1 - p. A cross-entropy that is
    # small because it was divided by something has less: at chance over ten classes and halved it has 0.70 of that.
    # The rest is room for losses that differ between examples.
    is_consistent = measured >= 0.75 * (1.0 - math.exp(-loss))
    return bool(0.0 <= loss < share * chance and measured < share * gradient and is_consistent)


def is_squared_error(run: Run, *, margin: float = 0.01) -> bool:
    """Whether the loss is a mean squared error of the output: ‖gradient‖² is 4·loss / (batch size · outputs)."""
    layer = output_layer(run)
    batch_size = run.facts.get("batch_size")
    if layer is None or not layer.unit_count or not batch_size or "loss" not in run.snapshot_columns:
        return False
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = run.snapshot_columns["output_gradient_norm"] ** 2
        ratios = squares * float(batch_size) * layer.unit_count / (4.0 * run.snapshot_columns["loss"])
    return bool(np.nanmedian(np.abs(ratios - 1.0)) <= margin) if np.isfinite(ratios).any() else False
