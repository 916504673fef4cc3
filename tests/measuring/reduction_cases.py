"""Tensors that are hard to reduce, and what their table has to say by NumPy; also run as a script under Triton.

    TRITON_INTERPRET=1 python tests/measuring/reduction_cases.py

prints what the Triton kernel says of each case, as JSON.
"""

import json
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

NAN, INFINITY = float("nan"), float("inf")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ordinary(dtype: torch.dtype) -> list[Tensor]:
    """Sizes around a block and a row, none of them alike, and of no dimension."""
    sizes = [(), (1,), (7,), (256, 16), (4097,), (8192,), (8193,), (70_000,), (0,), (3, 0, 2)]
    drawn = [draw(*size, seed=number).to(dtype) for number, size in enumerate(sizes)]
    sparse_by_hand = draw(300, 40, seed=99).to(dtype)
    sparse_by_hand[draw(300, 40, seed=98) < 0.5] = 0.0
    sparse_by_hand[5, 5] = -0.0
    return [*drawn, sparse_by_hand, torch.zeros(10, dtype=dtype), torch.full((5000,), -0.0, dtype=dtype)]


def laid_out_strangely() -> list[Tensor]:
    image = draw(4, 6, 9, 9)
    return [
        image.to(memory_format=torch.channels_last),
        draw(90, 80).t(),
        draw(120, 90)[::2, 1:],
        draw(5000)[1:],  # not aligned to 16 bytes
        draw(1).expand(300, 4),
        draw(6, 7, 8).permute(2, 0, 1),
        draw(64, 64).requires_grad_(),
    ]


def of_extreme_size() -> list[Tensor]:
    return [
        torch.full((9000,), 1e-30),
        torch.full((9000,), -1e30),
        torch.tensor([3e38, 1e-38]),
        torch.full((5000,), 3.4e38),
        torch.tensor([1e-45, 0.0, 1e-40]),
        torch.cat([torch.full((9000,), 1e-25), torch.tensor([1e25])]),
        torch.full((6000,), 3e38, dtype=torch.bfloat16),
        torch.full((6000,), 1e-40, dtype=torch.bfloat16),
        torch.full((100,), 65504.0, dtype=torch.float16),
        torch.full((100,), 6e-8, dtype=torch.float16),
        torch.full((9000,), 1e100, dtype=torch.float64),
        torch.full((9000,), 1e-100, dtype=torch.float64),
    ]


def not_finite() -> list[Tensor]:
    large = draw(70_000)
    large[[3, 8192, 69_999]] = torch.tensor([NAN, INFINITY, -INFINITY])
    mixed = torch.tensor([1.0, NAN, INFINITY, -INFINITY, 0.0, -0.0, -5.0])
    nothing_finite = torch.full((20,), NAN)
    return [large, mixed, nothing_finite, mixed.half(), mixed.bfloat16(), mixed.double(), large.half(), -mixed]


def sparse() -> list[Tensor]:
    indices = torch.tensor([[0, 2, 2], [1, 0, 0]])
    return [
        torch.sparse_coo_tensor(indices, torch.tensor([1.0, 2.0, 3.0]), (4, 5), check_invariants=True),
        torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), (4, 5), check_invariants=True),
        torch.sparse_coo_tensor(
            torch.tensor([[1, 1]]), torch.tensor([[1.0, 0.0], [NAN, 2.0]]), (3, 2), check_invariants=True
        ),
    ]


def complex_numbers() -> list[Tensor]:
    values = torch.complex(draw(50), draw(50, seed=1))
    return [values, values.conj(), torch.tensor([0j, 3 + 4j, complex(NAN, 1.0)]), values.conj().imag]


def mixed_formats() -> list[Tensor]:
    return [draw(300), draw(300).half(), draw(9000).bfloat16(), draw(300).double(), draw(40), draw(9000).half()]


def many_small() -> list[Tensor]:
    """More than are reduced together at a time."""
    tensors = [draw(4000 + number % 3, seed=number) for number in range(20)]
    tensors[8][[0, -1]] = torch.tensor([0.0, NAN])
    tensors[15] *= 1e-30
    return tensors


CASES: dict[str, Callable[[], list[Tensor]]] = {
    "float16": lambda: ordinary(torch.float16),
    "bfloat16": lambda: ordinary(torch.bfloat16),
    "float32": lambda: ordinary(torch.float32),
    "float64": lambda: ordinary(torch.float64),
    "layouts": laid_out_strangely,
    "extremes": of_extreme_size,
    "not finite": not_finite,
    "sparse": sparse,
    "complex": complex_numbers,
    "mixed": mixed_formats,
    "many small": many_small,
    "nothing": list,
}


def expected_row(tensor: Tensor) -> list[float]:
    """One row of the table by NumPy, every square summed without rounding."""
    tensor = tensor.detach().cpu()
    dense = tensor.to_dense() if tensor.layout != torch.strided else tensor
    wide = dense.resolve_conj().resolve_neg()
    values = wide.to(torch.complex128 if dense.is_complex() else torch.float64).numpy().ravel()
    finite = np.abs(values[np.isfinite(values)])
    return [
        math.fsum(magnitude * magnitude for magnitude in finite.tolist()),
        float(finite.max(initial=0.0)),
        float((values == 0).sum()),
        float(values.size - finite.size),
    ]


def main() -> None:
    from gradiometer.measuring.triton_reductions import reduce_with_triton

    print(json.dumps({name: reduce_with_triton(make()).tolist() for name, make in CASES.items()}))  # noqa: T201


if __name__ == "__main__":
    main()
