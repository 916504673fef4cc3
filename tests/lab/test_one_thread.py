import torch
from threadpoolctl import threadpool_info

from gradiometer.lab.one_thread import one_thread


def test_one_thread_is_given_back() -> None:
    torch.set_num_threads(2)
    before = sorted((pool["filepath"], pool["num_threads"]) for pool in threadpool_info())
    with one_thread():
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert sorted((pool["filepath"], pool["num_threads"]) for pool in threadpool_info()) == before
    torch.set_num_threads(1)
