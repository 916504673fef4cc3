"""Faces: what early and late layers of a convolutional network respond to, in a healthy network and in a starved one.

Three networks of five convolutions learn to tell faces from pieces of background. One has ReLU units and He's start;
one has sigmoids and the start that was common before 2010, and no gradient reaches its early layers: it starves; the
third is the second with batch normalisation. Their filters, the pictures that excite a unit most and inputs optimised
for a unit are shown side by side, with the gradient of every layer from their run files.

To be learned: early layers respond to edges and blobs, late ones to what they were asked for, but only where a
gradient tells them so. A starved network's early filters end as they were drawn, and nothing in its loss says why.

Settings: 200 pictures of 25 by 25 pixels, standardised one by one; four folds, each held out once; descent with
momentum 0.9, rate falling from 0.02, weight decay 0.01, 25 pictures a step, 24 epochs in `quick`, 60 epochs and five
seeds in `full`.

Source:
    Pictures: Huang and others, Labeled Faces in the Wild, the part that scikit-image brings along. Ways of looking:
    see `features`. The figure for comparison: scikit-image's gallery, "Face classification using Haar-like
    feature descriptor", version 0.18, its printed output. Glorot, Bengio, "Understanding the difficulty of training
    deep feedforward neural networks", AISTATS 2010, for the starved start.
"""

import math

import numpy as np

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.faces import pages
from gradiometer.lab.experiments.faces.features import turned_shares
from gradiometer.lab.experiments.faces.folds import (
    DECAY,
    MOMENTUM,
    RATE,
    Pictures,
    Trained,
    take_pictures,
    train_all,
    train_by_adam,
)
from gradiometer.lab.networks.face_network import CONVOLUTIONS, MAKINGS
from gradiometer.schema import ExperimentReport, FloatArray, Row, Run
from gradiometer.units import decibels

ROWS: dict[str, Row] = {
    "area": Row(
        name="healthy network, held-out pictures: area under the curve (150 pictures to learn from, 50 held out)",
        published="1.00 (1,000 trees on Haar-like features, one parting)",
        low=0.97,
        high=1.0,
        source="scikit-image 0.18 gallery, Face classification using Haar-like feature descriptor, printed output",
        standing="seen",
    ),
    "guessing": Row(
        name="starved network, held-out pictures: share told right",
        published="1/2: a constant answer, both classes being equally frequent",
        low=0.4,
        high=0.6,
        source="arithmetic; that it is a constant is Glorot, Bengio 2010 on deep sigmoid networks",
        standing="exact",
    ),
    "slope": Row(
        name="starved network: greatest gain of a sigmoid in any step that was measured",
        published="-12.04 dB: the slope is 1/4 at most",
        low=-math.inf,
        high=decibels(0.25) + 1e-4,
        source="arithmetic",
        standing="exact",
        unit="dB",
    ),
    "sum": Row(
        name="gains from the answer back to the first convolution against the level there: greatest difference",
        published="0: a product of terms",
        low=0.0,
        high=0.01,
        source="chain rule",
        standing="exact",
        unit="dB",
    ),
    "order": Row(
        name="starved network: share of trainings in which the first convolution turned less than the last",
        published="early layers learn more slowly than late ones",
        low=1.0,
        high=1.0,
        source="Nielsen, Neural Networks and Deep Learning, chapter 5; Glorot, Bengio 2010",
        standing="remembered",
    ),
    "special": Row(
        name="healthy network: selectivity of single units for faces, fourth convolution minus first",
        published="early layers general, late layers special",
        low=0.0,
        high=math.inf,
        source="Zeiler, Fergus, ECCV 2014; Yosinski, Clune, Bengio, Lipson, NeurIPS 2014",
        standing="remembered",
    ),
}
"""Published beside measured."""


def conduct(bench: Bench) -> ExperimentReport:
    """Train the three networks, look at what their layers respond to, and compare.

    Raises:
        DataError: scikit-image is not installed.
    """
    pictures = take_pictures()
    epochs = bench.pick(toy=2, quick=24, full=60)
    steps = bench.pick(toy=3, quick=60, full=200)
    share = 0.75 / len(MAKINGS)
    trained = {
        name: train_all(bench, name, pictures, epochs=epochs, done=index * share, share=share)
        for index, name in enumerate(MAKINGS)
    }
    runs = {name: one.first.run for name, one in trained.items() if one.first.run is not None}
    by_adam = train_by_adam(pictures, epochs)
    bench.progress(0.8, "what the layers respond to")
    sections = (
        pages.section_on_accuracy(trained, pictures),
        pages.section_on_gradients(runs),
        pages.section_on_movement(trained, by_adam, pictures),
        pages.section_on_filters(trained),
        pages.section_on_excitement(trained, pictures),
        pages.section_on_optimised(trained, pictures, steps),
        pages.section_on_selectivity(trained, pictures),
    )
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="faces",
        title="Faces: what early and late layers see, healthy and starved",
        summary=summary(trained, runs),
        sections=sections,
        rows=rows_of(trained, runs, pictures),
        facts=(
            ("data", f"{len(pictures.labels)} pictures; {pictures.source}"),
            ("seeds", str(len(trained["healthy"].trainings))),
            ("folds", str(len(trained["healthy"].trainings[0]))),
            ("epochs", str(epochs)),
            ("rate, momentum, weight decay", f"{RATE:g}, {MOMENTUM:g}, {DECAY:g}"),
        ),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def summary(trained: dict[str, Trained], runs: dict[str, Run]) -> str:
    """What came out, in plain sentences."""
    mean = {name: float(np.mean(one.accuracies)) for name, one in trained.items()}
    levels = {name: pages.first_levels(run)[0] for name, run in runs.items()}
    moved = {name: turned_shares(one.first)["conv1"] for name, one in trained.items()}
    return (
        f"Of pictures that were held out the healthy network tells {mean['healthy']:.1%} right, the starved one "
        f"{mean['starved']:.1%}, which is a guess, and the same one with batch normalisation {mean['mended']:.1%}. The "
        f"gradient that reaches the first convolution stands at {levels['healthy']:.0f} dB in the healthy network and "
        f"at {levels['starved']:.0f} dB in the starved one. So in the healthy network {moved['healthy']:.2f} of the "
        f"first filters' norm is what a gradient put there, in the starved one {moved['starved']:.1e}: these look at "
        "the end as they were drawn. Late units of the healthy network have become detectors of faces or of what is "
        "none; in the starved one no unit has become anything."
    )


def rows_of(trained: dict[str, Trained], runs: dict[str, Run], pictures: Pictures) -> tuple[Row, ...]:
    """Every row with what was measured."""
    healthy, starved = trained["healthy"], trained["starved"]
    moved = [turned_shares(one) for seed in starved.trainings for one in seed]
    first, last = list(CONVOLUTIONS)[0], list(CONVOLUTIONS)[-1]
    known = pages.mean_selectivity(healthy, pictures)
    return (
        ROWS["area"].filled_from(list(healthy.areas)),
        ROWS["guessing"].filled_from(list(starved.accuracies)),
        ROWS["slope"].filled(greatest_gain_db(runs["starved"], "sigmoid")),
        ROWS["sum"].filled(max(greatest_gap_db(run) for run in runs.values())),
        ROWS["order"].filled(float(np.mean([one[first] < one[last] for one in moved])), seeds=len(moved)),
        ROWS["special"].filled(known["conv4"] - known[first], seeds=len(healthy.trainings[0])),
    )


def greatest_gain_db(run: Run, activation: str) -> float:
    """Greatest gain that any layer with an activation had in any snapshot, dB."""
    columns = [index for index, layer in enumerate(run.layers) if layer.activation == activation]
    return float(np.nanmax(run.layer_column("gain_db")[:, columns]))


def greatest_gap_db(run: Run) -> float:
    """Greatest difference between the level at the trunk's far end and the sum of the gains that lead there, dB."""
    gains, levels = run.layer_column("gain_db"), run.layer_column("level_db")
    gaps = []
    for snapshot in range(run.snapshot_count):
        trunk = run.trunk(snapshot)
        total: FloatArray = gains[snapshot, list(trunk[:-1])]
        gaps.append(abs(float(total.sum()) - float(levels[snapshot, trunk[-1]])))
    return max(gaps)
