"""What a set of labelled pictures is, and which one an experiment takes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gradiometer.lab.bench import Bench


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Pictures with a class each, parted as the field parts them.

    Attributes:
        name: What the set is called.
        source: Who made it, and its licence.
        side: Height and width of a picture, pixels.
        classes: How many classes there are.
        train_inputs: Brightness from 0 to 1, float32 [example pixel].
        train_labels: Classes, int64 [example].
        validation_inputs: Pictures to choose settings by.
        validation_labels: Their classes.
        test_inputs: Pictures that nothing was chosen by.
        test_labels: Their classes.
    """

    name: str
    source: str
    side: int
    classes: int
    train_inputs: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    validation_inputs: NDArray[np.float32]
    validation_labels: NDArray[np.int64]
    test_inputs: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    @property
    def pixels(self) -> int:
        """Numbers in one picture."""
        return self.side * self.side


def images_for(bench: "Bench") -> LabelledImages:
    """Digits where it has to be quick, MNIST else.

    Raises:
        DataError: MNIST is neither at hand nor to be had.
    """
    from gradiometer.lab.datasets.digits import load_digits
    from gradiometer.lab.datasets.mnist import load_mnist

    return load_digits() if bench.is_quick else load_mnist(bench.data)


def one_hot(labels: NDArray[np.int64], classes: int, dtype: type[np.floating] = np.float32) -> NDArray[np.floating]:
    """Classes as vectors with a 1 at the class [example class].

    Example:
        >>> one_hot(np.array([1, 0]), 2).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    return np.eye(classes, dtype=dtype)[labels]
