"""Handwritten digits of 8 by 8 pixels, bundled with scikit-learn: 1,797 pictures, no download.

Source:
    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
    (its test half); licence CC BY 4.0. The bundled order is kept: writers of the last pictures differ from those of the
    first.
"""

import numpy as np

from gradiometer.errors import DataError
from gradiometer.lab.datasets.images import LabelledImages

PARTS = (1200, 1500)
"""Pictures up to the first number are trained on, up to the second validated on, the rest tested on."""


def load_digits() -> LabelledImages:
    """Load the digits; brightness is the pixel's count of 0 to 16, divided by 16.

    Raises:
        DataError: scikit-learn is not installed; the message says how to get it.
    """
    try:
        from sklearn.datasets import load_digits as load_bundled
    except ImportError as fault:
        raise DataError("The digits come with scikit-learn: pip install 'gradiometer[lab]'.") from fault
    bundled = load_bundled()
    inputs = (bundled.data / 16.0).astype(np.float32)
    labels = bundled.target.astype(np.int64)
    first, second = PARTS
    return LabelledImages(
        name="digits",
        source="Alpaydin and Kaynak 1998, UCI repository, bundled with scikit-learn; CC BY 4.0",
        side=8,
        classes=10,
        train_inputs=inputs[:first],
        train_labels=labels[:first],
        validation_inputs=inputs[first:second],
        validation_labels=labels[first:second],
        test_inputs=inputs[second:],
        test_labels=labels[second:],
    )
