"""The lab's data sets, one to a file; none needs the network but MNIST, and that only where no copy is at hand."""

from gradiometer.lab.datasets.images import LabelledImages

__all__ = ["LabelledImages"]
