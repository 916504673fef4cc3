"""What is published of pretraining, with what is accepted; each is filled from what this run measured."""

import math
from dataclasses import replace

from gradiometer.lab.bench import NEEDS_MNIST, Bench
from gradiometer.lab.experiments.pretraining.codes import CODE_STARTS, CodeErrors
from gradiometer.lab.experiments.pretraining.starts import (
    AUTOENCODERS,
    GLOROT,
    GLOROT_ADAM,
    GLOROT_RATE_1,
    GLOROT_RATE_3,
    GLOROT_TIMES_4,
    HE_RELU,
    MACHINES,
    UNIFORM,
    Curves,
    last_accuracies,
)
from gradiometer.schema import Row

OWN = "gradiometer: the same setting run before, with 2 seeds: 10,000 pictures, layers of 100, 20 epochs"
BENGIO = "Bengio, Lamblin, Popovici, Larochelle, NIPS 2007, table 1"
ERHAN = "Erhan et al., Journal of Machine Learning Research 2010, section 6"
SCIENCE = "Hinton and Salakhutdinov, Science 2006"

ACCURACIES: dict[tuple[int, str], Row] = {
    (3, UNIFORM): Row(
        "Test accuracy, 3 sigmoid layers, uniform start", ".603 .558", 0.48, 0.68, OWN, "own", needs="mnist"
    ),
    (3, GLOROT): Row(
        "Test accuracy, 3 sigmoid layers, Glorot's start", ".861 .868", 0.82, 0.91, OWN, "own", needs="mnist"
    ),
    (3, MACHINES): Row(
        "Test accuracy, 3 sigmoid layers, pretrained by Boltzmann machines",
        ".932 .936",
        0.91,
        0.96,
        OWN,
        "own",
        needs="mnist",
    ),
    (5, UNIFORM): Row("Test accuracy, 5 sigmoid layers, uniform start: chance", ".098 .113", 0.0, 0.15, OWN, "own"),
    (5, GLOROT): Row("Test accuracy, 5 sigmoid layers, Glorot's start: chance", ".098 .113", 0.0, 0.15, OWN, "own"),
    (5, MACHINES): Row(
        "Test accuracy, 5 sigmoid layers, pretrained by Boltzmann machines",
        ".935 .939",
        0.90,
        1.0,
        OWN,
        "own",
        needs="mnist",
    ),
    (7, UNIFORM): Row("Test accuracy, 7 sigmoid layers, uniform start: chance", ".098 .113", 0.0, 0.15, OWN, "own"),
    (7, GLOROT): Row("Test accuracy, 7 sigmoid layers, Glorot's start: chance", ".098 .113", 0.0, 0.15, OWN, "own"),
    (7, MACHINES): Row(
        "Test accuracy, 7 sigmoid layers, pretrained by Boltzmann machines",
        ".934 .939",
        0.90,
        1.0,
        OWN,
        "own",
        needs="mnist",
    ),
    (5, GLOROT_RATE_1): Row("Control: 5 sigmoid layers, Glorot's start, rate 1", ".098", 0.0, 0.15, OWN, "own"),
    (5, GLOROT_RATE_3): Row(
        "Control: 5 sigmoid layers, Glorot's start, rate 3", ".806", 0.70, 0.91, OWN, "own", needs="mnist"
    ),
    (5, GLOROT_ADAM): Row(
        "Control: 5 sigmoid layers, Glorot's start, Adam at 0.001", ".900", 0.87, 0.93, OWN, "own", needs="mnist"
    ),
    (5, GLOROT_TIMES_4): Row(
        "Control: 5 sigmoid layers, 4 times Glorot's start", ".925", 0.895, 0.955, OWN, "own", needs="mnist"
    ),
    (5, HE_RELU): Row("Control: 5 ReLU layers, He's start", ".955", 0.93, 1.0, OWN, "own", needs="mnist"),
}
"""Depth and start to the accuracy after the last epoch."""

SEED_LUCK: dict[tuple[int, str], str] = {
    (
        5,
        GLOROT_RATE_1,
    ): "the published figure is one seed's; some leave chance just before the end, others do not",
    (5, GLOROT_RATE_3): "the published figure is one seed's; some leave chance half-way, others do not at all",
}
"""Why a figure may be missed."""

FIRST_EPOCH = Row(
    "Test accuracy after one epoch, 5 sigmoid layers, pretrained by Boltzmann machines",
    ".869 .882",
    0.83,
    0.92,
    OWN,
    "own",
    needs="mnist",
)

ORDERS: dict[str, tuple[tuple[int, str], tuple[int, str], Row]] = {
    "machines": (
        (3, MACHINES),
        (3, UNIFORM),
        Row(
            "Three layers: accuracy with machines less accuracy without, above 0",
            "errors of 1.2 % and 2.4 %",
            0.005,
            math.inf,
            BENGIO,
            "remembered",
        ),
    ),
    "autoencoders": (
        (3, AUTOENCODERS),
        (3, UNIFORM),
        Row(
            "Three layers: accuracy with autoencoders less accuracy without, above 0",
            "errors of 1.4 % and 2.4 %",
            0.005,
            math.inf,
            BENGIO,
            "remembered",
        ),
    ),
    "shallow": (
        (1, UNIFORM),
        (3, UNIFORM),
        Row(
            "Without pretraining: accuracy of 1 layer less that of 3, above 0",
            "errors of 1.9 % and 2.4 %",
            0.0,
            math.inf,
            BENGIO,
            "remembered",
        ),
    ),
    "depth without": (
        (1, UNIFORM),
        (5, UNIFORM),
        Row(
            "Without pretraining: accuracy of 1 layer less that of 5",
            "error grows with depth, and 5 layers could not be trained",
            0.5,
            math.inf,
            ERHAN,
            "remembered",
        ),
    ),
    "depth with": (
        (5, MACHINES),
        (3, MACHINES),
        Row(
            "With pretraining: accuracy of 5 layers less that of 3",
            "4 and 5 layers are fine",
            -0.02,
            math.inf,
            ERHAN,
            "remembered",
        ),
    ),
}
"""Two trainings, and the claim about the first one's accuracy less the second one's."""

GAP_CLOSED = Row(
    "Share of what machines win at 5 layers that 4 times Glorot's start wins alone",
    "a good start closes most of the gap",
    0.5,
    math.inf,
    "Glorot and Bengio, AISTATS 2010, section 5; with the factor for sigmoids",
    "second_hand",
)

SECONDS = Row(
    "Learning seven layers without labels, by machines and once more by autoencoders: time of one processor",
    "3, by machines",
    0.0,
    30.0,
    OWN,
    "own",
    "s",
)

PCA = Row(
    "Squared error a picture of 30 principal components of 60,000 pictures, on 10,000 others",
    "13.87",
    13.86,
    13.88,
    SCIENCE,
    "exact",
    needs="mnist",
)
CODES: dict[str, Row] = {
    "pretrained": Row(
        "Deep autoencoder: error of the pretrained one, as a share of that of as many principal components",
        "3.00 beside 13.87",
        0.0,
        0.99,
        SCIENCE + "; here a small one, order only",
        "remembered",
    ),
    "drawn": Row(
        "Deep autoencoder: error of the one drawn at random, as a share of that of as many principal components",
        "rebuilds the average picture",
        1.01,
        math.inf,
        SCIENCE + "; here a small one, order only",
        "remembered",
    ),
    "average": Row(
        "Deep autoencoder: error of the one drawn at random, as a share of that of the average picture",
        "rebuilds the average picture",
        0.95,
        1.05,
        SCIENCE + "; here a small one",
        "remembered",
    ),
}

LEFT_OUT: tuple[tuple[Row, str], ...] = (
    (
        Row(
            "Test error of a deep belief net of 500, 500 and 2,000 units",
            "1.25 %; 1.15 % after backpropagation",
            1.15,
            1.35,
            "Hinton, Osindero, Teh, Neural Computation 2006",
            "second_hand",
            "%",
            "mnist",
        ),
        "not run: days of fine-tuning at full size",
    ),
    (
        Row(
            "Squared error a picture of a deep autoencoder of 1000, 500, 250 and 30 units",
            "3.00",
            2.7,
            3.3,
            SCIENCE,
            "remembered",
            needs="mnist",
        ),
        "not run: hours at full size; a small one stands above",
    ),
    (
        Row(
            "Squared error a picture of logistic principal components, 30 of them",
            "8.01",
            7.6,
            8.4,
            SCIENCE,
            "remembered",
            needs="mnist",
        ),
        "not run: codes have to be searched for every picture",
    ),
    (
        Row(
            "Pretraining acts as a regulariser: test error beside training error over 400 starts",
            "test error lower at the same training error",
            -math.inf,
            0.0,
            ERHAN,
            "seen",
            needs="mnist",
        ),
        "not run: 400 starts for each setting",
    ),
)


def pretraining_rows(bench: Bench, curves: Curves, seconds: float, errors: CodeErrors) -> tuple[Row, ...]:
    """All rows, filled where this run's pictures can answer them.

    Args:
        bench: What it was conducted on.
        curves: How networks learned.
        seconds: Processor time that one seed's stacks took to learn.
        errors: How deep autoencoders did.
    """

    def answered(row: Row, values: list[float]) -> Row:
        return row.left_out(NEEDS_MNIST) if bench.is_quick and row.needs == "mnist" else row.filled_from(values)

    rows = []
    for key, row in ACCURACIES.items():
        filled = answered(row, last_accuracies(curves, *key))
        rows.append(replace(filled, reason=SEED_LUCK.get(key, "")) if filled.verdict == "outside" else filled)
    rows.append(answered(FIRST_EPOCH, [curve[0] for curve in curves[5, MACHINES]]))
    for first, second, row in ORDERS.values():
        pairs = zip(last_accuracies(curves, *first), last_accuracies(curves, *second), strict=True)
        rows.append(answered(row, [one - other for one, other in pairs]))
    rows.append(answered(GAP_CLOSED, shares_closed(curves)))
    rows.append(answered(SECONDS, [seconds]))
    rows.append(answered(PCA, [errors.published_components]))
    pretrained, drawn = (errors.last(name) for name in CODE_STARTS[:2])
    rows.append(answered(CODES["pretrained"], [error / errors.components for error in pretrained]))
    rows.append(answered(CODES["drawn"], [error / errors.components for error in drawn]))
    rows.append(answered(CODES["average"], [error / errors.average for error in drawn]))
    return (*rows, *(row.left_out(reason) for row, reason in LEFT_OUT))


def shares_closed(curves: Curves) -> list[float]:
    """For each seed what 4 times Glorot's start wins, as a share of what machines win; NaN where these win nothing."""
    shares = []
    trainings = (last_accuracies(curves, 5, name) for name in (UNIFORM, GLOROT_TIMES_4, MACHINES))
    for common, better, learned in zip(*trainings, strict=True):
        shares.append((better - common) / (learned - common) if learned != common else math.nan)
    return shares
