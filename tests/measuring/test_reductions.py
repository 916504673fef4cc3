"""Reductions of all tensors of a step: plain torch, blocks on the CPU and the Triton kernel, each against NumPy."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gradiometer.measuring.reductions import REDUCTIONS, by_device, reduce_tensors, reduction_for, square_tensors
from gradiometer.measuring.reductions_defined import COLUMN_COUNT, Reduction, reduce_plainly
from gradiometer.measuring.reductions_in_blocks import (
    BLOCK_SIZE,
    FORMATS,
    dot_rows,
    dot_rows_by_matmul,
    reduce_array,
    reduce_exactly,
    reduce_in_blocks,
    square_in_blocks,
)
from measuring.reduction_cases import CASES, draw, expected_row

SQUARES_TOLERANCE = 2e-6
"""Sums of squares in float32 over rows of 8 192 elements; everything else has to be equal."""

needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed (1 GB; GPU builds)")


def compare(found: list[list[float]], tensors: list[Tensor]) -> None:
    assert len(found) == len(tensors)
    for row, tensor in zip(found, tensors, strict=True):
        expected = expected_row(tensor)
        assert row[0] == pytest.approx(expected[0], rel=SQUARES_TOLERANCE, abs=0.0), (tensor.dtype, tensor.shape)
        # |z| of a complex element is rounded; every other magnitude is one of the tensor's own numbers.
        assert row[1] == pytest.approx(expected[1], rel=1e-15 if tensor.is_complex() else 0.0, abs=0.0)
        assert row[2:] == expected[2:], (tensor.dtype, tensor.shape)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reduce", [reduce_plainly, reduce_in_blocks, reduce_tensors])
def test_reductions_agree_with_numpy(name: str, reduce: Reduction) -> None:
    tensors = CASES[name]()
    before = [tensor.clone() for tensor in tensors]
    table = reduce(tensors)
    assert table.dtype == torch.float64
    assert table.shape == (len(tensors), COLUMN_COUNT)
    compare(table.tolist(), tensors)
    for tensor, copy in zip(tensors, before, strict=True):
        assert tensor.is_sparse or torch.equal(tensor.nan_to_num(), copy.nan_to_num())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("square", [square_in_blocks, square_tensors])
def test_squares_alone_agree_with_numpy(name: str, square: Reduction) -> None:
    tensors = CASES[name]()
    table = square(tensors)
    assert table.shape == (len(tensors), 2)
    for (square_sum, nonfinite), tensor in zip(table.tolist(), tensors, strict=True):
        expected = expected_row(tensor)
        assert square_sum == pytest.approx(expected[0], rel=SQUARES_TOLERANCE, abs=0.0), (tensor.dtype, tensor.shape)
        assert nonfinite == expected[3], (tensor.dtype, tensor.shape)


def test_a_tensor_of_many_blocks_is_reduced_without_losing_digits_or_elements() -> None:
    tensor = draw(3 * BLOCK_SIZE + 11).abs() + 0.5
    tensor[[BLOCK_SIZE - 1, BLOCK_SIZE, 3 * BLOCK_SIZE + 10]] = torch.tensor([0.0, -9.0, 0.0])
    compare(reduce_in_blocks([tensor]).tolist(), [tensor])
    tensor[2 * BLOCK_SIZE] = float("nan")
    compare(
        reduce_in_blocks([tensor, tensor.bfloat16(), tensor.double()]).tolist(),
        [tensor, tensor.bfloat16(), tensor.double()],
    )


def test_a_row_is_the_same_whichever_way_numpy_takes_the_dot_products() -> None:
    rows = draw(8, 8192).numpy()
    assert dot_rows_by_matmul(rows) == pytest.approx(dot_rows(rows), rel=1e-6)
    values = draw(20_000).numpy()
    assert reduce_array(values, FORMATS[torch.float32]) == pytest.approx(reduce_exactly(values), rel=1e-6)


def test_tensors_are_reduced_where_they_are() -> None:
    assert set(REDUCTIONS) == {"cpu", "cuda"}
    assert reduction_for("cpu") is reduce_in_blocks
    assert reduction_for("meta") is reduce_plainly
    assert by_device([torch.zeros(1), torch.zeros(1, device="meta"), torch.zeros(2)]) == {
        torch.device("cpu"): [0, 2],
        torch.device("meta"): [1],
    }


def run_with_triton(*arguments: str, **environment: str) -> str:
    """Run Python in a process of its own: whether Triton interprets is settled when it is imported."""
    finished = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@needs_triton
def test_the_triton_kernel_agrees_with_numpy_in_the_interpreter() -> None:
    script = str(Path(__file__).with_name("reduction_cases.py"))
    tables = json.loads(run_with_triton(script, TRITON_INTERPRET="1"))
    for name, make in CASES.items():
        compare(tables[name], make())


COMPILE = """
import triton.language as tl
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from gradiometer.measuring.triton_reductions import BLOCK_SIZE, FORMATS, JOINED_AT_ONCE, join_blocks, reduce_blocks

names = ["addresses", "sizes", "tensor_of", "block_of", "partials", "element", "is_aligned", "block_size"]
signature = dict(zip(names, ["*i64", "*i64", "*i32", "*i32", "*fp64", *["constexpr"] * 3], strict=True))
for element in FORMATS.values():
    constants = {(5,): element, (6,): True, (7,): BLOCK_SIZE}
    source = ASTSource(reduce_blocks, signature=signature, constexprs=constants)
    options = {"num_warps": 8, "enable_fp_fusion": True}
    text = compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]
    print("wide" if "ld.global.v" in text else "narrow")
signature = {"partials": "*fp64", "first_block_of": "*i32", "table": "*fp64", "rows_at_once": "constexpr"}
source = ASTSource(join_blocks, signature=signature, constexprs={(3,): JOINED_AT_ONCE})
compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
"""


@needs_triton
def test_the_triton_kernel_compiles_for_a_gpu_and_reads_in_wide_pieces() -> None:
    assert run_with_triton("-c", COMPILE, TRITON_INTERPRET="0").split() == ["wide"] * 4


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_the_triton_kernel_agrees_with_numpy_on_a_gpu(name: str) -> None:
    tensors = [tensor.cuda() for tensor in CASES[name]()]
    compare(reduce_tensors(tensors).tolist(), tensors)


@needs_triton
@pytest.mark.gpu
def test_the_triton_kernel_waits_for_nothing() -> None:
    tensors = [draw(size).cuda() for size in (5, 8192, 100_000)]
    reduce_tensors(tensors)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        table = reduce_tensors(tensors)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    compare(table.tolist(), tensors)
