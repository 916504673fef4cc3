"""Two streams of random numbers, so that trials with and without a cure see the same data.

A script's shuffles, made data and noise usually come from the same global generators as its model's dropout. A cure
that adds or takes away one draw in the model would then shift all data after it. So what is drawn inside a root
module's forward comes from a stream of its own, and all that is drawn outside goes on as if the forward had drawn
nothing, whatever the cure.
"""

import hashlib
import random
import sys
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor

WHOLE_BYTES = 64 * 1024
SAMPLE_ELEMENTS = 4096
_DIGEST_BYTES = 16


class ModelStream:
    """The stream that a model draws from; `enter` and `leave` go around each outermost forward of a root.

    Covered are the global generators of torch (CPU, and every CUDA device once CUDA is in use), numpy and Python. Of
    numpy's, the second half of a pair of normal numbers that `numpy.random.randn` keeps for its next call is lost on
    entering, with a cure as without. Not for several threads at once.

    A context manager too, for what is not a forward: applying a cure.
    """

    def __init__(self, seed: int) -> None:
        """Make the stream; the global generators are left as they are.

        Args:
            seed: Where the stream starts, any integer.
        """
        self._depth = 0
        self._seed = seed
        self._torch_state = torch.Generator().manual_seed(seed % 2**63).get_state()
        self._cuda_states: dict[int, Tensor] = {}
        self._python_state = random.Random(seed).getstate()
        self._numpy_bits: Any = None
        self._outside: tuple[Tensor, dict[int, Tensor], Any, Any] | None = None

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def enter(self) -> None:
        """Draw from this stream from now on; inside another entry it only counts."""
        self._depth += 1
        if self._depth > 1:
            return
        outside_numpy = self._exchange_numpy(None)
        self._outside = (torch.default_generator.get_state(), _cuda_states(), random.getstate(), outside_numpy)
        torch.default_generator.set_state(self._torch_state)
        random.setstate(self._python_state)
        for index in self._outside[1]:
            generator = torch.cuda.default_generators[index]
            if index in self._cuda_states:
                generator.set_state(self._cuda_states[index])
            else:
                generator.manual_seed(self._seed % 2**63)

    def leave(self) -> None:
        """Go back to the stream outside with the outermost `leave`; without an `enter` nothing happens."""
        if self._depth == 0:
            return
        self._depth -= 1
        if self._depth > 0 or self._outside is None:
            return
        torch_state, cuda_states, python_state, numpy_bits = self._outside
        self._outside = None
        self._torch_state = torch.default_generator.get_state()
        self._python_state = random.getstate()
        self._cuda_states = _cuda_states()
        torch.default_generator.set_state(torch_state)
        random.setstate(python_state)
        for index, state in cuda_states.items():
            torch.cuda.default_generators[index].set_state(state)
        if numpy_bits is not None:
            self._exchange_numpy(numpy_bits)

    def _exchange_numpy(self, bits: Any) -> Any:
        """Put other bits under numpy's global generator, its own stream's for None; returns those it had."""
        numpy_random = sys.modules.get("numpy.random")
        if numpy_random is None:
            return None
        if bits is None:
            if self._numpy_bits is None:
                self._numpy_bits = numpy_random.MT19937(self._seed % 2**63)
            bits = self._numpy_bits
        known = numpy_random.get_bit_generator()
        numpy_random.set_bit_generator(bits)
        return known


def fingerprint_of(tensors: Iterable[Tensor]) -> str:
    """Digest a batch, the same in every process: 32 hexadecimal digits.

    Of each tensor count dtype, shape and content: all of it up to 64 KiB, beyond that 4096 elements at equal
    distances. A tensor without content of its own (meta, sparse) counts by dtype and shape. Of no tensor the digest
    is that of nothing.

    Args:
        tensors: The batch, in a fixed order; on any device (one that is not the CPU is waited for).
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with torch.no_grad():
        for tensor in tensors:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            if tensor.layout == torch.strided and tensor.device.type != "meta":
                digest.update(_content_of(tensor))
    return digest.hexdigest()


def _content_of(tensor: Tensor) -> Any:
    flat = tensor.detach().resolve_conj().resolve_neg().reshape(-1)
    if flat.numel() * flat.element_size() > WHOLE_BYTES:
        flat = flat[:: max(1, flat.numel() // SAMPLE_ELEMENTS)]
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    return flat.contiguous().cpu().view(torch.uint8).numpy()


def _cuda_states() -> dict[int, Tensor]:
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    return {index: generator.get_state() for index, generator in enumerate(torch.cuda.default_generators)}
