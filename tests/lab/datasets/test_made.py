"""The data sets that are made: adding, copying, exclusive or, spirals; and the pictures that are bundled."""

import math

import numpy as np
import pytest

from gradiometer.errors import SettingsError
from gradiometer.lab.datasets.adding import CONSTANT_GUESS_LOSS, draw_adding
from gradiometer.lab.datasets.copying import BLANK, LENGTH, NOW, draw_copying, memoryless_loss
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.datasets.faces import load_faces
from gradiometer.lab.datasets.spirals import draw_spirals, load_spirals
from gradiometer.lab.datasets.xor import draw_xor, load_xor


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("lag", [2, 3, 100])
def test_marks_one_number_of_each_half(generator: np.random.Generator, lag: int) -> None:
    inputs, sums = draw_adding(500, lag, generator)
    assert inputs.shape == (500, lag, 2)
    assert inputs.dtype == sums.dtype == np.float32
    for (numbers, marks), total in zip(inputs.transpose(0, 2, 1), sums[:, 0], strict=True):
        first, second = np.flatnonzero(marks)
        assert first < lag // 2 <= second
        assert total == pytest.approx(float(numbers[first]) + float(numbers[second]), rel=1e-6)
    places = np.flatnonzero(inputs[:, :, 1].any(axis=0))
    assert len(places) == lag


def test_the_constant_guess_has_a_sixth(generator: np.random.Generator) -> None:
    _, sums = draw_adding(200_000, 4, generator)
    spread = float(np.square(sums - 1.0, dtype=np.float64).mean())
    # The mean of 200,000 squares has a standard error of .0005: their variance is 7/180 of it.
    assert spread == pytest.approx(CONSTANT_GUESS_LOSS, abs=0.002)


def test_adding_needs_room_for_two_marks(generator: np.random.Generator) -> None:
    with pytest.raises(SettingsError, match="two time steps at least"):
        draw_adding(1, 1, generator)


@pytest.mark.parametrize("delay", [1, 50])
def test_wants_the_symbols_again_at_the_end(generator: np.random.Generator, delay: int) -> None:
    symbols, targets = draw_copying(300, delay, generator)
    assert symbols.shape == targets.shape == (300, delay + 20)
    assert symbols.dtype == targets.dtype == np.int64
    assert np.array_equal(symbols[:, :LENGTH], targets[:, -LENGTH:])
    assert set(np.unique(symbols[:, :LENGTH])) == set(range(8))
    assert (targets[:, :-LENGTH] == BLANK).all()
    assert (symbols == NOW).sum() == 300
    # The first symbol is asked for `delay` steps after the mark's distance: right behind the mark.
    assert (symbols[:, -LENGTH - 1] == NOW).all()
    assert (np.delete(symbols[:, LENGTH:], delay - 1, axis=1) == BLANK).all()


def test_no_memory_costs_what_the_paper_says() -> None:
    at_each_step = np.zeros(1020)
    at_each_step[-LENGTH:] = -math.log(1 / 8)
    assert memoryless_loss(1000) == pytest.approx(at_each_step.mean(), rel=1e-12)
    assert memoryless_loss(1000) == pytest.approx(0.0204, abs=5e-5)


def test_copying_needs_room_for_the_mark(generator: np.random.Generator) -> None:
    with pytest.raises(SettingsError, match="one time step at least"):
        draw_copying(1, 0, generator)


def test_no_line_parts_exclusive_or(generator: np.random.Generator) -> None:
    inputs, targets = load_xor()
    assert [(a != b) for a, b in inputs.tolist()] == targets[:, 0].astype(bool).tolist()
    design = np.hstack([inputs, np.ones((4, 1))])
    best_line = design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    assert best_line == pytest.approx(np.full((4, 1), 0.5))
    points, wanted = draw_xor(50_000, generator)
    nearest = points.round().clip(0, 1)
    wrong = ((nearest[:, 0] != nearest[:, 1]) != wanted[:, 0].astype(bool)).mean()
    # A point leaves its half of an axis with chance Q(.5/.15) = 4.3e-4 for each of two axes.
    assert wrong == pytest.approx(8.6e-4, abs=5e-4)


def test_draws_the_published_spirals(generator: np.random.Generator) -> None:
    points, targets = load_spirals()
    assert len(points) == 194
    assert np.array_equal(points[0::2], -points[1::2])
    assert (targets[0::2, 0].min(), targets[1::2, 0].max()) == (1.0, 0.0)
    lengths = np.linalg.norm(points[0::2].astype(np.float64), axis=1)
    assert lengths[[0, -1]] == pytest.approx([6.5, 0.5])
    turned = np.unwrap(np.arctan2(points[0::2, 0], points[0::2, 1]))
    assert turned[-1] - turned[0] == pytest.approx(3 * 2 * math.pi, rel=1e-5)
    drawn, wanted = draw_spirals(400, generator)
    distances = np.linalg.norm(drawn[:, None] - points[None], axis=2)
    assert distances.min(axis=1).max() < 0.65
    assert (targets[distances.argmin(axis=1)] == wanted).all()


def test_spirals_scatter_as_asked() -> None:
    smooth, _ = draw_spirals(4000, np.random.default_rng(3))
    scattered, _ = draw_spirals(4000, np.random.default_rng(3), spread=0.1)
    assert (scattered - smooth).std() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("draw", [draw_adding, draw_copying], ids=["adding", "copying"])
def test_the_same_seed_draws_the_same(draw: object) -> None:
    first, second = (draw(3, 10, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_faces_are_halved_in_every_part() -> None:
    from skimage.data import lfw_subset

    faces = load_faces()
    bundled = lfw_subset().astype(np.float32).reshape(200, -1)
    for inputs, labels in (
        (faces.train_inputs, faces.train_labels),
        (faces.validation_inputs, faces.validation_labels),
        (faces.test_inputs, faces.test_labels),
    ):
        assert labels.mean() == 0.5
        found = [int(np.abs(bundled - picture).sum(axis=1).argmin()) for picture in inputs]
        assert [place < 100 for place in found] == labels.astype(bool).tolist()
    whole = np.concatenate([faces.train_inputs, faces.validation_inputs, faces.test_inputs])
    assert np.array_equal(np.sort(whole.sum(axis=1)), np.sort(bundled.sum(axis=1)))


def test_digits_keep_their_order() -> None:
    from sklearn.datasets import load_digits as load_bundled

    digits, bundled = load_digits(), load_bundled()
    whole = np.concatenate([digits.train_inputs, digits.validation_inputs, digits.test_inputs])
    assert np.array_equal(whole * 16, bundled.data)
    labels = np.concatenate([digits.train_labels, digits.validation_labels, digits.test_labels])
    assert np.array_equal(labels, bundled.target)
    assert (digits.pixels, digits.side, digits.classes) == (64, 8, 10)
