"""A report of the lab with every noun in it, and every way to draw one, made from formulas."""

import math

import numpy as np

from gradiometer.schema import (
    Chart,
    ExperimentReport,
    HeatMap,
    Line,
    Part,
    Picture,
    PictureGrid,
    Row,
    Section,
    Table,
)

HOSTILE = '</script><img src=x onerror="alert(1)"><a href="javascript:alert(1)">x</a>'

ROWS: dict[str, Row] = {
    "speed": Row(
        "How many times slower the first of four hidden layers learns than the last, at step 250",
        "about 100",
        30.0,
        300.0,
        "Nielsen, Neural Networks and Deep Learning, chapter 5",
        "seen",
    ),
    "accuracy": Row(
        "[784, 30, 10], quadratic cost, eta 3.0, 30 epochs: best accuracy on the test set",
        "95.42 %",
        94.7,
        95.8,
        "Nielsen, chapter 1",
        "remembered",
        unit="%",
        needs="mnist",
    ),
    "parameters": Row(
        "784-16-16-10: weights and biases", "13,002", 13002.0, 13002.0, "3Blue1Brown, chapter 1", "exact"
    ),
    "gap": Row(
        "Accuracy lost where the penalty is left out", "4.83", 3.0, math.inf, "Nielsen, chapter 3", "own", unit="points"
    ),
}


def decades(start: float, end: float, count: int = 60) -> tuple[float, ...]:
    """Numbers evenly apart by ratio."""
    return tuple(float(value) for value in np.geomspace(start, end, count))


def charts() -> tuple[Chart, ...]:
    """Lines with bands and marks, twelve lines, points beside a line, bars over words, logarithmic axes."""
    steps = tuple(float(step) for step in range(500))
    names = ("1", "2", "3", "4")
    falling = [tuple(0.3 * 5.0**-place * math.exp(-step / 200.0) for step in steps) for place in range(4)]
    fan = tuple(
        Line(f"layer {name}", steps, heights, low=tuple(0.6 * y for y in heights), high=tuple(1.6 * y for y in heights))
        for name, heights in zip(reversed(names), falling, strict=True)
    )
    around = tuple(float(x) for x in np.linspace(-4.0, 4.0, 161))
    functions = {
        f"function number {index}": tuple(math.tanh(x / (index + 1.0)) + 0.1 * index for x in around)
        for index in range(12)
    }
    scales = decades(1.0, 1e3)
    found = decades(2.0, 800.0, 12)
    words = ("sigmoid", "tanh", "ReLU", "leaky ReLU (slope 0.01)", "GELU", "SiLU", "softplus", "maxout of two")
    return (
        Chart(
            "Speed of four layers",
            "Each line is one layer; the band is what 40 seeds span.",
            "step",
            "length of the gradient of the layer's biases",
            fan,
            y_scale="log",
            marks=((250.0, "where the ratio is read"), (0.0, "start")),
        ),
        Chart(
            "Twelve functions",
            "Colour and mark together tell them apart.",
            "input",
            "output",
            tuple(Line(name, around, heights) for name, heights in functions.items()),
        ),
        Chart(
            "Measured beside foretold",
            "Points are measured, dashes foretold; one value is infinite and one is zero.",
            "layers",
            "factor on the gradient",
            (
                Line("tanh, foretold", scales, tuple(math.exp(-x / 80.0) for x in scales), "dashes"),
                Line(
                    "tanh, measured",
                    found,
                    tuple(math.exp(-x / 75.0) for x in found),
                    "points",
                    low=tuple(0.5 * math.exp(-x / 75.0) for x in found),
                    high=tuple(2.0 * math.exp(-x / 75.0) for x in found),
                ),
                Line("relu, measured", (1.0, 10.0, 30.0, 100.0, 300.0), (1.0, math.nan, 0.0, math.inf, 0.5)),
            ),
            x_scale="log",
            y_scale="log",
        ),
        Chart(
            "Accuracy by activation",
            "Bars with the span of the seeds.",
            "activation",
            "accuracy, %",
            (
                Line(
                    "shallow", words, (91.0, 95.0, 97.0, 97.1, 97.2, 97.0, 94.0, 97.3), "bars", (90.0,) * 8, (98.0,) * 8
                ),
                Line("deep", words, (11.0, 93.0, 96.0, 96.1, 96.2, 96.0, 12.0, 96.3), "bars"),
            ),
        ),
        Chart("Nothing", "", "step", "loss", ()),
    )


def heat_maps() -> tuple[HeatMap, ...]:
    """A surface with a way upon it, numbers at unequal distances with a gap, words beside words with two signs."""
    side = np.linspace(-2.0, 2.0, 41)
    surface = side[None, :] ** 2 + 4.0 * side[:, None] ** 2
    way = tuple((2.0 * 0.9**k * math.cos(k / 3.0), 1.6 * 0.85**k) for k in range(40))
    rates, depths = (0.01, 0.03, 0.1, 0.3, 1.0), (1.0, 3.0, 10.0, 30.0)
    accuracy = np.array([[90.0, 95.0, 97.0, 96.0, 50.0]] * 3 + [[10.0, 10.0, 11.0, math.nan, math.inf]])
    classes = tuple(str(digit) for digit in range(10))
    agreement = np.cos(np.subtract.outer(np.arange(10.0), np.arange(10.0)))
    return (
        HeatMap(
            "The way down",
            "From the circle to the star.",
            "first main direction",
            "second main direction",
            tuple(side.tolist()),
            tuple(side.tolist()),
            surface,
            path=way,
        ),
        HeatMap(
            "Accuracy by rate and depth",
            "A gap is a training that came apart.",
            "learning rate",
            "hidden layers",
            rates,
            depths,
            accuracy,
            unit="%",
        ),
        HeatMap(
            "Do the digits agree?",
            "Cosine between what two digits ask for.",
            "digit",
            "digit",
            classes,
            classes,
            agreement,
            is_diverging=True,
        ),
    )


def pictures() -> PictureGrid:
    """Waves of 8 by 8 pixels, one flat, one with a pixel that is missing."""
    grid = np.arange(8.0)
    waves = [np.sin(0.4 * place * grid)[:, None] * np.cos(0.3 * grid)[None, :] for place in range(18)]
    broken = waves[3].copy()
    broken[2, 2] = math.nan
    shown = [*waves, np.zeros((8, 8)), broken]
    return PictureGrid(
        "Filters of the first layer",
        "Each picture has its own black and white.",
        tuple(Picture(f"unit {place}", pixels) for place, pixels in enumerate(shown)),
        columns=10,
    )


def made_experiment(text: str = "") -> ExperimentReport:
    """The report; `text` is put into every kind of text that it has."""
    table = Table(
        f"Cost of an epoch {text}",
        "Seconds of processor time on one thread.",
        ("how", "seconds", "seeds", f"note {text}"),
        (
            ("numpy, one example at a time", 4.61234, 1.0, "the published program's way"),
            ("numpy, a mini-batch at once", 0.36, 8.0, text or "–"),
            ("numpy, all at once", math.nan, 13002.0, "not run"),
        ),
    )
    named = Chart(
        f"Named {text}", text, f"x {text}", text, (Line(f"a {text}", (text or "a", "b"), (1.0, 2.0), "bars"),)
    )
    introduction: Part = (
        f"The gradient of an early weight is a product: `w1 s'(z1) w2 s'(z2) ...`, and s' is at most ¼. {text}\n\n"
        "So it shrinks by a factor of at least four in every layer whose weights are not greater than four."
    )
    rows = (
        ROWS["speed"].filled_from([41.2, 88.0, 123.4]),
        ROWS["accuracy"].left_out(f"needs MNIST: run without --quick {text}"),
        ROWS["parameters"].filled(13002),
        ROWS["gap"].filled(2.1),
    )
    return ExperimentReport(
        name="learning-speeds",
        title=f"How much slower early layers learn {text}",
        summary=f"The first of four hidden layers learns 84 times slower than the last. {text}",
        sections=(
            Section("A product of small numbers", (introduction, *charts())),
            Section("Surfaces", ("Colour is the cost.", *heat_maps())),
            Section(f"Filters and costs {text}", (pictures(), table, named)),
        ),
        rows=rows,
        facts=(("Data", "digits: 1,797 pictures"), ("Time", "12.3 s"), (f"Note {text}", text or "none")),
        run_files=("lab/learning-speeds/four-hidden-layers.db",),
    )
