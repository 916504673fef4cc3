"""The data that is trained on: scikit-learn's small sets and made ones; each the same on every call."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine, make_friedman1
from torch import Tensor

COUNT = 1024


@dataclass(frozen=True)
class Data:
    """One data set, scaled as it should be.

    Attributes:
        inputs: float [example feature], [example channel height width] or [example time feature]; int64
            [example time] for tokens.
        targets: int64 [example] for classes, float [example output] for numbers.
        outputs: Classes, or numbers to predict.
        vocabulary: Number of different tokens, 0 for inputs that are numbers.
        is_linear: A network without a bend between its layers does as well.
    """

    inputs: Tensor
    targets: Tensor
    outputs: int
    vocabulary: int = 0
    is_linear: bool = False

    @property
    def has_classes(self) -> bool:
        """Whether classes are told apart; numbers are predicted otherwise."""
        return not self.targets.is_floating_point()


def standardised(inputs: np.ndarray) -> Tensor:
    """Each feature with mean 0 and standard deviation 1; one that never changes becomes 0."""
    spread = inputs.std(axis=0)
    return torch.tensor((inputs - inputs.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0), dtype=torch.float32)


def digits() -> Data:
    inputs, targets = load_digits(return_X_y=True)
    return Data(standardised(inputs), torch.tensor(targets), 10, is_linear=True)


def digit_images() -> Data:
    inputs, targets = load_digits(return_X_y=True)
    pixels = torch.tensor(inputs / 8.0 - 1.0, dtype=torch.float32)
    return Data(pixels.view(-1, 1, 8, 8), torch.tensor(targets), 10, is_linear=True)


def digit_rows() -> Data:
    """The digits, one row after another: eight time steps."""
    images = digit_images()
    return Data(images.inputs[:, 0], images.targets, 10)


def digit_copies() -> Data:
    """The digits, to be given back."""
    pixels = digit_images().inputs.flatten(1)
    return Data(pixels, pixels, 64, is_linear=True)


def tumours() -> Data:
    inputs, targets = load_breast_cancer(return_X_y=True)
    return Data(standardised(inputs), torch.tensor(targets), 2, is_linear=True)


def wines() -> Data:
    inputs, targets = load_wine(return_X_y=True)
    return Data(standardised(inputs), torch.tensor(targets), 3, is_linear=True)


def diabetes() -> Data:
    """Regression of which half of the variance at most can be told."""
    inputs, targets = load_diabetes(return_X_y=True)
    return Data(standardised(inputs), standardised(targets[:, None]), 1, is_linear=True)


def friedman() -> Data:
    inputs, targets = make_friedman1(COUNT, n_features=8, noise=0.5, random_state=0)
    return Data(standardised(inputs), standardised(targets[:, None]), 1)


def waves() -> Data:
    """Numbers that are sums of sines of the features: nothing of it can be told by a linear network."""
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((COUNT, 4))
    targets = np.cos(2.0 * inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:3]
    return Data(torch.tensor(inputs, dtype=torch.float32), standardised(targets), 1)


def clusters(noise_share: float = 0.0, classes: int = 5) -> Data:
    """Six clusters of points for each class, mingled, so that no plane parts the classes; some labels may be wrong."""
    generator = np.random.default_rng(2)
    centres = 2.0 * generator.standard_normal((6 * classes, 6))
    which = generator.integers(0, len(centres), COUNT)
    inputs = centres[which] + 0.4 * generator.standard_normal((COUNT, 6))
    wrong = generator.random(COUNT) < noise_share
    targets = np.where(wrong, generator.integers(0, classes, COUNT), which % classes)
    return Data(standardised(inputs), torch.tensor(targets), classes)


def spirals() -> Data:
    """Three arms of a spiral: easy to see, hard to part."""
    generator = np.random.default_rng(3)
    arm = generator.integers(0, 3, COUNT)
    radius = np.sqrt(generator.random(COUNT))
    angle = 2.0 * np.pi * arm / 3.0 + 4.0 * radius + 0.15 * generator.standard_normal(COUNT)
    inputs = 1.7 * np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Data(torch.tensor(inputs, dtype=torch.float32), torch.tensor(arm), 3)


def bars() -> Data:
    """Images of three channels with one bar in one of four directions, in noise."""
    generator = np.random.default_rng(4)
    kind = generator.integers(0, 4, COUNT)
    rows, columns = np.mgrid[0:10, 0:10]
    lines = np.stack([rows, columns, (rows + columns) // 2 + 1, (rows - columns) // 2 + 5])
    place = generator.integers(2, 8, COUNT)
    shapes = (lines[kind] == place[:, None, None]).astype(float)
    images = 2.0 * shapes[:, None] + 0.5 * generator.standard_normal((COUNT, 3, 10, 10)) - 0.2
    return Data(torch.tensor(images, dtype=torch.float32), torch.tensor(kind), 4)


def first_of(length: int) -> Data:
    """Sequences of noise; the class is shown at the first time step alone."""
    generator = np.random.default_rng(5)
    kind = generator.integers(0, 4, COUNT)
    inputs = 0.3 * generator.standard_normal((COUNT, length, 5))
    inputs[np.arange(COUNT), 0, kind] += 2.0
    return Data(torch.tensor(inputs, dtype=torch.float32), torch.tensor(kind), 4)


def sums_of(length: int) -> Data:
    """The adding problem: the sum of the two numbers of a sequence that are marked (Hochreiter & Schmidhuber 1997)."""
    generator = np.random.default_rng(6)
    values = generator.uniform(-1.0, 1.0, (COUNT, length))
    marks = np.zeros((COUNT, length))
    marks[np.arange(COUNT), generator.integers(0, length // 2, COUNT)] = 1.0
    marks[np.arange(COUNT), generator.integers(length // 2, length, COUNT)] = 1.0
    targets = (values * marks).sum(axis=1, keepdims=True)
    return Data(torch.tensor(np.stack([values, marks], axis=2), dtype=torch.float32), standardised(targets), 1)


def marked_tokens() -> Data:
    """Twelve tokens, one of them marked; which one it is is the class."""
    generator = np.random.default_rng(7)
    tokens = generator.integers(0, 8, (COUNT, 12))
    place = generator.integers(0, 12, COUNT)
    targets = tokens[np.arange(COUNT), place].copy()
    tokens[np.arange(COUNT), place] += 8
    return Data(torch.tensor(tokens), torch.tensor(targets), 8, vocabulary=16)


DATA: dict[str, Callable[[], Data]] = {
    "digits": digits,
    "digit_images": digit_images,
    "digit_rows": digit_rows,
    "digit_copies": digit_copies,
    "tumours": tumours,
    "wines": wines,
    "diabetes": diabetes,
    "friedman": friedman,
    "waves": waves,
    "clusters": clusters,
    "noisy_clusters": lambda: clusters(noise_share=0.25),
    "two_clusters": lambda: clusters(classes=2),
    "spirals": spirals,
    "bars": bars,
    "first_of_8": lambda: first_of(8),
    "first_of_16": lambda: first_of(16),
    "first_of_60": lambda: first_of(60),
    "sums_of_8": lambda: sums_of(8),
    "marked_tokens": marked_tokens,
}
"""All data sets by name."""


@cache
def load(name: str) -> Data:
    """One of `DATA`, made once; it is not to be written to."""
    return DATA[name]()
