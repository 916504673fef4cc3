"""gradiometer, where it notes what a model is called with ..."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

import gradiometer
from gradiometer.measuring.batch_watch import (
    MOST_CALLS,
    MOST_WAITING_BYTES,
    MOST_WAITING_STEPS,
    BatchWatch,
    StepBatch,
)
from gradiometer.measuring.guarding import Guard
from gradiometer.measuring.training_thread import TrainingThread


def raise_fault(text: str) -> None:
    raise AssertionError(text)


def watching(*modules: nn.Module) -> BatchWatch:
    watch = BatchWatch(Guard(raise_fault), TrainingThread())
    watch.is_wanted = True
    watch.start()
    for number, module in enumerate(modules):
        watch.watch(module, str(number))
    return watch


def noted(watch: BatchWatch, step: int, call) -> StepBatch | None:
    """What is noted of a step in which this is done."""
    watch.samples_every_step = True
    watch.start_step(step, is_open=True, is_full=False)
    call()
    return watch.take(step)


class TakesMany(nn.Module):
    def forward(self, first: Tensor, more: dict[str, Tensor], *, mask: Tensor) -> Tensor:
        return (first + more["second"]) * mask


def test_notes_every_tensor_by_its_place() -> None:
    model = TakesMany()
    watch = watching(model)
    first, second, mask = torch.randn(2), torch.randn(2), torch.ones(2)
    batch = noted(watch, 3, lambda: model(first, {"second": second}, mask=mask))
    watch.stop()
    assert batch is not None
    assert batch.step == 3
    tensors = batch.calls[0].tensors()
    assert [*tensors] == ["0", "1.second", "2.mask"]
    assert all(kept is given for kept, given in zip(tensors.values(), (first, second, mask), strict=True))


def test_leaves_nothing_on_a_module_and_puts_its_class_back() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    before = dict(vars(model))
    watch = watching(model)
    noted(watch, 0, lambda: model(torch.ones(1, 2)))
    assert vars(model) == before
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(copy.deepcopy(model)(torch.ones(1, 2)), again(torch.ones(1, 2)))
    assert "__call__" in vars(nn.Sequential)
    watch.stop()
    assert "__call__" not in vars(nn.Sequential)


def test_puts_a_class_back_in_whatever_order_trainings_end() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    first, second = watching(model), watching(model)
    first.stop()
    assert noted(second, 0, lambda: model(torch.ones(1, 2))) is not None
    second.stop()
    assert "__call__" not in vars(nn.Sequential)


def test_leaves_the_class_alone_where_a_training_never_begins_or_has_ended() -> None:
    class Root(nn.Linear):
        pass

    model = Root(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watching = gradiometer.watch(model, optimizer)
    assert "__call__" not in vars(Root)
    watching.start()
    assert "__call__" in vars(Root)
    watching.session.probe.guard.fail(RuntimeError("a fault of ours"))
    assert "__call__" not in vars(Root)
    watching.session.probe.watch_root(Root(2, 2), "another")
    watching.stop()
    assert "__call__" not in vars(Root)


def test_notes_calls_again_after_it_was_stopped() -> None:
    model = nn.Linear(2, 2)
    watch = watching(model)
    watch.stop()
    assert noted(watch, 0, lambda: model(torch.ones(1, 2))) is None
    watch.start()
    assert noted(watch, 1, lambda: model(torch.ones(1, 2))) is not None
    watch.stop()


def test_stays_out_of_what_cloudpickle_writes_of_a_scripts_own_class() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")

    class Root(nn.Linear):
        pass

    model = Root(2, 2)
    watch = watching(model)
    written = cloudpickle.dumps(model)
    watch.stop()
    assert b"BatchWatch" not in written
    assert torch.equal(pickle.loads(written)(torch.ones(1, 2)), model(torch.ones(1, 2)))


def test_leaves_a_class_with_a_call_of_its_own_as_it_was() -> None:
    class Called(nn.Linear):
        def __call__(self, inputs: Tensor) -> Tensor:
            return 2 * super().__call__(inputs)

    own = vars(Called)["__call__"]
    model = Called(2, 2)
    expected = model(torch.ones(1, 2))
    watch = watching(model)
    batch = noted(watch, 0, lambda: torch.testing.assert_close(model(torch.ones(1, 2)), expected, rtol=0, atol=0))
    watch.stop()
    assert batch is not None
    assert vars(Called)["__call__"] is own


def test_notes_only_what_trains() -> None:
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    watch = watching(model)

    def call() -> None:
        other(torch.ones(1, 2))
        with torch.no_grad():
            model(torch.ones(1, 2))

    assert noted(watch, 0, call) is None
    watch.stop()


def test_keeps_a_bounded_number_of_calls() -> None:
    model = nn.Linear(2, 2)
    watch = watching(model)
    batch = noted(watch, 0, lambda: [model(torch.ones(1, 2)) for _ in range(3 * MOST_CALLS)])
    watch.stop()
    assert batch is not None
    assert len(batch.calls) == MOST_CALLS


def test_says_where_a_batch_was_overwritten() -> None:
    model = nn.Linear(2, 2)
    watch = watching(model)
    inputs = torch.ones(1, 2)
    batch = noted(watch, 0, lambda: model(inputs))
    assert batch is not None
    assert not batch.calls[0].is_overwritten
    inputs.zero_()
    assert batch.calls[0].is_overwritten
    watch.stop()


@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.randn(64, 300),
        lambda: torch.randn(8, 3, 16, 16).to(memory_format=torch.channels_last),
        lambda: torch.randn(64, 300)[:, 3:200:2],
        lambda: torch.randint(0, 9, (5, 7)),
        lambda: torch.randn(3, 4, dtype=torch.bfloat16),
        lambda: torch.zeros(0, 3),
    ],
    ids=["plain", "channels last", "with gaps", "numbers", "bfloat16", "empty"],
)
def test_tells_batches_apart_by_a_digest(made) -> None:
    model = nn.Identity()
    watch = watching(model)
    inputs = made()
    found = []
    for step, tensor in enumerate((inputs, copy.deepcopy(inputs), made())):
        batch = noted(watch, step, lambda given=tensor: model(given))
        assert batch is not None
        found.append(batch.fingerprint)
    watch.stop()
    assert found[0] == found[1]
    assert found[0] is not None
    assert (found[0] != found[2]) == (inputs.numel() > 0)


def test_lets_go_of_a_batch_with_its_step() -> None:
    model = nn.Linear(2, 2)
    watch = watching(model)
    batch = noted(watch, 4, lambda: model(torch.ones(1, 2)))
    assert batch is not None
    assert watch.take(4) is None
    watch.stop()


def test_keeps_the_batches_of_steps_whose_losses_come_late_in_whatever_order() -> None:
    model = nn.Linear(2, 2)
    watch = watching(model)
    inputs = [torch.full((1, 2), float(step)) for step in range(3)]
    for step, given in enumerate(inputs):
        watch.start_step(step, is_open=True, is_full=False)
        model(given)
    watch.start_step(3, is_open=False, is_full=False)
    watch.stop()
    for step in (2, 0, 1):
        batch = watch.take(step)
        assert batch is not None
        assert batch.calls[0].args[0] is inputs[step]
        assert watch.take(step) is None


def test_bounds_what_waits_for_a_loss() -> None:
    model = nn.Identity()
    watch = watching(model)
    many, large = MOST_WAITING_STEPS + 5, torch.zeros(MOST_WAITING_BYTES // 4)
    for step in range(many):
        watch.start_step(step, is_open=True, is_full=False)
        model(torch.ones(1))
    watch.start_step(many, is_open=True, is_full=False)
    assert [watch.take(step) is None for step in range(many)] == [True] * 5 + [False] * MOST_WAITING_STEPS
    for step in range(many, many + 2):
        model(large)
        watch.start_step(step + 1, is_open=True, is_full=False)
    watch.stop()
    assert watch.take(many) is None
    assert watch.take(many + 1) is not None


@pytest.mark.filterwarnings("ignore:.torch.jit.trace")  # its category changed with torch 2.15
def test_stays_out_of_a_traced_graph() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    watch = watching(model)
    found = []
    batch = noted(watch, 0, lambda: found.append(torch.jit.trace(model, torch.ones(1, 2))))
    watch.stop()
    assert batch is None
    assert torch.equal(found[0](torch.ones(1, 2)), model(torch.ones(1, 2)))
