"""Pictures through a code of a few numbers: deep autoencoders, pretrained and not, beside principal components."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradiometer.curing.learners.rbm import RbmSettings
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.networks.deep_autoencoder import (
    cross_entropy,
    draw_ways,
    learn_ways,
    principal_components,
    rebuilt,
    squared_error,
    unrolled,
)
from gradiometer.lab.networks.plain import orders, sigmoid_start, standard_start
from gradiometer.schema import Chart, Line, Picture, PictureGrid, Section, Table

CODE_STARTS = ("pretrained", "uniform ±1/√n", "Glorot × 4")
"""How a deep autoencoder begins."""

PUBLISHED_CODES = 30
"""Numbers of the published code."""

RATE, MOMENTUM = 0.003, 0.9
"""Of the descent, on the sum over the pixels. At .001 the order is the same, and all are slower."""


@dataclass(frozen=True, slots=True)
class CodePlan:
    """How much is trained.

    Attributes:
        pictures: Pictures to learn from, the first ones.
        sizes: Units of the hidden layers, the code's last.
        epochs: Passes over the pictures.
        batch_size: Pictures of a step.
        updates: How often each layer's weights are changed in pretraining.
        seeds: How many of each start.
        rate: Learning rate.
    """

    pictures: int
    sizes: tuple[int, ...]
    epochs: int
    batch_size: int
    updates: int
    seeds: int
    rate: float = RATE


@dataclass(frozen=True, slots=True)
class CodeErrors:
    """Squared errors on test pictures: mean over the pictures, sum over their pixels.

    Attributes:
        curves: For each start and seed the error before training and after each epoch.
        components: Error of as many principal components of the same pictures.
        average: Error of the average picture.
        published_components: Error of 30 principal components of all pictures that are not for testing.
        pictures: Some test pictures, each as it is and as everything gives it back, by name [example pixel].
    """

    curves: dict[str, list[list[float]]]
    components: float
    average: float
    published_components: float
    pictures: dict[str, Tensor]

    def last(self, name: str) -> list[float]:
        """Error of a start after training, for each seed."""
        return [curve[-1] for curve in self.curves[name]]


def code_plan(bench: Bench) -> CodePlan:
    """What fits the size of the bench."""
    return bench.pick(
        toy=CodePlan(60, (8, 6, 3), 1, 20, 3, 1),
        quick=CodePlan(1200, (48, 24, 8), 15, 20, 300, 1, rate=0.01),
        full=CodePlan(10_000, (300, 100, 30), 10, 50, 500, 3),
    )


def network_of(start: str, inputs: Tensor, plan: CodePlan, seed: int) -> nn.Sequential:
    """A deep autoencoder, pretrained or drawn."""
    if start == CODE_STARTS[0]:
        settings = RbmSettings(updates=plan.updates)
        return unrolled(*learn_ways(inputs, plan.sizes, settings, torch.Generator().manual_seed(seed)))
    drawn = standard_start if start == CODE_STARTS[1] else sigmoid_start
    return unrolled(*draw_ways((inputs.shape[1], *plan.sizes), drawn, seed))


def train_codes(network: nn.Sequential, inputs: Tensor, tests: Tensor, plan: CodePlan, seed: int) -> list[float]:
    """Train a deep autoencoder; gives its error before and after each epoch."""
    optimizer = torch.optim.SGD(network.parameters(), plan.rate, momentum=MOMENTUM)
    generator = torch.Generator().manual_seed(seed)
    errors = [squared_error(network, tests)]
    for _ in range(plan.epochs):
        for chosen in orders(len(inputs), plan.batch_size, generator):
            loss = cross_entropy(network(inputs[chosen]), inputs[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        errors.append(squared_error(network, tests))
    return errors


def components_error(samples: Tensor, tests: Tensor, count: int) -> float:
    """Squared error of principal components: mean over test pictures, sum over their pixels."""
    return float((rebuilt(tests, *principal_components(samples, count)) - tests).square().sum() / len(tests))


def measure_codes(bench: Bench, images: LabelledImages) -> CodeErrors:
    """Train every start, and judge it beside principal components."""
    plan = code_plan(bench)
    inputs, tests = torch.from_numpy(images.train_inputs[: plan.pictures]), torch.from_numpy(images.test_inputs)
    every = torch.cat((torch.from_numpy(images.train_inputs), torch.from_numpy(images.validation_inputs)))
    shown = tests[:8]
    axes = principal_components(inputs, plan.sizes[-1])
    pictures = {"as it is": shown, f"{plan.sizes[-1]} principal components": rebuilt(shown, *axes).float()}
    curves: dict[str, list[list[float]]] = {}
    for rank, start in enumerate(CODE_STARTS):
        curves[start] = []
        for seed in range(plan.seeds):
            bench.progress(0.75 + 0.25 * (rank + seed / plan.seeds) / 3, f"deep autoencoder, {start}, seed {seed}")
            network = network_of(start, inputs, plan, seed)
            curves[start].append(train_codes(network, inputs, tests, plan, seed))
        with torch.no_grad():
            pictures[start] = network(shown).sigmoid()
    return CodeErrors(
        curves,
        components_error(inputs, tests, plan.sizes[-1]),
        float((tests - inputs.mean(0)).square().sum() / len(tests)),
        components_error(every, tests, min(PUBLISHED_CODES, images.pixels)),
        pictures,
    )


def codes_section(errors: CodeErrors, plan: CodePlan, side: int) -> Section:
    """What deep autoencoders make of pictures, with and without pretraining."""
    epochs = tuple(float(epoch) for epoch in range(plan.epochs + 1))
    lines = [
        Line(start, epochs, tuple(sum(some) / len(some) for some in zip(*seeds, strict=True)))
        for start, seeds in errors.curves.items()
    ]
    for name, level in (("principal components", errors.components), ("the average picture", errors.average)):
        lines.append(Line(name, epochs, (level,) * len(epochs), "dashes"))
    way = " - ".join(str(size) for size in (side * side, *plan.sizes))
    return Section(
        "Codes: what pretraining made possible first",
        (
            f"An autoencoder has to give back the picture that it is shown, through a code of {plan.sizes[-1]} "
            f"numbers. This one is deep: {way} and the same way back, {2 * len(plan.sizes)} layers of weights. Its "
            "best linear relative is principal component analysis, which keeps the directions in which pictures "
            "differ most. With sigmoids and the common first weights the gradient of the first layer is next to "
            "nothing, and all that the network learns is its output's bias: every picture comes back as the average "
            "of all. Begun from stacked Boltzmann machines, the same descent goes below the principal components.",
            Chart(
                "Error of what comes back",
                "Squared error a test picture, mean over the seeds. The start that stays on the upper dashes gives "
                "back the average picture whatever it is shown.",
                "epochs",
                "squared error a picture",
                tuple(lines),
                y_scale="log",
            ),
            codes_table(errors),
            codes_pictures(errors, side),
        ),
    )


def codes_table(errors: CodeErrors) -> Table:
    """Errors after training."""
    rows: list[tuple[str | float, ...]] = [(start, *span(errors.last(start))) for start in CODE_STARTS]
    rows.append(("principal components", errors.components, errors.components, errors.components))
    rows.append(("the average picture", errors.average, errors.average, errors.average))
    return Table(
        "After training",
        "Squared error a test picture, least and greatest over the seeds beside the mean.",
        ("begun from", "mean", "least", "greatest"),
        tuple(rows),
    )


def codes_pictures(errors: CodeErrors, side: int) -> PictureGrid:
    """Some test pictures as everything gives them back."""
    grid = tuple(
        Picture(name if rank == 0 else "", one.reshape(side, side).double().numpy())
        for name, some in errors.pictures.items()
        for rank, one in enumerate(some)
    )
    return PictureGrid(
        "Pictures and what comes back",
        "Each row shows the same test pictures; the first as they are.",
        grid,
        columns=len(errors.pictures["as it is"]),
    )


def span(values: list[float]) -> tuple[float, float, float]:
    """Mean, least and greatest."""
    return sum(values) / len(values), min(values), max(values)
