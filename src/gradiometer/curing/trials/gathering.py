"""Gathers the inputs of a script's model while it trains, for cures that go by more than its first batch.

A gathering is a trial of the untouched script that ends as soon as it has enough. What it leaves is a file of plain
numbers in the trial's folder.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradiometer.curing.trials.passage import tensors_in

if TYPE_CHECKING:
    from torch import Tensor, nn

SAMPLES_FILE = "inputs.npy"
"""Name of the file in the trial's folder."""

MOST_EXAMPLES = 10_000
"""Examples that are gathered: what greedy pretraining is usually shown with, and five of its passes are 500 updates."""

MOST_BYTES = 64 * 1024**2
"""Memory that they may take, as float32."""


class Gathering:
    """What is gathered of a training: of each step the first batch that its first root is given.

    Args:
        limit_examples: Examples after which it is enough.
        limit_bytes: Bytes, as float32, after which it is enough.

    Attributes:
        example_count: Examples gathered so far.
        is_full: One of the limits is reached.
    """

    def __init__(self, limit_examples: int = MOST_EXAMPLES, limit_bytes: int = MOST_BYTES) -> None:
        self.limit_examples = limit_examples
        self.limit_bytes = limit_bytes
        self.example_count = 0
        self.is_full = False
        self._root: nn.Module | None = None
        self._step = -1
        self._batches: list[Tensor] = []

    def note(self, root: "nn.Module", step: int, inputs: Any) -> None:
        """Keep the first floating tensor that a root is given, if this is the first call of the first root in a step.

        Batches of another shape than the first one's, but for their number of examples, are left out, and so is what
        is no batch of dense numbers.

        Args:
            root: The root that is called; training, with gradients.
            step: Steps taken before.
            inputs: Its arguments, however nested, without what a model made.
        """
        self._root = self._root or root
        if root is not self._root or step == self._step or self.is_full:
            return
        batch = next((tensor for tensor in tensors_in(inputs) if is_batch(tensor)), None)
        if batch is None or (self._batches and batch.shape[1:] != self._batches[0].shape[1:]):
            return
        self._step = step
        example_bytes = max(4 * batch[0].numel(), 1)
        room = min(self.limit_examples, max(self.limit_bytes // example_bytes, 1)) - self.example_count
        kept = batch[:room].detach().float().cpu().clone()
        self._batches.append(kept)
        self.example_count += len(kept)
        self.is_full = len(kept) == room

    def write(self, folder: Path) -> None:
        """Write what was gathered into a folder, as `SAMPLES_FILE`; no file where nothing was."""
        if self._batches:
            examples = np.concatenate([batch.numpy() for batch in self._batches])
            np.save(folder / SAMPLES_FILE, examples, allow_pickle=False)


def is_batch(tensor: "Tensor") -> bool:
    """Whether a tensor is a batch of dense floating-point numbers, with at least one example."""
    import torch

    is_dense = tensor.layout == torch.strided and tensor.device.type != "meta"
    return is_dense and tensor.is_floating_point() and tensor.dim() > 0 and tensor.numel() > 0


def read_samples(path: str | Path) -> "Tensor | None":
    """Read gathered inputs [example ...].

    Args:
        path: A file that `Gathering.write` wrote.

    Returns:
        The inputs, float32; None where the file is not there or holds no such numbers. Nothing in it can run.
    """
    import torch

    try:
        examples = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    is_usable = isinstance(examples, np.ndarray) and examples.dtype == np.float32 and examples.ndim > 0
    return torch.from_numpy(examples) if is_usable and len(examples) else None
