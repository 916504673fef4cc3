"""What tests of the lab share."""

import os

import pytest

from gradiometer.lab.datasets.images import LabelledImages
from gradiometer.lab.datasets.mnist import VARIABLE, cache_folder, load_mnist


@pytest.fixture(scope="session")
def mnist() -> LabelledImages:
    """MNIST, where a copy is at hand; tests download nothing."""
    is_cached = any((cache_folder() / name).exists() for name in ("mnist.npz", "train-images-idx3-ubyte.gz"))
    if not os.environ.get(VARIABLE) and not is_cached:
        pytest.skip(f"no copy of MNIST is at hand; name one with {VARIABLE}=PATH")
    return load_mnist()
