"""What the page says of recurrent memory: text, charts and tables from what was measured."""

import math

import numpy as np

from gradiometer.lab.datasets.adding import CONSTANT_GUESS_LOSS
from gradiometer.lab.datasets.copying import memoryless_loss
from gradiometer.lab.experiments.memory.fading import SCALES, Fading
from gradiometer.lab.experiments.memory.races import BATCH, SOLVED, Clipped, Ran
from gradiometer.schema import Chart, Line, Section, Table


def fading_section(fading: Fading) -> Section:
    """The gradient's way back through drawn networks."""
    lines, rows = [], []
    for name, fades in fading.fades.items():
        gains = np.stack([fade.gains for fade in fades])
        positive = np.where(gains > 0.0, gains, np.nan)
        middle = np.exp(np.log(positive).mean(0))
        lines.append(Line(name, tuple(float(age) for age in range(len(middle))), tuple(middle.tolist())))
        lives = [fade.half_life_steps for fade in fades]
        rows.append((name, float(np.median(lives)), min(lives), max(lives), float(middle[-1])))
    gates = ", ".join(f"{gain:.3f} at {bias:g}" for bias, gain in fading.gate_gains.items())
    return Section(
        "The gradient's way back through time",
        (
            f"Networks as they are drawn, before any training, read {fading.lag} time steps of the adding problem; the "
            "loss looks at the last state alone. The loss gradient at an earlier state is what comes back through all "
            "later steps: each multiplies it by the same weights, and by the slopes of that step. With torch's first "
            "weights (variance 1/3n) a step keeps about √(1/3) = .58 of a small signal's gradient. An LSTM's cell is "
            "kept by its forget gate, f = sigmoid(bias) where nothing else drives it: with all weights 0 one step back "
            f"keeps {gates}. Orthogonal weights turn a gradient without shrinking it, only tanh's slopes do; the "
            "IRNN's identity hands it on as long as units stay above 0.",
            Chart(
                "Gradient at earlier states",
                "Norm of the loss gradient relative to the last state's, geometric mean over the seeds; of an LSTM at "
                "its cell. A straight line down halves at a steady pace.",
                "steps back in time",
                "gradient, relative to the last state's",
                tuple(lines),
                y_scale="log",
            ),
            Table(
                "Half-lives",
                "Steps back in which the gradient halves, by least squares on its logarithm; negative where it grows.",
                ("cell", "half-life, median, steps", "least", "greatest", f"left after {fading.lag - 1} steps"),
                tuple(rows),
            ),
            "A network that begins with a short memory is not lost: what a gate keeps is learned, and a GRU that fades "
            "as fast as a plain RNN here is among the first to learn below. The plain RNN has nothing to open.",
        ),
    )


def bound_section(fading: Fading) -> Section:
    """Products of Jacobians beside their bound."""
    jacobians, lines, rows = fading.jacobians, [], []
    for name, scale in jacobians.norms:
        norms, bounds = jacobians.norms[name, scale], jacobians.bounds[name, scale]
        back = tuple(float(k + 1) for k in range(len(bounds)))
        rows.append((name, scale, float(norms[:, -1].max()), float(bounds[-1]), float((norms / bounds).max())))
        if name == "tanh":
            lines.append(Line(f"s = {scale:g}", back, tuple(norms.max(0).tolist())))
            lines.append(Line(f"bound for {scale:g}", back, tuple(bounds.tolist()), "dashes"))
    return Section(
        "A bound that always holds",
        (
            "One step back multiplies the gradient by the weights and by the activation's slopes. The weights' largest "
            "singular value is s, the slope at most γ (1 for tanh, ¼ for the sigmoid), so k steps grow it by no more "
            "than (γ s)^k. Below s = 1/γ every gradient vanishes: that is certain. Above it, it may explode, and often "
            "does not, for the directions of greatest growth do not follow one another, and slopes are less than γ.",
            Chart(
                "tanh: products of Jacobians",
                "Greatest spectral norm over the seeds of the gradient's factor over so many steps, and the bound, for "
                f"largest singular values of {', '.join(f'{scale:g}' for scale in SCALES)}.",
                "steps back in time",
                "norm of the product",
                tuple(lines),
                y_scale="log",
            ),
            Table(
                "Over all time steps",
                "The last column is the greatest share of the bound that any product of any length came to.",
                ("activation", "s, multiples of 1/γ", "greatest norm", "bound", "greatest share"),
                tuple(rows),
            ),
        ),
    )


def race_section(raced: list[Ran]) -> Section:
    """Who learns to add, and how soon."""
    lag = raced[0].race.lag
    lines = []
    for ran in raced:
        if ran.race.lag == lag:
            steps = tuple(float((look + 1) * ran.race.check_steps) for look in range(len(ran.curves[0])))
            lines.append(Line(ran.race.cell, steps, tuple(ran.curves[0])))
    return Section(
        "Adding two numbers over a lag",
        (
            "Each sequence is a row of numbers between 0 and 1; two of them are marked, one in each half, and the sum "
            "of these two is asked for at the end. Who always answers 1 has a squared error of 1/6 = .167, the "
            "variance of such a sum; who remembers the later number alone has .083. A plain RNN looks alive, it comes "
            f"a little below the constant answer, and stays there. So only below {SOLVED:g} it counts as solved.",
            Chart(
                f"Held-out error, lag {lag}",
                "First seed of each cell; a curve ends where the problem is solved. The plateau at .167 is the "
                "constant answer: the way from there is found late and then taken fast.",
                f"steps of {BATCH} sequences",
                "squared error",
                tuple(lines),
                y_scale="log",
            ),
            race_table(raced),
            f"The error of always answering 1 is {CONSTANT_GUESS_LOSS:.4f}; papers that print .1767 have a slip.",
        ),
    )


def race_table(raced: list[Ran]) -> Table:
    """Who solved which lag, and after how many steps."""
    rows = [
        (
            ran.race.cell,
            ran.race.lag,
            ran.race.rate,
            f"{sum(map(math.isfinite, ran.steps))} of {len(ran.steps)}",
            solved_after(ran),
            sum(ran.best) / len(ran.best),
        )
        for ran in raced
    ]
    return Table(
        "Who solves which lag",
        f"Steps of {BATCH} sequences. The least error is the mean over the seeds of each one's lowest.",
        ("cell", "lag", "Adam's rate", "solved", "after steps", "least error"),
        tuple(rows),
    )


def solved_after(ran: Ran) -> str:
    """The steps of each seed, in words."""
    words = [f"{steps:,.0f}" if math.isfinite(steps) else f"not in {ran.race.most_steps:,}" for steps in ran.steps]
    return ", ".join(words)


def copying_section(copied: dict[str, list[float]], delay: int) -> Section:
    """Who learns to copy."""
    lines = [
        Line(name, tuple(float(100 * (look + 1) / len(curve)) for look in range(len(curve))), tuple(curve))
        for name, curve in copied.items()
    ]
    nearest = min(copied, key=lambda name: copied[name][-1])
    return Section(
        "Copying symbols after a delay",
        (
            f"Ten symbols out of eight are shown, then blanks for {delay} time steps, then they are to be said again. "
            "Saying blanks and guessing at the end needs no memory and costs 10 ln 8 / (T + 20) nats a time step, here "
            f"{memoryless_loss(delay):.4f}. Every network finds this answer first. To come below it, it has to carry "
            "thirty bits through the delay unharmed, and until it does, hardly any gradient tells it how. In this "
            f"run the lowest end was {copied[nearest][-1]:.2f} of that error, by {nearest}.",
            Chart(
                "Error beside that without memory",
                "Held-out cross-entropy over that of remembering nothing; 1 is what needs no memory.",
                "share of the training, %",
                "cross-entropy, relative",
                tuple(lines),
            ),
        ),
    )


def pieces_section(by_rows: dict[str, list[float]], by_pixels: dict[str, list[float]]) -> Section:
    """Pictures read row by row and pixel by pixel."""

    def chart(curves: dict[str, list[float]], title: str) -> Chart:
        lines = [
            Line(name, tuple(float(epoch + 1) for epoch in range(len(curve))), tuple(curve))
            for name, curve in curves.items()
        ]
        return Chart(
            title,
            "Accuracy on test pictures; chance is a tenth.",
            "epochs",
            "share of test pictures right",
            tuple(lines),
        )

    rows = [(name, by_rows[name][-1], by_pixels[name][-1]) for name in by_rows]
    return Section(
        "Pictures piece by piece",
        (
            "A picture becomes a sequence when it is shown row by row, or, much longer, pixel by pixel. By rows "
            "nothing has to be kept for long, and even a short memory does; by pixels of the small digits there are 64 "
            "steps, and what the upper half said must outlast the lower. The IRNN, whose weights from the input begin "
            f"at a thousandth, takes long to see anything at all. Best by rows was here {best(by_rows)}, best by "
            f"pixels {best(by_pixels)}.",
            chart(by_rows, "Row by row"),
            chart(by_pixels, "Digits of 8 by 8, pixel by pixel"),
            Table(
                "After training", "Share of test pictures right.", ("cell", "row by row", "pixel by pixel"), tuple(rows)
            ),
        ),
    )


def best(curves: dict[str, list[float]]) -> str:
    """The cell that ended highest, and where it did."""
    name = max(curves, key=lambda cell: curves[cell][-1])
    return f"the {name} with {curves[name][-1]:.1%}"


def clipping_section(clipped: Clipped) -> Section:
    """What clipping does where the gradient explodes."""
    lines, rows = [], []
    for multiple, losses in clipped.losses.items():
        name = f"{multiple:g} × average" if math.isfinite(multiple) else "not clipped"
        shown = [loss if math.isfinite(loss) else math.nan for loss in losses]
        lines.append(Line(name, tuple(float(step) for step in range(len(shown))), tuple(shown)))
        lost = sum(not math.isfinite(loss) for loss in losses)
        rows.append((name, max(clipped.norms[multiple][:1]), sum(losses[-20:]) / len(losses[-20:]), lost))
    return Section(
        "Clipping, where the product explodes",
        (
            "A ReLU network whose recurrent weights are the identity times 1.1 multiplies the gradient by up to 1.1 a "
            "step. One steep step then throws the weights far away. Clipping bounds the step and keeps its direction: "
            "g becomes g t / |g| wherever |g| exceeds t. It mends explosions only; what has vanished stays vanished. "
            f"The average norm here is {clipped.average_norm:.3g}; bounds between half of it and ten times it are the "
            "rule of thumb, and it matters little which.",
            Chart(
                "Loss with and without",
                "Plain descent on the adding problem with each bound; a curve that ends has left the numbers.",
                "steps",
                "squared error",
                tuple(lines),
                y_scale="log",
            ),
            Table(
                "With and without",
                "The last losses are the mean of the last 20 steps.",
                ("clipped at", "first norm", "last losses", "steps whose loss was not finite"),
                tuple(rows),
            ),
        ),
    )
