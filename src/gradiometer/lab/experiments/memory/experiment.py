"""How far back a recurrent network remembers: RNN, IRNN, LSTM and GRU, before training and after.

What it shows:
    A recurrent network is a deep network with one layer for every time step, all of the same weights. The gradient of
    an early step is a product of as many factors as there are steps after it. Here it is measured step by step, held
    against the bound that always holds, and it is tried which network learns to add two numbers over a lag, to copy
    symbols after a delay, and to read digits piece by piece; and what clipping does where the product explodes.

What is to be learned:
    A product of equal factors vanishes or explodes unless they are 1. Gates make the factor learnable: a forget gate
    that stands open keeps the cell as it is. Orthogonal weights and the identity begin with factors near 1.

Settings:
    In full: adding at a lag of 100 and 200, 64 units, Adam, batches of 50, norm clipped at 1, solved where the held-out
    squared error is below .01; copying at a delay of 50; MNIST row by row, digits of 8 by 8 pixel by pixel.

Source:
    Hochreiter, Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000; Pascanu, Mikolov, Bengio, ICML 2013; Le, Jaitly,
    Hinton 2015; Jozefowicz, Zaremba, Sutskever, ICML 2015; Arjovsky, Shah, Bengio, ICML 2016.
"""

import math

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.datasets.images import images_for
from gradiometer.lab.experiments.memory.claims import memory_rows
from gradiometer.lab.experiments.memory.fading import Fading, measure_fading
from gradiometer.lab.experiments.memory.pages import (
    bound_section,
    clipping_section,
    copying_section,
    fading_section,
    pieces_section,
    race_section,
)
from gradiometer.lab.experiments.memory.races import (
    Race,
    Ran,
    copying_curve,
    measure_clipping,
    pieces_curve,
    run_race,
)
from gradiometer.lab.networks.recurrent import GRU, IRNN, LSTM_0, LSTM_1, ORTHOGONAL, TANH
from gradiometer.schema import ExperimentReport

TOY_RACES = tuple(
    Race(cell, 6, 0.01, 4, 1, hidden=5, check_steps=2, watched_as=name)
    for cell, name in ((LSTM_0, ""), (LSTM_1, "adding-lstm"), (GRU, ""), (IRNN, ""), (TANH, "adding-tanh-rnn"))
)

QUICK_RACES = (
    Race(LSTM_1, 25, 0.01, 600, 2, hidden=32, check_steps=50, watched_as="adding-lstm"),
    Race(LSTM_0, 25, 0.01, 600, 1, hidden=32, check_steps=50),
    Race(GRU, 25, 0.01, 600, 2, hidden=32, check_steps=50),
    Race(TANH, 25, 0.005, 600, 1, hidden=32, check_steps=50, watched_as="adding-tanh-rnn"),
    Race(ORTHOGONAL, 25, 0.005, 600, 1, hidden=32, check_steps=50),
    Race(IRNN, 25, 0.005, 1600, 1, hidden=32, check_steps=50),
)

FULL_RACES = (
    Race(GRU, 100, 0.005, 2500, 3),
    Race(LSTM_1, 100, 0.005, 2500, 3, watched_as="adding-lstm"),
    Race(LSTM_0, 100, 0.005, 2500, 3),
    Race(IRNN, 100, 0.001, 8000, 2),
    Race(TANH, 100, 0.001, 3000, 1, watched_as="adding-tanh-rnn"),
    Race(ORTHOGONAL, 100, 0.001, 3000, 1),
    Race(GRU, 200, 0.005, 2500, 1),
    Race(LSTM_1, 200, 0.005, 2713, 1),
    Race(TANH, 200, 0.001, 2222, 1),
)
"""The published settings; what has none solved is given as many steps as it had when it was run before."""

PIECED = (TANH, IRNN, LSTM_1, GRU)
"""Cells that read pictures piece by piece."""


def conduct(bench: Bench) -> ExperimentReport:
    """Measure gradients through time, then train every cell on every problem."""
    bench.progress(0.0, "gradients through time")
    fading = measure_fading(bench)
    clipped = measure_clipping(*bench.pick(toy=(6, 5, 3), quick=(30, 16, 100), full=(30, 32, 150)))
    raced = run_races(bench)
    copied = copy_all(bench)
    rows_of_pieces, pixels_of_pieces = read_all(bench)
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="memory",
        title="Memory: how far back does a recurrent network remember, and which one learns to?",
        summary=summary_of(fading, raced),
        sections=(
            fading_section(fading),
            bound_section(fading),
            race_section(raced),
            copying_section(copied, copying_delay(bench)),
            pieces_section(rows_of_pieces, pixels_of_pieces),
            clipping_section(clipped),
        ),
        rows=memory_rows(bench, fading, raced, copied, clipped),
        facts=tuple(
            (
                f"{ran.race.cell}, lag {ran.race.lag}",
                f"{ran.race.seeds} seed(s), {ran.race.hidden} units, Adam {ran.race.rate:g}",
            )
            for ran in raced
        ),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def run_races(bench: Bench) -> list[Ran]:
    """The adding problem, for every cell and lag."""
    races = bench.pick(toy=TOY_RACES, quick=QUICK_RACES, full=FULL_RACES)
    raced = []
    for rank, race in enumerate(races):
        bench.progress(0.05 + 0.75 * rank / len(races), f"adding problem, lag {race.lag}: {race.cell}")
        raced.append(run_race(bench, race))
    return raced


def copying_delay(bench: Bench) -> int:
    """Time steps that symbols have to be remembered for."""
    return bench.pick(toy=3, quick=50, full=50)


def copy_all(bench: Bench) -> dict[str, list[float]]:
    """The copying problem; for each cell the held-out cross-entropy, as a share of that without memory."""
    cells = bench.pick(toy=(TANH, LSTM_1), quick=(TANH, LSTM_1), full=(TANH, ORTHOGONAL, IRNN, LSTM_1, GRU))
    hidden, steps, rate = bench.pick(toy=(5, 4, 0.01), quick=(32, 360, 0.01), full=(64, 1200, 0.003))
    copied = {}
    for cell in cells:
        bench.progress(0.8, f"copying problem: {cell}")
        copied[cell] = copying_curve(cell, copying_delay(bench), hidden, steps, rate)
    return copied


def read_all(bench: Bench) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Pictures row by row, and digits pixel by pixel; for each cell the accuracy after each epoch."""
    hidden, row_epochs, pixel_epochs = bench.pick(toy=(4, 1, 1), quick=(32, 8, 3), full=(64, 4, 20))
    images, digits = images_for(bench), load_digits()
    bench.progress(0.85, "pictures row by row")
    by_rows = {cell: pieces_curve(cell, images, images.side, hidden, row_epochs) for cell in PIECED}
    bench.progress(0.9, "digits pixel by pixel")
    return by_rows, {cell: pieces_curve(cell, digits, 1, hidden, pixel_epochs) for cell in PIECED}


def summary_of(fading: Fading, raced: list[Ran]) -> str:
    """What came out, in plain sentences."""
    half_lives = {
        name: sum(fade.half_life_steps for fade in fades) / len(fades) for name, fades in fading.fades.items()
    }
    lag = raced[0].race.lag
    here = {ran.race.cell: ran for ran in raced if ran.race.lag == lag}
    told = [
        f"{name} after {sum(ran.steps) / len(ran.steps):,.0f} steps of 50 sequences"
        for name, ran in here.items()
        if all(map(math.isfinite, ran.steps))
    ]
    plain = here[TANH]
    unsolved = (
        f"the tanh RNN did not in {plain.race.most_steps:,} steps (least error {min(plain.best):.3f}, "
        "a constant answer's is .167)"
        if not any(map(math.isfinite, plain.steps))
        else f"the tanh RNN after {min(plain.steps):,.0f}"
    )
    return (
        f"As torch draws it, a tanh RNN halves the gradient every {half_lives[TANH]:.1f} time steps; an LSTM whose "
        f"forget gate has a bias of 0 every {half_lives[LSTM_0]:.1f}, with a bias of 1 every "
        f"{half_lives[LSTM_1]:.1f}. Orthogonal weights keep it for {half_lives[ORTHOGONAL]:.0f} steps. No product of "
        f"Jacobians passed the bound; the nearest came to {fading.jacobians.greatest_share:.0%} of it. The adding "
        f"problem over a lag of {lag} was solved by {', '.join(told) or 'no cell'}; {unsolved}. What is drawn decides "
        "how fast a network can begin to learn; gates decide what it can come to keep."
    )
