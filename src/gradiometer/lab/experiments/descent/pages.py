"""The page of `descent`: what was measured, in text, curves, maps and tables."""

import numpy as np

from gradiometer.lab.experiments.descent.directions import FloatArray
from gradiometer.lab.experiments.descent.found import Alone, Contest, Curvature, Moment, Surface
from gradiometer.lab.experiments.descent.paths import WayDown, aimless_walk, main_plane
from gradiometer.lab.experiments.descent.rates import bowl_costs
from gradiometer.lab.networks.watched_descent import WatchedDescent
from gradiometer.schema import Chart, HeatMap, Line, Section, Table


def summary(contests: dict[str, Contest], moments: tuple[Moment, Moment], alone: list[Alone]) -> str:
    """What it shows and what came out."""
    ends = {name: float(np.mean([way.costs[-1] for way in contest.ways])) for name, contest in contests.items()}
    online, full = contests["online"].best, contests["full batch"].best
    epochs = contests["online"].epochs
    opposed = [100.0 * float((moment.cosines < 0.0).mean()) for moment in moments]
    called = 100.0 * float(np.mean([run.shares[-1] for run in alone]))
    return (
        f"After the same {epochs} epochs, each at its best rate, the cost is {ends['online']:.3f} online, "
        f"{ends['mini-batch']:.3f} by mini-batches of 10 and {ends['full batch']:.3f} by full batches, while an epoch "
        f"took {1e3 * online.seconds / epochs:.0f} ms online and {1e3 * full.seconds / epochs:.1f} ms as one batch. "
        f"The noise scale goes from {moments[0].noise_scale:.1f} examples {moments[0].name} to "
        f"{moments[1].noise_scale:.0f} {moments[1].name}, and the share of examples that point away from what is best "
        f"for all from {opposed[0]:.0f} to {opposed[1]:.0f} %. Trained on a single example, the network calls "
        f"{called:.0f} % of all pictures by its class."
    )


def section_on_ways(contests: dict[str, Contest], patient: WayDown, count: int) -> Section:
    """Online against mini-batch against full batch: cost, time and noise."""
    text = (
        "The gradient of the cost is a mean over all examples. One may take it over all of them for every step (full "
        "batch), over a few drawn ones (mini-batch), or over one (online). Seeing every example once is an epoch "
        f"whichever way, but it is {count} steps online and a single one as a full batch. A smaller batch costs "
        "computing time, for a matrix product of many rows is cheaper than many products of one row each, and it "
        "brings noise, so that its best learning rate is smaller. Each way was tried at several rates and is shown at "
        "its best one. Compare the costs over epochs first, then over seconds, where full batches "
        f"got {patient.epochs[-1]:.0f} epochs: "
        f"with more time they come down as well, to {patient.costs[-1]:.3f}, but they have to see all examples that "
        "many times."
    )
    lines = tuple(
        Line(
            f"{name}, rate {contest.best.rate:g}",
            _floats(contest.best.epochs),
            _floats(np.mean([way.costs for way in contest.ways], axis=0)),
            low=_floats(np.min([way.costs for way in contest.ways], axis=0)),
            high=_floats(np.max([way.costs for way in contest.ways], axis=0)),
        )
        for name, contest in contests.items()
    )
    chart = Chart(
        "Training cost over the epochs",
        f"Mean over {len(contests['online'].ways)} seeds, the band from the least to the greatest.",
        "epoch", "cost over all training examples", lines, y_scale="log",
    )  # fmt: skip
    return Section(
        "Online, mini-batch, full batch", (text, chart, _timed_chart(contests, patient), *_way_tables(contests))
    )


def _timed_chart(contests: dict[str, Contest], patient: WayDown) -> Chart:
    """Cost over the seconds that the steps took, evenly shared out."""
    ways = {name: contest.best for name, contest in contests.items()} | {"full batch": patient}
    return Chart(
        "Training cost over computing time",
        "The first seed of each way; what it took to look at the cost is left out.",
        "seconds", "cost over all training examples",
        tuple(
            Line(f"{name}, rate {way.rate:g}", _floats(way.epochs * way.seconds / way.epochs[-1]), _floats(way.costs))
            for name, way in ways.items()
        ),
        y_scale="log",
    )  # fmt: skip


def _way_tables(contests: dict[str, Contest]) -> tuple[Table, Table]:
    """Time and noise of each way, and every rate that was tried."""
    table = Table(
        "Time and noise",
        "Noise is the standard deviation of the batches' own costs in the last epoch, around their mean. Time is that "
        "of the steps alone, on a machine that may have had other work.",
        ("way", "best rate", "steps", "seconds for an epoch", "noise", "cost", "validation accuracy, %"),
        tuple(_way_row(name, contest) for name, contest in contests.items()),
    )
    tried = Table(
        "Every rate that was tried",
        "One seed each; the larger the batch, the larger the best rate.",
        ("way", "rate", "cost at the end"),
        tuple(
            (name, rate, float(way.costs[-1]))
            for name, contest in contests.items()
            for rate, way in contest.tried.items()
        ),
    )
    return table, tried


def _way_row(name: str, contest: Contest) -> tuple[str | float, ...]:
    way, epochs = contest.best, contest.epochs
    steps = len(way.step_costs)
    noise = float(way.step_costs[-max(1, steps // epochs) :].std())
    ends = float(np.mean([each.costs[-1] for each in contest.ways]))
    right = 100.0 * float(np.mean([each.accuracy for each in contest.ways]))
    return (name, way.rate, float(steps), way.seconds / epochs, noise, ends, right)


def section_on_direction(moments: tuple[Moment, Moment]) -> Section:
    """A batch's direction against the true gradient."""
    first, last = moments
    text = (
        "How well does a batch point? Draw many batches at one and the same place, and take the cosine of the angle "
        "between each one's gradient and the true one over all examples: 1 is the same direction, 0 a right angle. If "
        "examples scatter around the true gradient g with total variance tr(S), the cosine of a batch of B is about "
        "1 / √(1 + noise scale / B), noise scale = tr(S) / |g|². It says how large a batch is worth while: far below "
        "it doubling the batch nearly doubles what a step is good for, far above it hardly anything is won. "
        f"{first.name.capitalize()} it is {first.noise_scale:.2f} examples, {last.name} {last.noise_scale:.0f}: what "
        "all examples agree on is learned first, and what is left is what they disagree on. The formula takes the "
        "examples' gradients for about equally long. It is off by up to "
        f"{100.0 * first.formula_error:.0f} % {first.name} and by up to {100.0 * last.formula_error:.0f} % "
        f"{last.name}: then a few examples that are still wrong have by far the longest gradients and make up most of "
        "the true one, and a small batch mostly misses them."
    )
    lines: list[Line] = []
    for moment in moments:
        sizes = tuple(float(run.batch_size) for run in moment.directions)
        low, high = np.array([np.percentile(run.cosines, [5.0, 95.0]) for run in moment.directions]).T
        means = tuple(float(run.cosines.mean()) for run in moment.directions)
        lines.append(Line(f"{moment.name}, measured", sizes, means, "points", _floats(low), _floats(high)))
        lines.append(Line(f"{moment.name}, formula", sizes, tuple(run.expected for run in moment.directions), "dashes"))
    chart = Chart(
        "Cosine of a batch's gradient with the true gradient",
        f"Mean over {len(first.directions[0].cosines)} draws, the band from the 5th to the 95th percentile.",
        "examples in the batch", "cosine", tuple(lines), x_scale="log",
    )  # fmt: skip
    return Section("Which way a batch points", (text, chart))


def section_on_surface(contests: dict[str, Contest], surface: Surface) -> Section:
    """The paths on the cost surface."""
    walk = main_plane(aimless_walk(400, 4000, 0)).shares
    own = {name: main_plane(contest.best.points).shares for name, contest in contests.items()}
    text = (
        "All weights and biases together are one point in a space of many dimensions, and a training is a path in it. "
        "The plane below is spanned by the two directions in which the three paths, from one and the same start, "
        f"spread most; {100.0 * sum(surface.plane.shares):.0f} % of their variance lies in it. Of each path by itself "
        + ", ".join(f"{100.0 * sum(shares):.0f} % ({name})" for name, shares in own.items())
        + " lies in two directions. Do not take this for a discovery about the cost surface: a walk without any aim, "
        f"of 400 random steps in 4,000 dimensions, has {100.0 * sum(walk):.0f} % in two directions, as 7.5/π² says. "
        "Away from the plane the surface has many more dimensions that the picture can't show, so a path may leave "
        "the drawn cost's valley without having climbed."
    )
    maps = tuple(
        HeatMap(
            f"The path: {name}",
            "log10 of the training cost on the plane, and the path projected onto it, from the start common to all.",
            "first direction", "second direction", _floats(surface.x), _floats(surface.y),
            np.log10(surface.costs), unit="log10 cost",
            path=tuple((float(a), float(b)) for a, b in surface.plane.place(contest.best.points)),
        )
        for name, contest in contests.items()
    )  # fmt: skip
    return Section("The path on the cost surface", (text, *maps))


def section_on_rates(by_rate: dict[float, WayDown], curvature: Curvature) -> Section:
    """Learning rates too small, right, too large."""
    text = (
        "By mini-batches of 10 and over the same epochs the cost comes down to "
        + ", ".join(f"{way.costs[-1]:.3g} at rate {rate:g}" for rate, way in by_rate.items())
        + ". Too small a rate creeps, too large a one never settles. The reason for the latter is seen on a bowl, "
        "C = k/2 w²: a step of rate r multiplies w by 1 - r k. The nearer r is to 1/k the faster it comes down; beyond "
        "it overshoots, and above 2/k every step lands higher on the other side. A cost surface is a bowl in every "
        "direction at once, and the direction of the greatest curvature sets the limit. Amid a training it was "
        f"measured here to be {curvature.greatest:.2f}, so the limit for full-batch descent is a rate of "
        f"{2.0 / curvature.greatest:.2f} there. Look at the last chart: below the limit the cost falls steadily, at "
        "twice the limit it soon jumps up. It may come down again, since far from the bottom the surface is no bowl, "
        "but each jump throws away what was learned."
    )
    rates = Chart(
        "Training cost by learning rate, mini-batches of 10", "One seed each.",
        "epoch", "cost over all training examples",
        tuple(Line(f"rate {rate:g}", _floats(way.epochs), _floats(way.costs)) for rate, way in by_rate.items()),
        y_scale="log",
    )  # fmt: skip
    steps = tuple(float(step) for step in range(13))
    bowl = Chart(
        "Steps on a bowl", "Rates as multiples of one over the curvature.", "step", "cost",
        tuple(
            Line(f"{multiple:g} / curvature", steps, _floats(np.maximum(bowl_costs(multiple, 12), 1e-12)))
            for multiple in (0.1, 0.5, 1.5, 1.9, 2.1)
        ),
        y_scale="log",
    )  # fmt: skip
    real = Chart(
        "Full-batch descent from amid a training",
        "Rates as multiples of one over the greatest curvature that was measured there.", "step", "cost",
        tuple(
            Line(f"{multiple:g} / greatest curvature", tuple(float(step) for step in range(len(costs))), _floats(costs))
            for multiple, costs in curvature.runs.items()
        ),
    )  # fmt: skip
    return Section("Too small, right, too large", (text, rates, bowl, real))


def section_on_one_example(moments: tuple[Moment, Moment], alone: list[Alone]) -> Section:
    """What one example asks against the average of all."""
    first, last = moments
    classes = len(alone)
    text = (
        "What does one example ask for? Its gradient wants the output of its own class up and all others down, each by "
        "as much as it is off. Another example of another class wants the opposite of much of this, and only what they "
        "have in common survives in the average. "
        f"{first.name.capitalize()} {100.0 * float((first.cosines < 0.0).mean()):.1f} % of the examples ask for a step "
        f"that would raise the cost of all, {last.name} {100.0 * float((last.cosines < 0.0).mean()):.0f} %. Examples "
        f"of the same class agree (mean cosine {_same(last):.2f} {last.name}), those of different classes do not "
        f"({_different(last):.2f})."
    )
    asked = Chart(
        f"What is asked of the outputs {first.name}",
        "Target minus answer of each output: of the first example, and on average over all.",
        "output", "asked change",
        (
            Line("the first example", _names(classes), _floats(first.asked[0]), "bars"),
            Line("average of all", _names(classes), _floats(first.asked.mean(axis=0)), "bars"),
        ),
    )  # fmt: skip
    agreement = tuple(
        HeatMap(
            f"Agreement of the examples' gradients {moment.name}",
            "Mean cosine between the gradients of examples of two classes; above 0 they pull together.",
            "class", "class", _names(classes), _names(classes), moment.agreement, unit="cosine", is_diverging=True,
        )
        for moment in moments
    )  # fmt: skip
    return Section("What one example asks", (text, asked, *agreement, *_alone_parts(alone)))


def _alone_parts(alone: list[Alone]) -> tuple[str, Chart]:
    """Training on one example alone."""
    steps = tuple(float(step) for step in range(len(alone[0].shares)))
    heard = (
        "If only one example is heard, nobody asks for anything else. Below a fresh network is trained on the first "
        "example of one class alone, for every class. Its own cost falls at once, and the network finds the easiest "
        "way: raise that output whatever the picture. "
        f"After {len(steps) - 1} steps it calls {100.0 * np.mean([run.shares[-1] for run in alone]):.0f} % of unseen "
        "pictures by that class, and the cost over all training examples goes from "
        f"{np.mean([run.costs[0] for run in alone]):.1f} to {np.mean([run.costs[-1] for run in alone]):.1f}."
    )
    chart = Chart(
        "Unseen pictures called by the class of the only example heard",
        "One curve for each class.", "step", "share",
        tuple(Line(f"class {run.label}", steps, _floats(run.shares)) for run in alone),
    )  # fmt: skip
    return heard, chart


def _same(moment: Moment) -> float:
    return float(np.nanmean(np.diag(moment.agreement)))


def _different(moment: Moment) -> float:
    apart = ~np.eye(len(moment.agreement), dtype=bool)
    return float(np.nanmean(moment.agreement[apart]))


def section_on_runs(watched: list[WatchedDescent]) -> Section:
    """The watched runs."""
    text = (
        "The same network was trained by mini-batches of 10 at a right rate and at one that is far too large, under "
        "gradiometer's eyes; `gradiometer report` opens the run files."
    )
    return Section("What gradiometer says of them", (text, *(run.sentence() for run in watched)))


def _names(classes: int) -> tuple[str, ...]:
    return tuple(str(label) for label in range(classes))


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
