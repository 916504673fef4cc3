"""One thread for matrices that are too small to be shared out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gradiometer.errors import DataError


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it numpy's BLAS and torch compute with one thread each; behind it as before.

    Several threads gain nothing on layers of a hundred units and wait for each other actively: on two busy cores the
    trainings of a quick `backpropagation` took 174 s with two threads, 32 s with one.

    Raises:
        DataError: threadpoolctl, which scikit-learn brings, is not installed.
    """
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
    except ImportError as fault:
        raise DataError("Threads are limited by threadpoolctl: pip install 'gradiometer[lab]'.") from fault
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)
