"""The page of `learning-speeds`: what was measured, in text, curves and tables."""

import numpy as np

from gradiometer.lab.experiments.learning_speeds.gradient_lengths import Descent, FloatArray, geometric_mean
from gradiometer.lab.experiments.learning_speeds.published import (
    ACCURACIES,
    FIRST_LENGTHS,
    first_percentiles,
    later_percentiles,
)
from gradiometer.lab.networks.feed_forward import Array
from gradiometer.lab.networks.watched_descent import WatchedDescent
from gradiometer.schema import Chart, Line, Section, Table


def summary(
    lengths: dict[int, FloatArray],
    path: Descent,
    accuracies: dict[int, FloatArray],
    starts: dict[str, FloatArray],
    watched: list[WatchedDescent],
) -> str:
    """What it shows and what came out."""
    step = _neighbour_ratio(lengths[4])
    last = path.lengths[-1]
    behind = float(geometric_mean(last[:, -1] / last[:, 0]))
    depth_gain = 100.0 * (accuracies[2][:, -1].mean() - accuracies[1][:, -1].mean())
    deep_gain = 100.0 * (accuracies[4][:, -1].mean() - accuracies[2][:, -1].mean())
    evenest = min(starts, key=lambda name: abs(np.log(_neighbour_ratio(starts[name]))))
    return (
        f"Before any step, a hidden layer of sigmoids has a gradient {step:.1f} times as long as the layer before it. "
        f"After {len(path.lengths)} steps of full-batch descent the fourth hidden layer learns {behind:.0f} times as "
        f"fast as the first. A second hidden layer changes the validation accuracy by {depth_gain:+.2f} points, a "
        f"third and a fourth together by {deep_gain:+.2f} more: depth alone buys little where early layers hardly "
        f"learn. Most even of the starts that were tried is {evenest}, with {_neighbour_ratio(starts[evenest]):.2f} "
        f"from layer to layer. Watched, the sigmoid network is judged {watched[0].verdict}, the ReLU network "
        f"{watched[-1].verdict}."
    )


def section_on_the_start(lengths: dict[int, FloatArray]) -> Section:
    """Lengths before any step."""
    text = (
        "A layer learns as fast as its gradient is long: one step changes the biases of layer l by the rate times "
        "dC/db_l, so the length |dC/db_l| of the mean gradient over all pictures is its speed of learning. By "
        "backpropagation it is that of the next layer, carried through that layer's weights and multiplied by the "
        "slopes of the sigmoids, of which none is above 1/4: delta_l = (W_(l+1) delta_(l+1)) s'(z_l). With weights "
        "of variance 1/fan_in the weights neither lengthen nor shorten it, so what is left is the slope: here a factor "
        f"of {1.0 / _neighbour_ratio(lengths[4]):.2f} for each layer. Look at the straight lines on the logarithmic "
        "scale: the same factor again and again is what makes an early layer of a deep network so slow."
    )
    lines = []
    for depth, values in lengths.items():
        layers = tuple(float(layer + 1) for layer in range(depth))
        low, high = np.percentile(values, [5.0, 95.0], axis=0)
        name = f"{depth} hidden"
        lines.append(Line(name, layers, _floats(geometric_mean(values)), low=_floats(low), high=_floats(high)))
        if depth in FIRST_LENGTHS:
            lines.append(Line(f"published, {depth} hidden", layers, FIRST_LENGTHS[depth], style="points"))
    chart = Chart(
        "Gradient length of each hidden layer before any step",
        f"Geometric mean over {len(lengths[1])} seeds, the band from the 5th to the 95th percentile; points are the "
        "published single nets.",
        "hidden layer",
        "gradient length",
        tuple(lines),
        y_scale="log",
    )
    rows = []
    for depth, layer, figure, place in first_percentiles(lengths):
        low, middle, high = np.percentile(lengths[depth][:, layer - 1], [5.0, 50.0, 95.0])
        rows.append((float(depth), float(layer), figure, low, middle, high, place))
    table = Table(
        "The published single nets among our seeds",
        "A percentile of 50 says that half of our nets have a shorter gradient there than the published one.",
        ("hidden layers", "layer", "published", "5th percentile", "median", "95th percentile", "percentile"),
        tuple(tuple(float(cell) for cell in row) for row in rows),
    )
    return Section("Lengths at the start", (text, chart, table))


def section_on_the_way(descents: dict[int, Descent]) -> Section:
    """Lengths along full-batch descent."""
    last = descents[4].lengths[-1]
    text = (
        "Is that only the beginning, before the network has found its feet? It is not. All pictures go into every step "
        "here, so the curves are free of noise. All layers slow down at first, since the biases of the output learn "
        "within a few steps how frequent each class is, and what is left to learn is harder; the order of the layers "
        f"stays, and after {len(descents[4].lengths)} steps the last of four hidden layers learns "
        f"{float(geometric_mean(last[:, -1] / last[:, 0])):.0f} times as fast as the first."
    )
    charts = tuple(_path_chart(depth, descent) for depth, descent in descents.items())
    rows = tuple(
        (where, float(layer), figure, _median_of(descents, where, layer), place)
        for where, layer, figure, place in later_percentiles(descents)
    )
    table = Table(
        "Published lengths along the way among our seeds",
        "Published figures are rounded to the digits shown; steps that were not taken are left out.",
        ("hidden layers, step", "layer", "published", "median", "percentile"),
        rows,
    )
    return Section("Lengths over the steps", (text, *charts, table))


def _median_of(descents: dict[int, Descent], where: str, layer: int) -> float:
    """Median length over the seeds at a place that is named as `later_percentiles` does."""
    depth, step = (int(number) for number in where.split(", step "))
    return float(np.median(descents[depth].lengths[step, :, layer - 1]))


def _path_chart(depth: int, descent: Descent) -> Chart:
    """Lengths of the hidden layers of one network over the steps."""
    count = len(descent.lengths)
    shown = np.unique(np.linspace(0, count - 1, min(count, 120)).astype(int))
    steps = _floats(shown)
    lines = tuple(
        Line(
            f"layer {layer + 1}",
            steps,
            _floats(np.exp(np.log(descent.lengths[shown, :, layer]).mean(axis=1))),
            low=_floats(np.percentile(descent.lengths[shown, :, layer], 5.0, axis=1)),
            high=_floats(np.percentile(descent.lengths[shown, :, layer], 95.0, axis=1)),
        )
        for layer in range(depth)
    )
    return Chart(
        f"Gradient lengths along full-batch descent, hidden layers: {depth}",
        f"Geometric mean over {descent.lengths.shape[1]} seeds, the band from the 5th to the 95th percentile.",
        "step",
        "gradient length",
        lines,
        y_scale="log",
    )


def section_on_accuracy(accuracies: dict[int, FloatArray], *, is_mnist: bool) -> Section:
    """What depth is worth after training by mini-batches."""
    epochs = accuracies[1].shape[1]
    best = max(accuracies, key=lambda depth: accuracies[depth][:, -1].mean())
    where = "This is the published training." if is_mnist else "The published training needs MNIST; here digits serve."
    text = (
        f"What does it cost? Each network is trained by mini-batches of 10 for {epochs} epochs, and judged on pictures "
        f"that it has not seen. {where} If more layers were simply better, accuracy would rise with depth. Best on "
        f"average is the network with hidden layers: {best}. The added early layers are almost as random at the end as "
        "they were at the start, and what has passed through random layers is no easier to tell apart."
    )
    x = tuple(float(epoch + 1) for epoch in range(epochs))
    lines = tuple(
        Line(
            f"{depth} hidden",
            x,
            _floats(100.0 * values.mean(axis=0)),
            low=_floats(100.0 * values.min(axis=0)),
            high=_floats(100.0 * values.max(axis=0)),
        )
        for depth, values in accuracies.items()
    )
    chart = Chart(
        "Validation accuracy over the epochs",
        f"Mean over {len(accuracies[1])} seeds, the band from the least to the greatest.",
        "epoch",
        "accuracy, %",
        lines,
    )
    return Section("Accuracy by depth", (text, chart, _accuracy_table(accuracies)))


def _accuracy_table(accuracies: dict[int, FloatArray]) -> Table:
    """Published and measured accuracies after the last epoch."""
    rows = []
    for depth, values in accuracies.items():
        last, figure = 100.0 * values[:, -1], ACCURACIES[depth][0]
        shown = (last.mean(), last.std(ddof=1) if len(last) > 1 else 0.0, last.min(), last.max())
        rows.append((float(depth), figure, *(float(number) for number in shown)))
    return Table(
        "Validation accuracy after the last epoch, %",
        "Published are single runs on MNIST, after 30 epochs.",
        ("hidden layers", "published", "mean", "standard deviation", "least", "greatest"),
        tuple(rows),
    )


def section_on_recipes(starts: dict[str, FloatArray], others: dict[str, Descent]) -> Section:
    """The same for other activations and first weights."""
    text = (
        "The factor from layer to layer is the scale of the weights times the slope of the activation, so both can "
        "change it. With larger weights sigmoids pass on more, until they saturate and their slope falls. Weights of "
        "variance 16/fan_in make up for the slope of 1/4 exactly, if the biases also take out the mean of one half "
        "that every sigmoid sends on; tanh has slope 1 at zero and needs no more than 1/fan_in; ReLU blocks half of "
        "the units and needs 2/fan_in. Look at how level the lines are. A level line does not yet make a network "
        "learn, but a line that falls towards the early layers keeps it from using them."
    )
    layers = tuple(float(layer + 1) for layer in range(4))
    start_chart = Chart(
        "Gradient length of four hidden layers before any step",
        f"Geometric mean over {len(next(iter(starts.values())))} seeds.",
        "hidden layer",
        "gradient length",
        tuple(Line(name, layers, _floats(geometric_mean(values))) for name, values in starts.items()),
        y_scale="log",
    )
    count = len(next(iter(others.values())).costs)
    shown = np.unique(np.linspace(0, count - 1, min(count, 100)).astype(int))
    cost_chart = Chart(
        "Training cost of four hidden layers along full-batch descent at rate 0.1",
        "Mean over the seeds; every start takes the same steps.",
        "step",
        "cost",
        tuple(Line(name, _floats(shown), _floats(run.costs[shown].mean(axis=1))) for name, run in others.items()),
    )
    parts = (text, start_chart, cost_chart, _recipe_table(starts, others))
    return Section("Other activations and first weights", parts)


def _recipe_table(starts: dict[str, FloatArray], others: dict[str, Descent]) -> Table:
    """Ratios of gradient lengths for each start, and the cost that it comes down to."""
    count = len(next(iter(others.values())).costs)
    return Table(
        "From layer to layer",
        "Geometric means over the seeds: above 1 early layers learn more slowly than late ones, below 1 faster.",
        (
            "start",
            "ratio of neighbours at the start",
            "last over first at the start",
            f"last over first after {count} steps",
            "cost after them",
        ),
        tuple(
            (
                name,
                _neighbour_ratio(values),
                float(geometric_mean(values[:, -1] / values[:, 0])),
                float(geometric_mean(others[name].lengths[-1][:, -1] / others[name].lengths[-1][:, 0])),
                float(others[name].costs[-1].mean()),
            )
            for name, values in starts.items()
        ),
    )


def section_on_runs(watched: list[WatchedDescent]) -> Section:
    """The watched runs."""
    text = (
        "Networks with four hidden layers were also trained by mini-batches of 10 under gradiometer's eyes. Their run "
        "files open with `gradiometer report`. In the first a gain budget goes down by about 13 dB with every hidden "
        "layer, a factor of nearly 5, on the way back to the input; in the others it stays nearly level."
    )
    return Section("What gradiometer says of them", (text, *(run.sentence() for run in watched)))


def _neighbour_ratio(lengths: FloatArray) -> float:
    """Geometric mean over seeds and layers of a layer's gradient length over that of the layer before it."""
    if lengths.shape[1] < 2:
        return 1.0
    return float(np.exp(np.log(lengths[:, -1] / lengths[:, 0]).mean() / (lengths.shape[1] - 1)))


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
