import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gradiometer
from gradiometer.lab.bench import NEEDS_MNIST, Bench
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.experiments.backpropagation.checks import (
    checks_chapter,
    greatest_difference,
    quotient_difference,
    train_xor,
)
from gradiometer.lab.experiments.backpropagation.experiment import conduct
from gradiometer.lab.experiments.backpropagation.neuron import neuron_chapter
from gradiometer.lab.experiments.backpropagation.pages import seeds_with_a_lost_digit
from gradiometer.lab.experiments.backpropagation.published import MEASURES, ROWS, darkness_accuracy, published_rows
from gradiometer.lab.experiments.backpropagation.speed import time_ways
from gradiometer.lab.experiments.backpropagation.trainings import (
    CHAPTER_3,
    SIZES,
    TRAININGS,
    Learned,
    conduct_training,
)
from gradiometer.lab.networks.feed_forward import draw_network
from gradiometer.lab.one_thread import one_thread
from gradiometer.schema import ExperimentReport, Row

TIMED = ("What it costs", "Online, mini-batch, full batch")
"""Sections whose figures are times, and differ from run to run."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[ExperimentReport, Bench]:
    bench = Bench(tmp_path_factory.mktemp("toy"), size="toy")
    return conduct(bench), bench


def lasting(report: ExperimentReport) -> object:
    """What of a report does not depend on time."""
    sections = [section for section in report.sections if section.title not in TIMED]
    return repr(sections), [row for row in report.rows if row.unit != "times"]


def test_goes_through_every_part(toy: tuple[ExperimentReport, Bench]) -> None:
    report, _ = toy
    assert report.name == "backpropagation"
    assert len(report.sections) == 12
    for section in report.sections:
        assert isinstance(section.parts[0], str)
        assert len(section.parts) > 1
    left_out = {row.reason for row in report.rows if row.measured is None}
    assert NEEDS_MNIST in left_out
    assert len(report.rows) > len(ROWS)


def test_writes_run_files_that_can_be_read(toy: tuple[ExperimentReport, Bench]) -> None:
    _, bench = toy
    assert [path.stem for path in bench.run_files] == ["thirty-hidden-units", "thirty-hidden-units-rate-100"]
    for path in bench.run_files:
        assert gradiometer.open(path).step_count == 3


def test_gives_the_same_twice(toy: tuple[ExperimentReport, Bench], tmp_path: Path) -> None:
    shares: list[float] = []
    again = conduct(Bench(tmp_path, size="toy", progress=lambda share, doing: shares.append(share)))
    assert lasting(again) == lasting(toy[0])
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_the_mathematics_is_held_to_its_bands(tmp_path: Path) -> None:
    rows = (*checks_chapter(Bench(tmp_path, size="quick", seed_count=8)).rows, *neuron_chapter().rows)
    assert [(row.name, row.measured) for row in rows if row.verdict != "within"] == []
    assert greatest_difference() < 1e-12
    assert quotient_difference()[0] < 1e-6


def test_no_network_without_hidden_layer_learns_exclusive_or() -> None:
    costs, right = train_xor(0, range(10), 500)
    assert right.max() <= 3
    assert costs.min() >= np.log(2.0) - 1e-6


def test_the_neuron_follows_the_books_formula() -> None:
    chart = neuron_chapter().sections[0].parts[1]
    for line, (weight, bias), is_quadratic in zip(
        chart.lines, ((0.6, 0.9), (2.0, 2.0), (2.0, 2.0)), (True, True, False), strict=True
    ):
        answers = []
        for _ in range(301):
            answer = 1.0 / (1.0 + np.exp(-(weight + bias)))
            answers.append(answer)
            gradient = answer * answer * (1.0 - answer) if is_quadratic else answer
            weight, bias = weight - 0.15 * gradient, bias - 0.15 * gradient
        np.testing.assert_allclose(line.y, answers, rtol=1e-10)


def test_judges_by_costs_with_the_l2_term() -> None:
    digits = load_digits()
    training = replace(CHAPTER_3, weight_cost=500.0, examples=200, judged_on="validation", follows_training=True)
    seeds = range(2)
    learned = conduct_training(training, digits, seeds, examples=100, epochs=2, progress=lambda over: None)
    added = [
        0.5 * 500.0 / 200 * sum(float(np.square(weight[seed], dtype=np.float64).sum()) for weight in weights)
        for seed, weights in ((seed, learned.network.weights) for seed in seeds)
    ]
    output = digits.validation_inputs.astype(np.float64)
    for seed in seeds:
        a = output
        for weight, bias in zip(learned.network.weights, learned.network.biases, strict=True):
            a = 1.0 / (1.0 + np.exp(-(a @ weight[seed] + bias[seed])))
        wanted = np.eye(10)[digits.validation_labels]
        cost = -(wanted * np.log(a) + (1 - wanted) * np.log1p(-a)).sum(axis=1).mean()
        assert learned.costs[-1, seed] == pytest.approx(cost + added[seed], rel=1e-4)
        assert learned.accuracies[-1, seed] == pytest.approx(
            100 * (a.argmax(axis=1) == digits.validation_labels).mean()
        )


def test_judges_the_first_and_the_last_epoch() -> None:
    training = replace(CHAPTER_3, judged_every=3)
    told: list[int] = []
    learned = conduct_training(training, load_digits(), range(2), examples=30, epochs=8, progress=told.append)
    assert learned.epochs.tolist() == [1, 4, 7, 8]
    assert np.isnan(learned.training_costs[1:3]).all()
    assert not np.isnan(learned.training_costs[[0, 3]]).any()
    assert told == list(range(1, 9))


def test_every_row_has_its_measure() -> None:
    assert MEASURES.keys() | {"darkness", "support vectors", "tweaked"} == ROWS.keys()
    assert all(f"{size} pictures" in TRAININGS for size in SIZES)
    assert all(row.needs == "mnist" and row.source for row in ROWS.values())


def test_rows_tell_what_was_measured() -> None:
    """Made trainings with known figures, in the place of MNIST's."""
    trainings = {name: made(training) for name, training in TRAININGS.items()}
    trainings["none"] = made(TRAININGS["none"], ends=[75.0, 91.5])
    trainings["few"] = made(TRAININGS["few"], ends=[82.0, 83.0], costs=[[3.0, 3.0], [1.0, 2.0], [2.0, 1.0]])
    trainings["few, L2"] = made(TRAININGS["few, L2"], ends=[86.0, 87.0])
    trainings["rate 2.5"] = made(TRAININGS["rate 2.5"], training_costs=[[0.9, 0.9], [0.5, 0.8], [0.7, 0.7]])
    trainings["rate 100"] = made(TRAININGS["rate 100"], ends=[10.0, 97.0])
    trainings["rate 0.001"] = made(TRAININGS["rate 0.001"], ends=[20.0, 20.0])
    images = replace(load_digits(), name="mnist")
    rows = dict(zip(ROWS, published_rows(trainings, images), strict=True))
    assert rows["none"].measured == 91.5
    assert rows["few, turning"].measured == pytest.approx((2 + 3) / 2)
    assert rows["few, gain"].measured == pytest.approx(4.0)
    assert rows["rate 2.5"].measured == pytest.approx((0.5 + 0.7) / 2)
    assert rows["rates"].measured == 0.5
    assert rows["darkness"].verdict == "outside"
    assert rows["support vectors"].verdict == "not run"


def made(
    training: object,
    *,
    ends: list[float] | None = None,
    costs: list[list[float]] | None = None,
    training_costs: list[list[float]] | None = None,
) -> Learned:
    accuracies = np.array([[50.0, 50.0], [60.0, 60.0], ends or [95.0, 95.0]])
    ones = np.ones((3, 2))
    network = draw_network((2, 2), [0, 1])
    return Learned(
        training,
        np.array([1.0, 2.0, 3.0]),
        accuracies,
        np.array(costs or ones),
        accuracies,
        np.array(training_costs or ones),
        network,
        0.0,
    )


def test_darkness_names_the_nearest_mean() -> None:
    images = load_digits()
    means = {digit: images.train_inputs[images.train_labels == digit].sum(axis=1).mean() for digit in range(10)}
    right = 0
    for picture, label in zip(images.test_inputs, images.test_labels, strict=True):
        right += min(means, key=lambda digit: abs(means[digit] - picture.sum())) == label
    assert darkness_accuracy(images) == pytest.approx(100 * right / len(images.test_labels), abs=0.4)


def test_times_every_way_as_often() -> None:
    timing = time_ways(10, examples=40, rounds=2)
    assert {len(each) for each in timing.seconds.values()} == {2}
    assert all(seconds > 0 for each in timing.seconds.values() for seconds in each)
    assert timing.ratios("autograd") == [
        other / own for other, own in zip(timing.seconds["autograd"], timing.seconds["written out"], strict=True)
    ]


def test_counts_networks_that_never_name_a_digit() -> None:
    images = load_digits()
    learned = made(CHAPTER_3)
    network = draw_network((64, 10), [0, 1], "he")
    design = np.hstack([images.test_inputs, np.ones((len(images.test_inputs), 1), np.float32)])
    solution = np.linalg.lstsq(design, np.eye(10)[images.test_labels], rcond=None)[0]
    for seed in (0, 1):
        network.weights[0][seed], network.biases[0][seed] = solution[:-1], solution[-1:]
    assert seeds_with_a_lost_digit(replace(learned, network=network), images) == 0
    network.biases[0][1, 0, 3] = -100.0
    assert seeds_with_a_lost_digit(replace(learned, network=network), images) == 1


@pytest.mark.slow
def test_the_quick_run_is_quick_and_misses_no_row(tmp_path: Path) -> None:
    started = time.process_time()
    report = conduct(Bench(tmp_path, size="quick"))
    assert time.process_time() - started < 30
    assert [(row.name, row.measured) for row in report.missed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chapter 1", "cross-entropy", "L2", "default start"])
def test_one_seed_on_mnist_lies_near_what_is_published(mnist: LabelledImages, name: str) -> None:
    """A single seed may lie as far from the mean of several as the published one does."""
    training = replace(TRAININGS[name], epochs=15)
    with one_thread():
        learned = conduct_training(training, mnist, range(1), examples=50_000, epochs=15, progress=lambda over: None)
    published = {"chapter 1": 95.42, "cross-entropy": 95.49, "L2": 96.49, "default start": 96.50}
    assert learned.best[0] == pytest.approx(published[name], abs=1.0)


@pytest.mark.slow
def test_darkness_on_mnist_is_the_books(mnist: LabelledImages) -> None:
    row: Row = ROWS["darkness"].filled(darkness_accuracy(mnist))
    assert row.verdict == "within"
