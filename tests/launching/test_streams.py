import random
import subprocess
import sys
from timeit import repeat

import numpy as np
import pytest
import torch

from gradiometer.launching.streams import ModelStream, fingerprint_of


def seed(value=0):
    torch.manual_seed(value)
    random.seed(value)
    np.random.seed(value)


@pytest.fixture(autouse=True)
def _seeded():
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    seed()
    yield
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])


def draws(count=1):
    return [(float(torch.rand(())), random.random(), float(np.random.rand())) for _ in range(count)]


def train(stream, draws_inside):
    """What a script draws outside its model and inside, over four steps."""
    outside, inside = [], []
    for _ in range(4):
        outside += draws()
        if stream is not None:
            stream.enter()
        inside += draws(draws_inside)
        if stream is not None:
            stream.leave()
    return outside, inside


def test_draws_the_same_data_whatever_the_model_draws():
    outside_alone, _ = train(None, 0)
    for draws_inside in (0, 1, 7):
        seed()
        outside, _ = train(ModelStream(5), draws_inside)
        assert outside == outside_alone


def test_goes_on_inside_the_model_where_it_left_off():
    _, inside = train(ModelStream(5), 2)
    seed(99)
    stream = ModelStream(5)
    with stream:
        in_one_go = draws(8)
    assert inside == in_one_go
    assert len(set(inside)) == 8
    with ModelStream(6):
        assert draws() != inside[:1]


def test_counts_entries_inside_each_other():
    expected, _ = train(None, 0)
    seed()
    stream = ModelStream(5)
    outside = draws()
    with stream:
        first = draws()
        with stream:
            second = draws()
        third = draws()
    outside += draws(3)
    assert outside == expected
    with ModelStream(5):
        assert draws(3) == first + second + third


def test_comes_back_out_of_a_model_that_fails():
    expected, _ = train(None, 0)
    seed()
    stream = ModelStream(5)

    def fail():
        with stream:
            draws(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert draws(4) == expected
    stream.leave()
    with stream:
        pass
    stream.leave()


def test_keeps_dropout_out_of_the_shuffle():
    def order(layers):
        torch.manual_seed(0)
        model, stream, found = torch.nn.Sequential(*layers), ModelStream(1), []
        for _ in range(3):
            permutation = torch.randperm(8)
            found.append(permutation.tolist())
            with stream:
                model(torch.ones(8, 2))
        return found

    assert order([torch.nn.Dropout(0.5)]) == order([torch.nn.Dropout(0.1), torch.nn.Dropout(0.9)]) == order([])


def test_enters_and_leaves_in_less_than_a_tenth_of_a_millisecond():
    stream = ModelStream(1)

    def once():
        stream.enter()
        stream.leave()

    once()
    seconds = min(repeat(once, number=200, repeat=5)) / 200
    assert seconds < 100e-6  # about 25 µs on the machine that it was written on, with room for a busy one


def variants():
    generator = torch.Generator().manual_seed(0)
    yield torch.rand(128, 784, generator=generator)
    yield torch.rand(4, 3, generator=generator)
    yield torch.rand(4, 3, generator=generator, dtype=torch.float64)
    yield torch.rand(300, 300, generator=generator).to(torch.bfloat16)
    yield torch.randint(0, 10, (128,), generator=generator)
    yield torch.zeros(3, 0)
    yield torch.tensor(float("nan"))
    yield torch.ones(5, dtype=torch.bool)
    yield torch.rand(200, 200, generator=generator).t()
    yield torch.rand(3, dtype=torch.complex64, generator=generator).conj()
    yield torch.rand(20000, dtype=torch.complex64, generator=generator)
    yield torch.ones(2, 2, requires_grad=True)
    yield torch.ones(3, device="meta")
    yield torch.eye(3).to_sparse()


PRINTING = """
import runpy
variants = runpy.run_path({path!r})["variants"]
from gradiometer.launching.streams import fingerprint_of
print([fingerprint_of([tensor]) for tensor in variants()])
"""


def test_gives_one_fingerprint_in_every_process():
    ours = [fingerprint_of([tensor]) for tensor in variants()]
    assert len(set(ours)) == len(ours)
    command = [sys.executable, "-c", PRINTING.format(path=__file__)]
    theirs = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert theirs == f"{ours}\n"


def test_tells_batches_apart_by_content_order_shape_and_type():
    x, y = torch.arange(6.0), torch.ones(2)
    assert fingerprint_of([x, y]) == fingerprint_of([x.clone(), y.clone()])
    others = [
        [y, x],
        [x],
        [],
        [x.reshape(2, 3), y],
        [x.double(), y],
        [x + torch.eye(6)[3] * 1e-6, y],
        [torch.cat([x, y])],
    ]
    prints = {fingerprint_of(batch) for batch in ([x, y], *others)}
    assert len(prints) == 8


def test_sees_every_element_of_a_small_batch_and_a_shuffle_of_a_large_one():
    small = torch.zeros(16 * 1024)
    before = fingerprint_of([small])
    for index in (0, 4097, 16 * 1024 - 1):
        changed = small.clone()
        changed[index] = 1
        assert fingerprint_of([changed]) != before
    large = torch.rand(128, 784)
    assert fingerprint_of([large]) != fingerprint_of([large.flip(0)])


def test_draws_no_random_number_for_a_fingerprint():
    state = torch.get_rng_state()
    fingerprint_of([torch.ones(200, 200)])
    assert torch.equal(torch.get_rng_state(), state)


def test_takes_a_fingerprint_of_a_batch_in_little_time():
    batch = [torch.rand(128, 784), torch.zeros(128, dtype=torch.long)]
    seconds = min(repeat(lambda: fingerprint_of(batch), number=100, repeat=5)) / 100
    assert seconds < 200e-6  # about 30 µs on the machine that it was written on, with room for a busy one
