"""What is published of recurrent memory, with what is accepted; each is filled from what this run measured."""

import math

import numpy as np

from gradiometer.activations import ACTIVATIONS
from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.adding import draw_adding
from gradiometer.lab.datasets.copying import LENGTH, SYMBOLS, draw_copying
from gradiometer.lab.experiments.memory.fading import Fading
from gradiometer.lab.experiments.memory.races import BATCH, Clipped, Ran
from gradiometer.lab.networks.recurrent import GRU, IRNN, LSTM_0, LSTM_1, TANH
from gradiometer.schema import FloatArray, Row

TAKES_MINUTES = "takes minutes: run without --quick"
PASCANU = "Pascanu, Mikolov, Bengio, ICML 2013"
LE = "Le, Jaitly, Hinton 2015"
HOCHREITER = "Hochreiter and Schmidhuber 1997, experiment 4"
OWN = "gradiometer: the same setting run before; 64 units, Adam, batches of 50, norm clipped at 1, solved below .01"

EXACT: dict[str, Row] = {
    "adding": Row("Adding problem: squared error of always answering 1", "1/6", 0.1647, 0.1687, "arithmetic", "exact"),
    "copying": Row(
        "Copying problem, delay 1,000: cross-entropy without memory, 10 ln 8 / (T + 20)",
        ".0204",
        0.02035,
        0.02045,
        "Arjovsky, Shah, Bengio, ICML 2016; arithmetic",
        "exact",
        "nats",
    ),
    "bound": Row(
        "Products of Jacobians: greatest norm as a share of the bound (γ s)^k, every k",
        "at most 1",
        0.0,
        1.0,
        PASCANU,
        "exact",
    ),
    "tanh": Row("tanh: singular value below which every gradient vanishes, 1/γ", "1", 1.0, 1.0, PASCANU, "exact"),
    "sigmoid": Row("Sigmoid: singular value below which every gradient vanishes", "4", 4.0, 4.0, PASCANU, "exact"),
    "vanishing": Row(
        "Singular value 0.8/γ: greatest norm of the product over all time steps",
        "vanishes",
        0.0,
        0.01,
        PASCANU,
        "exact",
    ),
    "gate 1": Row(
        "Share of the cell's gradient that a step keeps, forget bias 1: sigmoid(1)",
        ".731",
        0.73105,
        0.73107,
        "Jozefowicz, Zaremba, Sutskever, ICML 2015; arithmetic",
        "exact",
    ),
    "gate 0": Row(
        "Share of the cell's gradient that a step keeps, forget bias 0", "½", 0.499999, 0.500001, "arithmetic", "exact"
    ),
    "clipping": Row(
        "Clipped gradient: greatest distance from g t / |g|, as a share of t", "0", 0.0, 1e-5, PASCANU, "exact"
    ),
}
"""Rows that every size answers, by what is measured."""

HEURISTIC = Row(
    "Clipped at ½, 1 and 10 times the average norm: greatest of the last losses, the constant answer's being .167",
    "learns at each of them",
    0.0,
    0.1767,
    PASCANU,
    "remembered",
)

ORDERS: dict[str, Row] = {
    "gated": Row(
        "Adding problem at this run's first lag: share of LSTM and GRU trainings that solve it",
        "LSTM solves it",
        1.0,
        1.0,
        HOCHREITER,
        "remembered",
    ),
    "plain": Row(
        "Adding problem at this run's first lag: share of tanh RNNs that solve it as soon as the slowest of these",
        "tanh RNN fails",
        0.0,
        0.0,
        LE,
        "remembered",
    ),
}

LAG = 100
"""Time steps of the published adding problem that fits a processor."""

STEPS: dict[tuple[str, int], Row] = {
    (GRU, 100): Row("Adding problem, lag 100: steps until the GRU solves it", "500", 1, 2500, OWN, "own"),
    (LSTM_0, 100): Row(
        "Adding problem, lag 100: steps until the LSTM with forget bias 0 solves it", "1,200", 1, 2500, OWN, "own"
    ),
    (LSTM_1, 100): Row(
        "Adding problem, lag 100: steps until the LSTM with forget bias 1 solves it",
        "1,300 to 1,600",
        1,
        2500,
        OWN,
        "own",
    ),
    (IRNN, 100): Row("Adding problem, lag 100: steps until the IRNN solves it", "3,900", 1, 8000, OWN, "own"),
    (GRU, 200): Row("Adding problem, lag 200: steps until the GRU solves it", "600", 1, 2500, OWN, "own"),
}
"""Cell and lag to the mean of the steps; bands are twice the slowest run known, those of 2,500 what was promised."""

ERRORS: dict[tuple[str, int], Row] = {
    (TANH, 100): Row(
        "Adding problem, lag 100: least error of the tanh RNN, which does not solve it", ".154", 0.1, 0.17, OWN, "own"
    ),
    (TANH, 200): Row(
        "Adding problem, lag 200: least error of the tanh RNN, which does not solve it", ".152", 0.1, 0.17, OWN, "own"
    ),
    (LSTM_1, 200): Row(
        "Adding problem, lag 200: least error of the LSTM, not solved in 2,713 steps", ".152", 0.1, 0.17, OWN, "own"
    ),
}
"""Cell and lag to the least error."""

SEQUENCES = Row(
    "Adding problem, lag 100: sequences that the LSTM learns from until it solves it",
    "74,000",
    1,
    150_000,
    HOCHREITER,
    "remembered",
)
IRNN_SOLVES = Row(
    "Adding problem, lag 100: share of IRNNs that solve it", "as good as LSTM", 1.0, 1.0, LE, "remembered"
)
COPYING = Row(
    "Copying problem, delay 50: cross-entropy of the tanh RNN as a share of that without memory",
    "stays at the baseline",
    0.9,
    1.1,
    "Arjovsky, Shah, Bengio, ICML 2016",
    "remembered",
)

LEFT_OUT: tuple[tuple[Row, str], ...] = (
    (
        Row(
            "Adding problem, lags 500 and 1,000: sequences for the LSTM",
            "209,000 and 853,000",
            1,
            2e6,
            HOCHREITER,
            "remembered",
        ),
        "not run: hours of training",
    ),
    (
        Row("Adding problem, lags 150 to 400: the IRNN as good as the LSTM", "about equal", 1, 1, LE, "remembered"),
        "not run: hours of training; lag 100 stands above",
    ),
    (
        Row("MNIST pixel by pixel, 784 steps: the IRNN's accuracy", "97 %", 0.96, 1.0, LE, "remembered", "", "mnist"),
        "not run: days of training",
    ),
    (
        Row(
            "Copying problem, delay 1,000: unitary network solves it",
            "solved",
            0.0,
            0.1,
            "Arjovsky et al. 2016",
            "remembered",
        ),
        "not run: the lab has no unitary network",
    ),
)


def memory_rows(
    bench: Bench, fading: Fading, raced: list[Ran], copied: dict[str, list[float]], clipped: Clipped
) -> tuple[Row, ...]:
    """All rows, filled where this size answers them."""
    rows = exact_rows(fading, clipped)
    last = [sum(losses[-20:]) / len(losses[-20:]) for multiple, losses in clipped.losses.items() if multiple < math.inf]
    rows.append(HEURISTIC.filled(max(last) if all(map(math.isfinite, last)) else math.nan))
    rows += order_rows(raced)
    by_key = {(ran.race.cell, ran.race.lag): ran for ran in raced}
    for key, row in STEPS.items():
        rows.append(row.filled_from(by_key[key].steps) if key in by_key else row.left_out(TAKES_MINUTES))
    for key, row in ERRORS.items():
        rows.append(row.filled_from(by_key[key].best) if key in by_key else row.left_out(TAKES_MINUTES))
    if (LSTM_1, LAG) in by_key:
        steps = by_key[LSTM_1, LAG].steps
        rows.append(SEQUENCES.filled_from([BATCH * count for count in steps]))
        rows.append(IRNN_SOLVES.filled_from([float(math.isfinite(count)) for count in by_key[IRNN, LAG].steps]))
    else:
        rows += [SEQUENCES.left_out(TAKES_MINUTES), IRNN_SOLVES.left_out(TAKES_MINUTES)]
    rows.append(
        COPYING.left_out("a toy's delay is shorter") if bench.size == "toy" else COPYING.filled(copied[TANH][-1])
    )
    return (*rows, *(row.left_out(reason) for row, reason in LEFT_OUT))


def exact_rows(fading: Fading, clipped: Clipped) -> list[Row]:
    """Rows whose figures are arithmetic, each measured on drawn data or drawn networks."""
    grid = np.linspace(-8.0, 8.0, 16_001)
    steepest = {name: float(ACTIVATIONS[name].slope(grid).max()) for name in ("tanh", "sigmoid")}
    below = [norms[:, -1].max() for (_, scale), norms in fading.jacobians.norms.items() if scale < 1.0]
    measured = {
        "adding": constant_answer_error(),
        "copying": memoryless_error(1000),
        "bound": fading.jacobians.greatest_share,
        "tanh": 1.0 / steepest["tanh"],
        "sigmoid": 1.0 / steepest["sigmoid"],
        "vanishing": float(max(below)),
        "gate 1": fading.gate_gains[1.0],
        "gate 0": fading.gate_gains[0.0],
        "clipping": clipped.formula_error,
    }
    return [row.filled(measured[key]) for key, row in EXACT.items()]


def order_rows(raced: list[Ran]) -> list[Row]:
    """Whether networks with gates learn what those without don't, at the first lag."""
    here = [ran for ran in raced if ran.race.lag == raced[0].race.lag]
    gated = [steps for ran in here if ran.race.cell in (LSTM_0, LSTM_1, GRU) for steps in ran.steps]
    slowest = max(gated)
    plain = [float(steps <= slowest < math.inf) for ran in here if ran.race.cell == TANH for steps in ran.steps]
    solved = [float(math.isfinite(steps)) for steps in gated]
    return [ORDERS["gated"].filled_from(solved), ORDERS["plain"].filled_from(plain)]


def constant_answer_error() -> float:
    """Mean squared error of the answer 1 over 200,000 drawn sequences."""
    _, sums = draw_adding(200_000, 4, np.random.default_rng(0))
    return float(np.square(sums.astype(np.float64) - 1.0).mean())


def memoryless_error(delay: int) -> float:
    """Cross-entropy, nats a time step, of saying blanks and guessing the last ten symbols, over drawn sequences."""
    _, targets = draw_copying(50, delay, np.random.default_rng(0))
    belief: FloatArray = np.zeros((targets.shape[1], SYMBOLS + 1))
    belief[:-LENGTH, SYMBOLS] = 1.0
    belief[-LENGTH:, :SYMBOLS] = 1.0 / SYMBOLS
    return float(-np.log(belief[np.arange(targets.shape[1]), targets]).mean())
