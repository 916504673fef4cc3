"""Which indices a loader's batches were drawn with, told without changing anything of it."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from gradiometer.measuring.loaders import ITERATOR, KEPT_BATCHES, LoaderWatch


class Numbers(Dataset[Tensor]):
    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor([index, index + 0.5])


class Stream(IterableDataset[Tensor]):
    def __iter__(self):
        return (torch.tensor([float(index)]) for index in range(8))


def raise_fault(error: Exception) -> None:
    raise error


@pytest.fixture
def listening():
    watch = LoaderWatch(raise_fault)
    watch.start()
    watch.is_noting = True
    yield watch
    watch.stop()


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 1, "persistent_workers": True}])
def test_knows_every_batch_also_after_an_epoch_that_was_left_early(listening: LoaderWatch, options: dict) -> None:
    loader = DataLoader(Numbers(), batch_size=3, shuffle=True, **options)
    for last in (2, 6, 6):
        for number, batch in enumerate(loader):
            assert listening.find([torch.zeros(3), batch * 1.0]) == tuple(batch[:, 0].int().tolist())
            if number == last:
                break


def test_draws_the_same_batches_as_without_it(listening: LoaderWatch) -> None:
    drawn = []
    for is_listening in (True, False):
        if not is_listening:
            listening.stop()
        torch.manual_seed(4)
        drawn.append([batch.tolist() for batch in DataLoader(Numbers(), batch_size=4, shuffle=True)])
        drawn.append(torch.rand(1).tolist())
    assert drawn[:2] == drawn[2:]


def test_knows_nothing_of_batches_without_indices_or_from_elsewhere(listening: LoaderWatch) -> None:
    (batch, *_) = DataLoader(Stream(), batch_size=4)
    assert listening.find([batch]) is None
    (batch, *_) = DataLoader(Numbers(), batch_size=4)
    assert listening.find([torch.randn(4, 2)]) is None
    assert listening.find([]) is None


def test_knows_nothing_of_an_epoch_that_began_before_it_listened() -> None:
    iterator = iter(DataLoader(Numbers(), batch_size=2, num_workers=1))
    next(iterator)
    watch = LoaderWatch(raise_fault)
    watch.start()
    watch.is_noting = True
    assert watch.find([next(iterator)]) is None
    watch.stop()


def test_keeps_few_batches_and_none_where_nobody_asks(listening: LoaderWatch) -> None:
    loader = DataLoader(Numbers(), batch_size=2)
    batches = list(loader)
    assert [listening.find([batch]) is not None for batch in batches] == [False] * 6 + [True] * KEPT_BATCHES
    listening.forget()
    assert listening.find([next(iter(loader))]) is None


def test_puts_everything_back_and_leaves_what_others_have_wrapped_since() -> None:
    names = ("_reset", "_next_index", "__next__")
    before = {name: ITERATOR.__dict__[name] for name in names}
    watch = LoaderWatch(raise_fault)
    watch.start()
    ours = ITERATOR.__dict__["__next__"]
    assert ours is not before["__next__"]
    theirs = lambda iterator: ours(iterator)  # noqa: E731 - somebody else's wrapper
    type.__setattr__(ITERATOR, "__next__", theirs)
    watch.stop()
    assert ITERATOR.__dict__["__next__"] is theirs
    assert len(list(DataLoader(Numbers(), batch_size=5))) == 4
    type.__setattr__(ITERATOR, "__next__", before["__next__"])
    assert {name: ITERATOR.__dict__[name] for name in names} == before


@pytest.mark.parametrize("workers", [0, 2])
def test_tells_no_wrong_index_where_it_did_not_listen_for_a_while(listening: LoaderWatch, workers: int) -> None:
    batches = iter(DataLoader(Numbers(), batch_size=2, num_workers=workers))
    next(batches)
    listening.stop()
    next(batches)
    listening.start()
    listening.is_noting = True
    batch = next(batches)
    assert listening.find([batch]) == ((4, 5) if workers == 0 else None)


def test_listens_on_when_one_that_listened_before_it_stops() -> None:
    methods = ITERATOR._reset, ITERATOR._next_index, ITERATOR.__next__
    first, second = LoaderWatch(raise_fault), LoaderWatch(raise_fault)
    first.start()
    second.start()
    second.is_noting = True
    first.stop()
    batch = next(iter(DataLoader(Numbers(), batch_size=2)))
    assert second.find([batch]) == (0, 1)
    assert first.find_latest([batch]) is None
    second.stop()
    assert (ITERATOR._reset, ITERATOR._next_index, ITERATOR.__next__) == methods
