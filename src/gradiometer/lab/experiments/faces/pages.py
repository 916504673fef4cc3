"""The page of experiment `faces`: what was measured, in text, curves, pictures and tables."""

import math

import numpy as np

from gradiometer.lab.experiments.faces.features import (
    SMOOTHING,
    exciting_patches,
    field_of,
    optimised_inputs,
    preferring_units,
    selectivity,
    similarities_to_start,
    turned_parts,
    turned_shares,
)
from gradiometer.lab.experiments.faces.folds import (
    FOLDS,
    Pictures,
    Trained,
    Training,
    accuracy_over,
    best_threshold_accuracy,
    wilson_interval,
)
from gradiometer.lab.networks.face_network import CONVOLUTIONS, MAKINGS, draw_face_network, weight_of
from gradiometer.schema import Chart, FloatArray, Line, Picture, PictureGrid, Run, Section, Table
from gradiometer.units import format_db

LAYERS = tuple(CONVOLUTIONS)
"""Names of the convolutions, the first nearest the picture."""

SHOWN_UNITS = 8
"""Units of a layer that are shown."""

PATCHES = 6
"""Pictures that are shown of what excites a unit."""


def section_on_accuracy(trained: dict[str, Trained], pictures: Pictures) -> Section:
    """What the networks are, and how well they tell faces they never saw."""
    threshold = best_threshold_accuracy(pictures.brightness, pictures.labels.numpy())
    count = len(pictures.labels)
    text = (
        f"{count} pictures of 25 by 25 pixels, half of them faces, the others pieces of background. Faces are "
        f"brighter: one threshold on a picture's mean brightness already tells {threshold:.1%} of them right, so each "
        "picture is brought to mean 0 and variance 1 before a network sees it, and brightness alone tells nothing any "
        f"more. The pictures are parted into {FOLDS} folds, and each network is trained {FOLDS} times, each time "
        "without one fold, which it is then asked about. All have the same layers, the same rate and the same steps."
    )
    rows = []
    for name, one in trained.items():
        mean = math.fsum(one.accuracies) / len(one.accuracies)
        low, high = wilson_interval(mean, sum(len(fold.held_out) for fold in one.trainings[0]))
        area = math.fsum(one.areas) / len(one.areas)
        rows.append((name, MAKINGS[name].words, 100.0 * mean, f"{low:.1%} to {high:.1%}", area))
    table = Table(
        "Pictures that were held out",
        "The interval is Wilson's of 95 % for as many independent answers as there are pictures; networks of different "
        "folds share training pictures, so the truth is somewhat wider. The area under the curve is the chance that a "
        "face gets the higher answer than what is none: it asks for the order alone, not for the right threshold.",
        ("network", "made of", "told right, %", "95 % interval", "area under the curve"),
        tuple(rows),
    )
    lines = tuple(
        Line(name, tuple(map(float, range(1, len(one.first.losses) + 1))), one.first.losses)
        for name, one in trained.items()
    )
    chart = Chart(
        "Training loss",
        f"Of the first fold. A network that has learned nothing but that both classes are equally frequent stands at "
        f"ln 2 = {math.log(2.0):.3f}.",
        "epoch",
        "mean loss",
        lines,
    )
    return Section("Three networks and two hundred pictures", (text, table, chart))


def section_on_gradients(runs: dict[str, Run]) -> Section:
    """Levels from the run files."""
    starved, healthy = first_levels(runs["starved"]), first_levels(runs["healthy"])
    text = (
        "The gradient of the loss comes in at the answer and goes back layer by layer. At each activation it is "
        "multiplied by the slope, at each convolution by the weights, so in decibels the layers' gains add up. A "
        f"sigmoid's slope is 1/4 at most, which is {format_db(20.0 * math.log10(0.25))}; five of them take off 60 dB "
        "whatever the weights do, and small weights take off more. Before the first step the gradient at the first "
        f"convolution stands at {format_db(starved[0])} in the starved network and at {format_db(healthy[0])} in the "
        "healthy one, compared with their answers. Look at the slope of the lines: the starved one falls evenly "
        "towards the picture, and still does at the end."
    )
    lines = []
    for name, run in runs.items():
        for when, row in (("at the start", 0), ("at the end", -1)):
            style = "line" if row == 0 else "dashes"
            lines.append(Line(f"{name}, {when}", LAYERS, tuple(levels(run, row).tolist()), style=style))  # type: ignore[arg-type]
    chart = Chart(
        "Gradient at the output of each convolution",
        "From the run files: norm of the loss gradient compared with that at the network's answer. 20 dB are a factor "
        "of ten.",
        "convolution, the first nearest the picture",
        "level, dB",
        tuple(lines),
    )
    return Section("The gradient on its way to the first layer", (text, chart))


def section_on_movement(trained: dict[str, Trained], by_adam: Training, pictures: Pictures) -> Section:
    """How far filters came from where they were drawn."""
    turned = {name: turned_shares(one.first) for name, one in trained.items()}
    alike = {name: similarities_to_start(one.first) for name, one in trained.items()}
    first, last = LAYERS[0], LAYERS[-1]
    text = (
        "A filter moves by the rate times its gradient. Where no gradient arrives, only weight decay is left, which "
        "makes a filter shorter and does not turn it: it stays as chance drew it. So look at the part of a trained "
        "layer that stands at a right angle to its start, which a gradient must have put there. In the first "
        f"convolution it is {turned['starved'][first]:.1e} of the norm in the starved network and "
        f"{turned['healthy'][first]:.2f} in the healthy one; in the last, {turned['starved'][last]:.1e} and "
        f"{turned['healthy'][last]:.2f}. The starved network's early layers are not broken: they work, they only never "
        "learned. Nor are sigmoids to blame alone: with a batch normalisation before each, the same ones turned their "
        f"first filters by {turned['mended'][first]:.2f}. And it is the gradient's size that is missing, not its "
        "direction: Adam, which divides each weight's gradient by its usual size, turned the first filters of the "
        f"very same starved network by {turned_shares(by_adam)[first]:.2f}, and the network then told "
        f"{accuracy_over((by_adam,), pictures.labels):.0%} of the held-out fold right: under Adam a "
        "gradient can vanish unnoticed."
    )
    lines = tuple(Line(name, LAYERS, tuple(values.values()), style="bars") for name, values in turned.items())
    chart = Chart(
        "How far filters turned",
        "Norm of the part at a right angle to the start, over the norm of the whole; first fold.",
        "convolution",
        "share of the norm",
        lines,
        y_scale="log",
    )
    table = Table(
        "Likeness of filters with their start",
        "Mean cosine between a filter and the same filter as it was drawn; 1 is unturned.",
        ("network", *LAYERS),
        tuple((name, *values.values()) for name, values in alike.items()),
    )
    return Section("What training changed", (text, chart, table))


def section_on_filters(trained: dict[str, Trained]) -> Section:
    """First filters before and after."""
    weights = {name: turned_shares(one.first)[LAYERS[0]] for name, one in trained.items()}
    text = (
        "The filters of the first convolution can be looked at as pictures: each is the pattern of 7 by 7 pixels that "
        "its unit looks for. Three pictures are one unit: as it was drawn, as it ended, and what was learned, which is "
        "the part at a right angle to the start. Two hundred pictures are few: even in the healthy network much of "
        "what chance drew is left in the trained filters, and what was learned shows in the third picture, as stripes "
        "and blobs. In the starved network the first two are the same. What it learned is drawn as bright as the "
        f"others, and looks as sensible: the gradient that arrives is right, but it has put {weights['starved']:.1e} "
        f"of the whole there, and the healthy network's {weights['healthy']:.2f}."
    )
    parts: list[str | PictureGrid] = [text]
    for name, one in trained.items():
        end, learned = weight_of(one.first.network, LAYERS[0]), turned_parts(one.first)[LAYERS[0]]
        columns = zip(one.first.start[LAYERS[0]], end, learned, strict=True)
        shown = [
            Picture(f"{unit} {what}", filters[0].numpy().astype(np.float64))
            for unit, three in enumerate(columns)
            for what, filters in zip(("drawn", "trained", "learned"), three, strict=True)
        ]
        caption = f"White raises the unit, black lowers it. What was learned weighs {weights[name]:.2g} of the whole."
        parts.append(PictureGrid(f"First filters, {name}", caption, tuple(shown), 6))
    return Section("The filters of the first layer", tuple(parts))


def section_on_excitement(trained: dict[str, Trained], pictures: Pictures) -> Section:
    """The pictures that excite a unit most, early and late."""
    early, late = LAYERS[0], LAYERS[-1]
    text = (
        "For each unit we looked for the pictures to which it responds most, and cut out what it sees there: "
        f"{field_of(early)[0]} by {field_of(early)[0]} pixels for a unit of the first convolution, the whole picture "
        "for one of the last. One row is one unit. Early units answer to an edge or a blob wherever it comes from; "
        "late units of a healthy network have picked a side, and their rows hold faces only, or none. The upper half "
        "of the rows are the units that prefer faces most, the lower half those that prefer the rest."
    )
    parts: list[str | PictureGrid | Table] = [text]
    shares = []
    for name, one in trained.items():
        for layer in (early, late):
            network = one.first.network
            units = preferring_units(network, pictures, layer, SHOWN_UNITS)
            excited = exciting_patches(network, pictures, layer, units, PATCHES)
            shown = tuple(
                Picture(f"unit {found.unit}" if rank == 0 else "", patch)
                for found in excited
                for rank, patch in enumerate(found.patches)
            )
            title = f"What excites units of {layer}, {name}"
            parts.append(PictureGrid(title, "One row is one unit, its strongest picture on the left.", shown, PATCHES))
            shares.append((name, layer, 100.0 * purity([found.face_share for found in excited])))
    table = Table(
        "How one-sided the rows are",
        f"Share of the commoner class among the {PATCHES} pictures of a row, mean over the rows.",
        ("network", "convolution", "share, %"),
        tuple(shares),
    )
    return Section("Pictures that excite a unit most", (*parts, table))


def section_on_optimised(trained: dict[str, Trained], pictures: Pictures, steps: int) -> Section:
    """Pictures made for a unit."""
    text = (
        "Instead of looking for the picture that a unit likes best, one can make it: begin with noise, ask "
        "backpropagation how each pixel would raise the unit's response, change the picture that way, and begin "
        "again. Two rules keep the answer a picture: its norm stays that of a standardised picture (Erhan and others "
        "2009), and differences between neighbouring pixels are held down (total variation, Mahendran and Vedaldi "
        f"2015, here at {SMOOTHING:g} of the response's own weight); {steps} steps. The first layer's pictures are its "
        "filters again, for a linear unit likes nothing better than itself. The last ones show what a unit has put "
        "together from all layers below, and `answer` is what the network takes for a face. No portrait comes out: to "
        "tell faces from background a network needs no more than what sets them apart, such as dark and bright bars "
        "one above the other where brows, eyes and mouth are. Of a starved network only what chance has woven comes "
        "out, and the grid of its strides."
    )
    parts: list[str | PictureGrid] = [text]
    for name, one in trained.items():
        network = one.first.network
        shown = []
        for layer in (LAYERS[0], LAYERS[-1], "answer"):
            count = SHOWN_UNITS
            units = [0] if layer == "answer" else preferring_units(network, pictures, layer, count)
            made = optimised_inputs(network, layer, units, steps=steps)
            shown += [
                Picture(layer if layer == "answer" else f"{layer} {unit}", picture[0].numpy().astype(np.float64))
                for unit, picture in zip(units, made, strict=True)
            ]
        caption = "The first row is of the first convolution, the second of the last, then the answer itself."
        parts.append(PictureGrid(f"Optimised inputs, {name}", caption, tuple(shown), SHOWN_UNITS))
    return Section("Optimised inputs", tuple(parts))


def section_on_selectivity(trained: dict[str, Trained], pictures: Pictures) -> Section:
    """How well single units tell a face."""
    lines, ends = [], {}
    for name, one in trained.items():
        after, drawn = mean_selectivity(one, pictures), mean_selectivity(one, pictures, is_as_drawn=True)
        ends[name] = (drawn, after)
        lines.append(Line(f"{name}, trained", tuple(after), tuple(after.values())))
        lines.append(Line(f"{name}, as drawn", tuple(drawn), tuple(drawn.values()), style="dashes"))
    healthy, starved = ends["healthy"][1], ends["starved"][1]
    last = LAYERS[-2]
    text = (
        "How much does one unit alone know of faces? Take its response to pictures that the network never saw, and "
        "ask how often a face gets a higher one than what is none; a unit that prefers what is none counts as much. "
        f"Units of the healthy network come from {healthy[LAYERS[0]]:.2f} in the first convolution to "
        f"{healthy[last]:.2f} in the fourth. In the starved one they stay where chance put them, "
        f"{starved[LAYERS[0]]:.2f} and {starved[last]:.2f}. Note that chance puts them well above 0.5: faces differ so "
        "much from background that even random filters respond otherwise to them. The knowledge is there in the "
        "starved network, but no gradient tells any layer to make use of it, and its answer hardly changes from "
        "picture to picture."
    )
    chart = Chart(
        "What single units know",
        "Mean over a layer's units of the area under the curve on held-out pictures, sign left aside; 0.5 is nothing, "
        "1 all.",
        "layer",
        "area under the curve",
        tuple(lines),
    )
    return Section("From general to special", (text, chart))


def mean_selectivity(one: Trained, pictures: Pictures, *, is_as_drawn: bool = False) -> dict[str, float]:
    """Selectivity by layer, mean over the first seed's folds; of the networks as they ended, or as they were drawn."""
    found = [
        selectivity(
            draw_face_network(one.making, training.seed).eval() if is_as_drawn else training.network,
            pictures,
            training.held_out,
        )
        for training in one.trainings[0]
    ]
    return {layer: float(np.mean([values[layer] for values in found])) for layer in found[0]}


def purity(face_shares: list[float]) -> float:
    """Mean share of the commoner class.

    Example:
        >>> purity([1.0, 0.0, 0.5])
        0.8333333333333334
    """
    return float(np.mean([max(share, 1.0 - share) for share in face_shares]))


def levels(run: Run, snapshot: int) -> FloatArray:
    """Level at each convolution's output in one snapshot, dB."""
    columns = [run.layer_index(name) for name in LAYERS]
    found: FloatArray = run.layer_column("level_db")[snapshot, columns]
    return found


def first_levels(run: Run) -> FloatArray:
    """Level at each convolution's output before the first step, dB."""
    return levels(run, 0)
