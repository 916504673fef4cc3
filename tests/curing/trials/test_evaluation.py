"""The watch on evaluations, in this process, beside a script's own book-keeping."""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from gradiometer.curing.trials.evaluation import LOSS_FUNCTIONS, MOST_EVALUATIONS, Evaluations, EvaluationWatch

NO_GRADIENT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


class Training:
    """A model whose calls a watch is told of, and how many steps it has taken."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.inputs, self.targets = torch.randn(12, 4), torch.randint(3, (12,))
        self.step_count = 0

    @contextmanager
    def watched(self) -> Iterator[EvaluationWatch]:
        watch = EvaluationWatch(lambda: self.step_count)
        handle = self.model.register_forward_pre_hook(lambda module, args: watch.note_forward(module))
        watch.start()
        try:
            yield watch
        finally:
            watch.stop()
            handle.remove()

    def loss(self) -> Tensor:
        return self.criterion(self.model(self.inputs), self.targets)  # type: ignore[no-any-return]

    def train(self, steps: int = 1) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad()
            self.loss().backward()
            self.optimizer.step()
            self.step_count += 1

    def evaluate(self, parts: int = 3) -> list[float]:
        """Losses of parts of different size, so that a mean over examples is not the mean over calls."""
        self.model.eval()
        with torch.no_grad():
            losses = [self.criterion(self.model(x), y).item() for x, y in self.batches(parts)]
        self.model.train()
        return losses

    def batches(self, parts: int) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.inputs.split(5)[:parts], self.targets.split(5)[:parts], strict=True))


def noted(watch: EvaluationWatch) -> list[list[tuple[int, float]]]:
    return list(watch.facts()["losses"].values())


def test_notes_the_mean_of_every_evaluation_and_no_loss_of_the_training() -> None:
    training, own = Training(), []
    with training.watched() as watch:
        for _ in range(3):
            training.train(4)
            losses = training.evaluate()
            own.append((training.step_count, sum(losses) / len(losses)))

    assert [step for step, _ in own] == [4, 8, 12]
    assert noted(watch) == [own]
    assert watch.forward_count == 9


@pytest.mark.parametrize("name", NO_GRADIENT)
def test_notes_losses_with_gradients_off_though_the_model_stays_in_training_mode(name: str) -> None:
    training = Training()
    with training.watched() as watch:
        training.train()
        with NO_GRADIENT[name]():
            expected = training.loss().item()

    assert noted(watch) == [[(1, expected)]]


def test_notes_losses_of_evaluation_mode_with_gradients_on_when_no_backward_follows() -> None:
    training = Training()
    with training.watched() as watch:
        training.train()
        training.model.eval()
        expected = [training.loss().item(), F.cross_entropy(training.model(training.inputs), training.targets).item()]
        training.model.train()
        training.train()

    assert [rows[0] for rows in noted(watch)] == [(1, loss) for loss in expected]


def test_takes_a_training_in_evaluation_mode_for_a_training() -> None:
    training = Training()
    training.model.eval()  # as where the statistics of a trained network are kept
    with training.watched() as watch:
        training.train(5)
        torch.autograd.grad(training.loss(), list(training.model.parameters()))

    assert noted(watch) == []


def test_takes_a_loss_that_is_only_printed_for_no_evaluation() -> None:
    training = Training()
    with training.watched() as watch:
        output = training.model(training.inputs)
        with torch.no_grad():
            training.criterion(output, training.targets)
        training.criterion(output, training.targets).backward()

    assert noted(watch) == []


def test_leaves_weights_and_random_numbers_as_they_are() -> None:
    def run(*, is_watched: bool) -> tuple[list[Tensor], Tensor]:
        training = Training()
        if is_watched:
            with training.watched() as watch:
                for _ in range(4):
                    training.train(3)
                    training.evaluate()
            assert noted(watch)
        else:
            for _ in range(4):
                training.train(3)
                training.evaluate()
        return list(training.model.parameters()), torch.get_rng_state()

    (bare, bare_state), (watched, watched_state) = run(is_watched=False), run(is_watched=True)
    assert all(torch.equal(first, second) for first, second in zip(bare, watched, strict=True))
    assert torch.equal(bare_state, watched_state)


def test_puts_every_function_back() -> None:
    before = {name: getattr(F, name, None) for name in LOSS_FUNCTIONS}
    with Training().watched():
        assert all(getattr(F, name, None) is not known for name, known in before.items() if known is not None)
    assert {name: getattr(F, name, None) for name in LOSS_FUNCTIONS} == before


def test_knows_two_calls_on_one_line_apart() -> None:
    training = Training()
    with training.watched() as watch:
        training.train()
        few, many = training.evaluate(1), training.evaluate(3)

    assert noted(watch) == [[(1, few[0])], [(1, sum(many) / 3)]]
    first, second = watch.facts()["losses"]
    assert second == f"{first} #2"


def test_notes_a_call_once_though_a_function_mode_makes_it_again() -> None:
    class Passing(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    training = Training()
    with training.watched() as watch:
        training.model.eval()
        with torch.no_grad(), Passing():
            training.loss()
    (evaluations,) = watch._sites.values()
    assert list(evaluations.sums.values())[0][1] == 1.0


def test_notes_a_loss_that_is_not_finite_as_infinite_and_passes_over_what_is_no_single_number() -> None:
    training = Training()
    with training.watched() as watch, torch.no_grad():
        output = training.model(training.inputs)
        F.cross_entropy(output, training.targets, reduction="none")
        F.cross_entropy(output * math.nan, training.targets)

    assert noted(watch) == [[(0, math.inf)]]


def test_is_looked_through_by_what_compiles_scripts_or_transforms_a_loss() -> None:
    training = Training()
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    expected = F.cross_entropy(x, y)

    def score(x: Tensor) -> Tensor:
        return F.cross_entropy(x, y)

    with training.watched() as watch, torch.no_grad():
        training.model(training.inputs)
        assert torch.allclose(torch.func.vmap(score, in_dims=0)(x.expand(2, 4, 3)), expected)
        with warnings.catch_warnings():
            # That `torch.jit.script` is on its way out no version said before 2.9, and 2.15 says in another category.
            warnings.filterwarnings("ignore", message=".*torch.jit.script")
            scripted = torch.jit.script(nn.CrossEntropyLoss())
        assert torch.equal(scripted(x, y), expected)
        assert noted(watch) == []
        assert torch.equal(torch.compile(score, backend="eager", fullgraph=True)(x), expected)

    assert watch.fault == ""


@given(st.integers(1, 5 * MOST_EVALUATIONS))
def test_keeps_the_first_evaluation_the_last_and_every_so_many_between(count: int) -> None:
    kept = Evaluations()
    for step in range(count):
        kept.add(step, float(step))
        kept.add(step, float(step) + 1.0)
    steps = [step for step, _ in kept.rows()]

    assert len(steps) <= MOST_EVALUATIONS + 1
    assert steps == sorted({*range(0, count, kept.stride), count - 1})
    assert all(mean == step + 0.5 for step, mean in kept.rows())
