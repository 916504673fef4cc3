"""The page of experiment `hyper-parameters`: each step's question, measurement and decision, and the comparison."""

import math
from dataclasses import dataclass

import numpy as np

from gradiometer.curing.trials.verdict import CONFIDENCE, paired_interval
from gradiometer.lab.experiments.hyper_parameters.checks import TRIES
from gradiometer.lab.experiments.hyper_parameters.procedure import BY_HEART, FIRST_BATCH, Procedure
from gradiometer.lab.experiments.hyper_parameters.search import BATCH_POWERS, DECAYS, RATES, TPE_STARTS, Sampler, Search
from gradiometer.lab.experiments.hyper_parameters.training import Problem, Settings
from gradiometer.schema import Chart, FloatArray, Line, Section, Table
from gradiometer.units import format_number

GRID_POINTS = 40
"""Places at which the searches' progress is drawn."""


@dataclass(frozen=True, slots=True)
class Results:
    """What each way came to, by its name: validation and test accuracy for each seed."""

    by_way: dict[str, tuple[tuple[float, float], ...]]

    def tests(self, way: str) -> FloatArray:
        """Test accuracies of a way [seed]."""
        return np.array([test for _, test in self.by_way[way]])

    def difference(self, way: str) -> tuple[float, tuple[float, float] | None]:
        """Mean test accuracy of the procedure minus that of another way, and its interval; None for one seed."""
        differences = self.tests("procedure") - self.tests(way)
        interval = paired_interval(differences, CONFIDENCE) if len(differences) > 1 else None
        return float(differences.mean()), interval


def results_of(procedures: list[Procedure], searches: dict[Sampler, tuple[Search, ...]]) -> Results:
    """Gather what every way came to."""
    found = {"procedure": tuple((one.best.best, one.best.test) for one in procedures)}
    for sampler, studies in searches.items():
        found[sampler] = tuple((study.best.validation, study.best.test) for study in studies)
    return Results(found)


def summary(procedures: list[Procedure], results: Results, searches: dict[Sampler, tuple[Search, ...]]) -> str:
    """What came out, in plain sentences."""
    spent = np.mean([one.spent[-1] for one in procedures])
    trials = np.mean([len(search.trials) for search in searches["random"]])
    before = np.mean([one.spent[2] / one.spent[-1] for one in procedures])
    return (
        f"The procedure spent {spent:,.0f} examples on average, {before:.0%} of them on the three steps that find rate "
        f"and batch size, and came to a test accuracy of {results.tests('procedure').mean():.2%}. For as many examples "
        f"a random search got through {trials:.1f} draws and came to {results.tests('random').mean():.2%}, TPE to "
        f"{results.tests('TPE').mean():.2%}. {verdict(results, 'random')} {verdict(results, 'TPE')}"
    )


def verdict(results: Results, way: str) -> str:
    """Who won, and whether that is more than chance."""
    mean, interval = results.difference(way)
    words = f"Over {len(results.tests(way))} seeds the procedure stands {100.0 * mean:+.2f} points beside {way}"
    if interval is None:
        return f"{words}; one seed tells nothing of chance."
    low, high = interval
    bounds = f"95 % interval {100.0 * low:+.2f} to {100.0 * high:+.2f}"
    if low > 0.0:
        return f"{words} ({bounds}): it is better."
    if high < 0.0:
        return f"{words} ({bounds}): it is worse."
    return f"{words} ({bounds}): no difference is shown."


def section_on_tries(tries: dict[str, FloatArray], data: str) -> Section:
    """Nielsen's tries again."""
    text = (
        "Whoever begins with settings out of the air mostly sees nothing at all. Nielsen's book shows it: with a rate "
        "of 10 and lambda 1000 his network guesses, epoch after epoch, and nothing says which of the two is wrong, or "
        "whether it is the network. His way out is to make the question smaller until there is a signal: no hidden "
        "layer, 1,000 pictures, an answer each second; then one change at a time. Lambda has to be scaled with the "
        "number of pictures, for a step takes off eta times lambda over that number of each weight."
    )
    rows = []
    for name, found in tries.items():
        tried = TRIES[name]
        published = ", ".join(f"{share:.3g}" for share in tried.published)
        measured = ", ".join(f"{share:.3g}" for share in found.mean(axis=0))
        rows.append((name, tried.eta, tried.lmbda, published, measured))
    table = Table(
        "His tries, published and again",
        f"Share of the validation pictures told right, epoch by epoch; his on MNIST, ours on {data}, mean over "
        f"{len(next(iter(tries.values())))} seeds.",
        ("try", "eta", "lambda", "published", "measured"),
        tuple(rows),
    )
    return Section("Where one begins", (text, table))


def section_on_first_signal(procedure: Procedure, problem: Problem) -> Section:
    """Step 1."""
    first = procedure.first
    learned = ", ".join(map(format_number, first.learned_at)) or "none of them"
    text = (
        f"Take one batch of {FIRST_BATCH} pictures and learn it by heart. A network that can't do that has a fault "
        "that no setting mends, in its labels, its loss or its layers; one that can has told which rates are of the "
        f"right size, for a few steps. Before the first step the loss should be that of a guess, ln {problem.classes} "
        f"= {math.log(problem.classes):.2f}; here it is {first.losses[first.start][0]:.2f}. Decision: the batch was "
        f"learned, to {BY_HEART:.0%} of its first loss, at the rates {learned}; the range test goes out from "
        f"{format_number(first.start)}."
    )
    lines = tuple(
        Line(f"rate {format_number(rate)}", tuple(map(float, range(len(losses)))), finite(losses))
        for rate, losses in first.losses.items()
    )
    chart = Chart(
        "One batch, learned by heart",
        "A line that stays up is too slow, one that jumps or ends is too fast.",
        "step",
        "loss",
        lines,
        y_scale="log",
    )
    return Section("1. Get any learning at all", (text, chart))


def section_on_range(procedure: Procedure) -> Section:
    """Step 2."""
    ranged = procedure.range_test
    decision = (
        f"{ranged.result.reason}: {format_number(ranged.rate)}."
        if ranged.result.rate is not None
        else f"none was found ({ranged.result.reason}), so a tenth of the first step's rate is taken: "
        f"{format_number(ranged.rate)}."
    )
    text = (
        "Let the rate grow by the same factor from step to step, from far too small to far too great, and watch the "
        "loss of fresh batches. Beside it goes a run whose weights are held still, on the same batches: the "
        "difference tells what was learned, free of what one batch is harder than the next. The loss first stays, "
        "then falls, then is thrown up. At the foot of its fall the rate is already about to be too great, so one "
        f"stays well below. Decision: {decision}"
    )
    parts: list[str | Chart] = [text]
    if ranged.curve is not None:
        rates = tuple(float(factor) * ranged.base for factor in ranged.curve.factors)
        lines = [
            Line("each batch", rates, tuple(ranged.curve.losses.tolist()), style="points"),
            Line("mean, free of the batches", rates, tuple(ranged.curve.means.tolist())),
        ]
        marks = ((ranged.rate, "taken"),)
        caption = "The rate grows tenfold in twelve steps; the test ends by itself where the loss has climbed far."
        parts.append(Chart("Range test", caption, "learning rate", "loss", tuple(lines), "log", "log", marks))
    return Section("2. Learning-rate range test", tuple(parts))


def section_on_noise(procedure: Procedure) -> Section:
    """Step 3."""
    noise = procedure.noise
    middle = noise.scales[len(noise.scales) // 2]
    course = ", ".join(f"{scale.examples:.0f}" for scale in noise.scales)
    found = (
        f"in the middle it is {middle.examples:.0f} examples (error {middle.examples_error:.0f})"
        if middle.examples > 0.0
        else "in the middle noise hides the gradient, so the greatest size is taken that is allowed"
    )
    text = (
        "A batch's gradient is the true one and noise: the trace of the examples' covariance, divided by the size of "
        "the batch. The size at which noise and gradient are of one length is the gradient noise scale, B = tr(Sigma) "
        "/ |G|². Far below it twice the examples make a step worth twice as much; far above they are wasted. It is "
        "measured from the gradients of single examples while the network trains; as the gradient becomes small it "
        f"grows, and one number is good for a while only. Here it went through {course}. Decision: {found}, and "
        f"batches of {noise.batch} are taken; the rate was found with batches of {FIRST_BATCH} and goes along by rate "
        f"= greatest / (1 + B / batch), to {format_number(float(f'{noise.rate:.2g}'))}."
    )
    values = [scale.examples for scale in noise.scales]
    errors = [scale.examples_error for scale in noise.scales]
    line = Line(
        "noise scale",
        noise.steps,
        tuple(values),
        low=tuple(value - error for value, error in zip(values, errors, strict=True)),
        high=tuple(value + error for value, error in zip(values, errors, strict=True)),
    )
    taken = Line("batch size that is taken", noise.steps, (float(noise.batch),) * len(noise.steps), style="dashes")
    chart = Chart(
        "Gradient noise scale during the first epochs",
        "The band is one standard error to either side. Below 0 noise hides the gradient altogether.",
        "step",
        "examples",
        (line, taken),
    )
    return Section("3. Batch size from the gradient noise scale", (text, chart))


def section_on_decay(procedure: Procedure) -> Section:
    """Step 4."""
    best = max(procedure.decays, key=lambda fitted: fitted.best)
    shares = [fitted.best for fitted in procedure.decays]
    text = (
        "Weight decay pulls each weight towards 0 and keeps a network from learning its examples by heart. How much it "
        "takes only pictures can tell that were not learned from: start without, then go by powers of ten. Decision: "
        f"{best.settings.decay:g}, at a validation accuracy of {best.best:.2%}; the best and the worst are "
        f"{100.0 * (max(shares) - min(shares)):.2f} points apart. Of equals the smallest is taken."
    )
    table = Table(
        "Validation accuracy by weight decay",
        "The best epoch of each training.",
        ("weight decay", "validation, %", "epochs", "last training loss"),
        tuple(
            (f"{fitted.settings.decay:g}", 100.0 * fitted.best, float(len(fitted.losses)), fitted.losses[-1])
            for fitted in procedure.decays
        ),
    )
    return Section("4. Regularisation", (text, table))


def section_on_stopping(procedure: Procedure) -> Section:
    """Step 5."""
    final = procedure.final
    text = (
        "The number of epochs needs no choice: look at the validation accuracy after each, and stop when it has not "
        f"risen for some. Decision: the training ended after {len(final.losses)} epochs, and epoch "
        f"{final.best_epoch + 1} counts, with {final.best:.2%} of the validation pictures and {final.test:.2%} of the "
        f"test pictures told right. The training loss was {final.losses[final.best_epoch]:.3g} by then and "
        f"{final.losses[-1]:.3g} at the end: it does not know when to stop."
    )
    epochs = tuple(map(float, range(1, len(final.losses) + 1)))
    lines = (
        Line("validation error", epochs, tuple(1.0 - share for share in final.validation)),
        Line("training loss", epochs, finite(final.losses)),
    )
    chart = Chart(
        "The last training",
        "Share of the validation pictures told wrong, and mean training loss.",
        "epoch",
        "share, loss",
        lines,
        y_scale="log",
        marks=((float(final.best_epoch + 1), "best"),),
    )
    return Section("5. Early stopping", (text, chart))


def section_on_search(
    procedures: list[Procedure], searches: dict[Sampler, tuple[Search, ...]], results: Results
) -> Section:
    """Who wins at equal budget."""
    trials = [len(search.trials) for search in searches["random"]]
    near = 1.0 - 0.95 ** float(np.mean(trials))
    text = (
        f"Optuna draws a rate from {RATES[0]:g} to {RATES[1]:g}, a batch of {2 ** BATCH_POWERS[0]} to "
        f"{2 ** BATCH_POWERS[1]}, and a weight decay from {DECAYS[0]:g} to {DECAYS[1]:g}, all by logarithm; trains "
        "with the same early stopping, from the same first weights, and draws again until it has spent as many "
        "examples as the procedure did with that seed. An epoch that has begun is ended, so it may spend a little "
        "more. A random search's processes share one storage, each with its part of the budget. TPE has one process, "
        f"draws its first {TPE_STARTS} at random too, and then near those that went well. With n draws the "
        f"chance that one of them is among the best twentieth of all settings is 1 - 0.95^n, here {near:.0%}. "
        f"{verdict(results, 'random')} {verdict(results, 'TPE')} Bear in mind that the procedure's own bounds, and "
        "that it tries rates of these sizes at all, are what its authors had learned on such problems before."
    )
    limit = float(np.mean([one.spent[-1] for one in procedures]))
    grid = np.linspace(0.0, limit, GRID_POINTS)
    paths = {"procedure": [one.path for one in procedures]} | {
        name: [search.path for search in found] for name, found in searches.items()
    }
    lines = tuple(Line(name, tuple(grid.tolist()), mean_path(found, grid)) for name, found in paths.items())
    chart = Chart(
        "Best validation accuracy so far",
        "Mean over the seeds, from where every seed has one. The procedure's first three steps give none: that is the "
        "flat beginning it pays for.",
        "examples spent",
        "share told right",
        lines,
    )
    return Section("Beside a random search at equal budget", (text, chart, *tables_of(procedures, searches, results)))


def tables_of(
    procedures: list[Procedure], searches: dict[Sampler, tuple[Search, ...]], results: Results
) -> tuple[Table, Table]:
    """Accuracy of each way, and what each chose."""
    ways = Table(
        "What each way came to",
        "Chosen by validation accuracy; test pictures were never looked at before. Means over the seeds.",
        ("way", "validation, %", "test, %", "least test, %", "greatest test, %"),
        tuple(
            (
                way,
                100.0 * float(np.mean([validation for validation, _ in found])),
                100.0 * float(results.tests(way).mean()),
                100.0 * float(results.tests(way).min()),
                100.0 * float(results.tests(way).max()),
            )
            for way, found in results.by_way.items()
        ),
    )
    rows: list[tuple[str | float, ...]] = [
        ("procedure", float(seed), *cells(one.best.settings), 100.0 * one.best.best, 100.0 * one.best.test)
        for seed, one in enumerate(procedures)
    ]
    for name, found in searches.items():
        rows += [
            (name, float(seed), *cells(one.best.settings), 100.0 * one.best.validation, 100.0 * one.best.test)
            for seed, one in enumerate(found)
        ]
    chosen = Table(
        "What each way chose",
        "",
        ("way", "seed", "rate", "batch", "weight decay", "validation, %", "test, %"),
        tuple(rows),
    )
    return ways, chosen


def cells(settings: Settings) -> tuple[str, float, str]:
    """Settings as cells of a table."""
    return f"{settings.rate:.2g}", float(settings.batch), f"{settings.decay:.1g}"


def mean_path(paths: list[tuple[tuple[float, ...], tuple[float, ...]]], grid: FloatArray) -> tuple[float, ...]:
    """Mean over some steps' heights at given places; nan where one of them has not begun.

    Example:
        >>> mean_path([((1.0, 3.0), (0.5, 0.9)), ((2.0,), (0.7,))], np.array([1.0, 2.0, 3.0]))
        (nan, 0.6, 0.8)
    """
    rows = []
    for places, heights in paths:
        reached = np.searchsorted(np.array(places), grid, side="right")
        rows.append(np.concatenate([[math.nan], heights])[reached])
    return tuple(np.mean(rows, axis=0).tolist())


def finite(values: tuple[float, ...]) -> tuple[float, ...]:
    """Values of which those that are not finite leave a gap."""
    return tuple(value if math.isfinite(value) else math.nan for value in values)
