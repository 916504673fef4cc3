"""What holds for every test: one thread, a known random state, and time enough for a busy machine."""

import gc
import os
import random
import sys

import numpy as np
import pytest
from hypothesis import settings

from gradiometer.lab.datasets.images import LabelledImages

# Read by torch and its libraries when they load, in this process and in those that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A deadline per example would test the machine's load.
settings.register_profile("gradiometer", deadline=None, print_blob=True)
settings.load_profile("gradiometer")


def pytest_collection() -> None:
    """Search for no garbage while modules are imported and tests are made of them: there is hardly any."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest file first: at the end, one process would wait for the one that has it."""
    items.sort(key=lambda item: item.path.name != "test_zoo.py")


def pytest_collection_finish() -> None:
    """Leave what collecting has loaded out of every search to come: it stays, and it is a lot."""
    gc.collect()
    gc.freeze()
    # How long the next full search is put off depends on how much the last one went through.
    gc.collect()
    gc.enable()


@pytest.fixture(autouse=True)
def known_random_state() -> None:
    """Seed every generator that is loaded; torch is not loaded for the tests that do without it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def mnist() -> LabelledImages:
    """MNIST, where a copy is at hand; tests download nothing."""
    from gradiometer.lab.datasets.mnist import VARIABLE, cache_folder, load_mnist

    is_cached = any((cache_folder() / name).exists() for name in ("mnist.npz", "train-images-idx3-ubyte.gz"))
    if not os.environ.get(VARIABLE) and not is_cached:
        pytest.skip(f"no copy of MNIST is at hand; name one with {VARIABLE}=PATH")
    return load_mnist()
