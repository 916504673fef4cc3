"""A hundred faces and a hundred pieces of background, 25 by 25 pixels, bundled with scikit-image: no download.

Source:
    G. Huang, M. Mattar, H. Lee, E. Learned-Miller, "Learning to Align from Scratch", NIPS 2012: a part of "Labeled
    Faces in the Wild" (Huang, Ramesh, Berg, Learned-Miller 2007), cropped and resized by scikit-image's authors. The
    set states no licence: its pictures are news photographs, published for research.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gradiometer.errors import DataError
from gradiometer.lab.datasets.images import LabelledImages

FACES = 100
"""The first hundred pictures are faces, the other hundred are not."""

PARTS = (120, 160)
"""Pictures up to the first number are trained on, up to the second validated on, the rest tested on."""

ORDER_SEED = 20120
"""Seed of the one order in which they are parted."""


def load_faces() -> LabelledImages:
    """Load the pictures, half of each part faces (class 1); brightness is from 0 to 1.

    Raises:
        DataError: scikit-image is not installed; the message says how to get it.
    """
    try:
        from skimage.data import lfw_subset
    except ImportError as fault:
        raise DataError("The faces come with scikit-image: pip install 'gradiometer[lab]'.") from fault
    load_bundled: Callable[[], NDArray[np.float64]] = lfw_subset
    pictures = load_bundled().astype(np.float32).reshape(2 * FACES, -1)
    generator = np.random.default_rng(ORDER_SEED)
    # A face and a piece of background in turn, so that every part has as many of both.
    order = np.stack([generator.permutation(FACES), FACES + generator.permutation(FACES)], axis=1).ravel()
    inputs, labels = pictures[order], (order < FACES).astype(np.int64)
    first, second = PARTS
    return LabelledImages(
        name="faces",
        source="Huang et al. 2007 and 2012, Labeled Faces in the Wild, bundled with scikit-image; no licence stated",
        side=25,
        classes=2,
        train_inputs=inputs[:first],
        train_labels=labels[:first],
        validation_inputs=inputs[first:second],
        validation_labels=labels[first:second],
        test_inputs=inputs[second:],
        test_labels=labels[second:],
    )
