import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gradiometer.measuring.ranks_shards import indices_in_block, is_sharded, local_of, plain_class


@st.composite
def blocks(draw):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    starts = tuple(draw(st.integers(0, length)) for length in shape)
    lengths = tuple(draw(st.integers(0, length - start)) for length, start in zip(shape, starts, strict=True))
    count = int(np.prod(shape))
    return shape, starts, lengths, draw(st.lists(st.integers(0, count - 1), max_size=20))


@given(blocks())
def test_reads_of_a_shard_the_elements_that_one_process_reads_of_the_whole(case):
    shape, starts, lengths, indices = case
    whole = np.arange(int(np.prod(shape))).reshape(shape)
    block = whole[tuple(slice(start, start + length) for start, length in zip(starts, lengths, strict=True))]
    found = indices_in_block(np.array(indices, dtype=np.int64), shape, lengths, starts)
    expected = [index for index in indices if index in block]
    assert block.reshape(-1)[found].tolist() == expected


def test_takes_a_whole_tensor_as_it_is():
    weight = nn.Parameter(torch.ones(3))
    assert not is_sharded(weight)
    assert local_of(weight).data_ptr() == weight.data_ptr()
    assert not local_of(weight).requires_grad


@pytest.mark.parametrize("kind", [nn.Linear, nn.Tanh, nn.Sequential])
def test_names_the_class_of_a_module_that_is_not_sharded(kind):
    assert plain_class(kind(2, 2) if kind is nn.Linear else kind()) is kind
