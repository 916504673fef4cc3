"""The procedure of experiment `hyper-parameters`: five steps, each with one question, one measurement, one decision.

1. Get any learning at all: can the network learn one batch by heart, and at which rates by powers of ten?
2. Learning-rate range test: one short run in which the rate grows from step to step, beside one that holds still.
3. Batch size from the gradient noise scale: the number of examples at which noise and gradient are of one size.
4. Regularisation: weight decay, by validation.
5. Early stopping: train with all of it until the validation accuracy no longer rises.

Source:
    Nielsen, "Neural Networks and Deep Learning", 2015, chapter 3, "How to choose a neural network's hyper-parameters?",
    for the order of the steps; Karpathy, course notes cs231n, for the single batch; Smith, "Cyclical Learning Rates",
    WACV 2017, for the range test; McCandlish and others, "An empirical model of large-batch training", 2018, for the
    noise scale and for the rate at another batch size, rate = greatest / (1 + noise scale / batch).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from gradiometer.curing.trials.range_reading import Curve, RangeResult, curve_of, rate_from
from gradiometer.curing.trials.range_test import RANGE_STEPS, RateSweep, hold_still
from gradiometer.lab.experiments.hyper_parameters.training import (
    Account,
    Fitted,
    Problem,
    Settings,
    descent,
    draw_classifier,
    fit,
    take_step,
    train_epoch,
)
from gradiometer.noise_scale import NoiseScale, NoiseTerms, noise_scale, noise_terms
from gradiometer.schema import LossSeries, Run

FIRST_RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Rates at which one batch is learned by heart."""

FIRST_BATCH = 32
"""Examples of that batch, and of the steps until a size is chosen."""

BY_HEART = 0.05
"""A batch is learned where its loss has fallen to this share of the first."""

DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
"""Weight decays that are tried: none first, then by powers of ten, as Nielsen has it."""

LEAST_BATCH = 8
GREATEST_BATCH = 256
"""Bounds of the batch size: below, a step costs what it costs whatever is in it; above, an epoch has few steps."""

EXAMPLES = 64
"""Examples of which gradients are taken one by one for the noise scale."""

WINDOWS = 3
"""Parts of the training that the noise scale is told for."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the procedure's steps are.

    Attributes:
        first_steps: Steps on the one batch.
        noise_epochs: Epochs during which the noise scale is measured.
        noise_points: Points of each window.
        decay_epochs: Epochs of each weight decay.
        epochs: Epochs of the last training at most.
        patience: Epochs without a rise after which a training ends.
    """

    first_steps: int
    noise_epochs: int
    noise_points: int
    decay_epochs: int
    epochs: int
    patience: int


@dataclass(frozen=True, slots=True)
class FirstSignal:
    """Step 1: loss of the one batch, step by step, for each rate."""

    losses: dict[float, tuple[float, ...]]

    @property
    def learned_at(self) -> tuple[float, ...]:
        """Rates at which the batch was learned by heart."""
        return tuple(rate for rate, losses in self.losses.items() if losses[-1] <= BY_HEART * losses[0])

    @property
    def start(self) -> float:
        """The greatest rate at which it was learned; the one with the least loss where it never was."""
        if self.learned_at:
            return max(self.learned_at)
        finite = {rate: losses[-1] for rate, losses in self.losses.items() if math.isfinite(losses[-1])}
        return min(finite, key=lambda rate: finite[rate])


@dataclass(frozen=True, slots=True)
class RangeTest:
    """Step 2: the curve, what was read from it, and the rate that is taken."""

    curve: Curve | None
    base: float
    result: RangeResult
    rate: float


@dataclass(frozen=True, slots=True)
class NoiseMeasured:
    """Step 3: noise scale by window, the batch size that is taken, and the rate that goes with it."""

    steps: tuple[float, ...]
    scales: tuple[NoiseScale, ...]
    batch: int
    rate: float


@dataclass(frozen=True, slots=True)
class Procedure:
    """All five steps of one seed.

    Attributes:
        first: Step 1.
        range_test: Step 2.
        noise: Step 3.
        decays: Step 4: a training for each weight decay.
        settings: What was chosen.
        final: Step 5.
        spent: Examples booked after each step, running total.
        path: Examples booked, and the best validation accuracy so far, after each training of steps 4 and 5.
    """

    first: FirstSignal
    range_test: RangeTest
    noise: NoiseMeasured
    decays: tuple[Fitted, ...]
    settings: Settings
    final: Fitted
    spent: tuple[int, ...]
    path: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def best(self) -> Fitted:
        """The training with the greatest validation accuracy among those of steps 4 and 5; the last of several."""
        return max((self.final, *self.decays), key=lambda fitted: fitted.best)


def choose_settings(problem: Problem, seed: int, effort: Effort, account: Account) -> Procedure:
    """Go through steps 1 to 5; the last training is not watched."""
    first = get_any_learning(problem, seed, effort.first_steps, account)
    spent = [account.spent]
    ranged = sweep_rates(problem, seed, first.start, account)
    spent.append(account.spent)
    noise = measure_noise(problem, seed, ranged.rate, effort, account)
    spent.append(account.spent)
    base = Settings(noise.rate, noise.batch, 0.0)
    decays, marks = [], []
    for decay in DECAYS:
        settings = replace(base, decay=decay)
        decays.append(fit(problem, settings, seed, account, epochs=effort.decay_epochs, patience=effort.patience))
        marks.append(float(account.spent))
    spent.append(account.spent)
    settings = max(decays, key=lambda fitted: fitted.best).settings
    final = fit(problem, settings, seed, account, epochs=effort.epochs, patience=effort.patience)
    spent.append(account.spent)
    heights = np.maximum.accumulate([fitted.best for fitted in (*decays, final)]).tolist()
    path = ((*marks, float(account.spent)), tuple(heights))
    return Procedure(first, ranged, noise, tuple(decays), settings, final, tuple(spent), path)


def get_any_learning(problem: Problem, seed: int, steps: int, account: Account) -> FirstSignal:
    """Step 1: learn one batch by heart at rates by powers of ten; a loss that is not finite ends a try."""
    inputs, labels = (part[:FIRST_BATCH] for part in problem.tensors(problem.train))
    found = {}
    for rate in FIRST_RATES:
        network = draw_classifier(problem, seed)
        optimizer = descent(network, Settings(rate, len(inputs), 0.0))
        losses: list[float] = []
        while len(losses) < steps and (not losses or math.isfinite(losses[-1])):
            losses.append(take_step(network, optimizer, inputs, labels))
            account.book(len(inputs))
        found[rate] = tuple(losses)
    return FirstSignal(found)


def sweep_rates(problem: Problem, seed: int, base: float, account: Account) -> RangeTest:
    """Step 2: the loop's form of the range test that scripts get, read by the same rule.

    Where nothing can be read a tenth of the greatest rate is taken at which a batch was learned, and said so.
    """
    sweep = RateSweep(lambda: len(losses))
    network = draw_classifier(problem, seed)
    optimizer = descent(network, Settings(base, FIRST_BATCH, 0.0))
    sweep.take(optimizer)
    losses: list[float] = []
    for inputs, labels in range_batches(problem, seed):
        loss = take_step(network, optimizer, inputs, labels)
        losses.append(loss)
        account.book(len(inputs))
        if sweep.is_over(loss if math.isfinite(loss) else None):
            break
    run = run_of(losses, facts={"range_test": sweep.facts()})
    still = run_of(still_losses(problem, seed, len(losses), account), facts={})
    result = rate_from(run, still)
    rate = result.rate if result.rate is not None else base / 10.0
    return RangeTest(curve_of(run, still), base, result, rate)


def still_losses(problem: Problem, seed: int, steps: int, account: Account) -> list[float]:
    """Losses of the same batches at weights that are put back after every step."""
    network = draw_classifier(problem, seed)
    optimizer = descent(network, Settings(1.0, FIRST_BATCH, 0.0))
    hold_still(optimizer)
    losses = []
    for (inputs, labels), _ in zip(range_batches(problem, seed), range(steps), strict=False):
        losses.append(take_step(network, optimizer, inputs, labels))
        account.book(len(inputs))
    return losses


def range_batches(problem: Problem, seed: int) -> list[tuple[Tensor, Tensor]]:
    """The batches of a range test, drawn with replacement, the same each time."""
    inputs, labels = problem.tensors(problem.train)
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(inputs), (RANGE_STEPS, FIRST_BATCH), generator=draw)
    return [(inputs[row], labels[row]) for row in chosen]


def run_of(losses: list[float], facts: dict[str, object]) -> Run:
    """A run of which nothing is known but the losses, and that step by step the batches are known."""
    values = np.array(losses)
    is_bad = ~np.isfinite(values)
    steps = np.arange(len(values))
    series = LossSeries("range test", steps, np.where(is_bad, np.nan, values), is_bad.astype(np.int64))
    return Run(facts=facts, losses=(series,), fingerprints={int(step): str(step) for step in steps})


def measure_noise(problem: Problem, seed: int, rate: float, effort: Effort, account: Account) -> NoiseMeasured:
    """Step 3: train for some epochs, and take gradients example by example at points spread evenly over them.

    The batch size is the power of two next to the noise scale of the middle window; where noise hides the gradient
    there, the greatest that is allowed.
    """
    network = draw_classifier(problem, seed)
    optimizer = descent(network, Settings(rate, FIRST_BATCH, 0.0))
    inputs, labels = problem.tensors(problem.train)
    order = torch.Generator().manual_seed(seed)
    points = WINDOWS * effort.noise_points
    share = max(FIRST_BATCH, math.ceil(effort.noise_epochs * len(inputs) / points))
    terms: list[NoiseTerms] = []
    for _ in range(points):
        chosen = torch.randint(len(inputs), (EXAMPLES,), generator=order)
        terms.append(terms_of(network, inputs[chosen], labels[chosen]))
        account.book(len(chosen))
        part = torch.randint(len(inputs), (share,), generator=order)
        train_epoch(network, optimizer, inputs[part], labels[part], FIRST_BATCH, order, account)
    per = effort.noise_points
    scales = tuple(noise_scale(terms[window * per : (window + 1) * per]) for window in range(WINDOWS))
    middle = scales[WINDOWS // 2].examples
    batch = nearest_batch(middle)
    steps = tuple((window + 0.5) * per * share / FIRST_BATCH for window in range(WINDOWS))
    return NoiseMeasured(steps, scales, batch, rate_at(rate, batch, middle))


def terms_of(network: nn.Module, inputs: Tensor, labels: Tensor) -> NoiseTerms:
    """Both terms of the noise scale from the gradients of single examples."""
    parameters = dict(network.named_parameters())

    def loss_of(values: dict[str, Tensor], picture: Tensor, label: Tensor) -> Tensor:
        output = functional_call(network, values, (picture[None],))
        return nn.functional.cross_entropy(output, label[None])

    detached = {name: value.detach() for name, value in parameters.items()}
    each = vmap(grad(loss_of), in_dims=(None, 0, 0))(detached, inputs, labels)
    norms = sum(gradient.double().flatten(1).square().sum(dim=1) for gradient in each.values())
    mean = sum(float(gradient.double().mean(dim=0).square().sum()) for gradient in each.values())
    return noise_terms(norms.numpy(), mean)


def nearest_batch(examples: float) -> int:
    """The power of two nearest to a noise scale, within bounds; the upper bound where the scale is not positive.

    Example:
        >>> nearest_batch(50.0), nearest_batch(1.0), nearest_batch(-3.0)
        (64, 8, 256)
    """
    if not examples > 0.0:
        return GREATEST_BATCH
    bounded = min(max(examples, float(LEAST_BATCH)), float(GREATEST_BATCH))
    return int(2 ** round(math.log2(bounded)))


def rate_at(rate: float, batch: int, examples: float) -> float:
    """The rate for another batch size than the one it was found at; unchanged where the noise scale is not positive.

    Example:
        >>> rate_at(0.25, 32, 32.0), round(rate_at(0.1, 64, 32.0), 4)
        (0.25, 0.1333)
    """
    if not examples > 0.0:
        return rate
    return rate * (1.0 + examples / FIRST_BATCH) / (1.0 + examples / batch)
