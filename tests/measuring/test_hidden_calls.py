"""Layers whose calls are done again in the backward are measured under their own names; fused ones stay fused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

import gradiometer
from gradiometer.measuring.functions import FunctionWatch
from gradiometer.measuring.hidden_calls import FusedCall, may_be_fused


class Twice(nn.Module):
    """One part in two checkpointed segments, and a segment within a segment."""

    def __init__(self, *, use_reentrant: bool) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.part = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.outer = Nested(use_reentrant=use_reentrant)
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for _ in range(2):
            x = checkpoint(self.part, x, use_reentrant=self.use_reentrant)
        return self.head(checkpoint(self.outer, x, use_reentrant=self.use_reentrant))


class Nested(nn.Module):
    """Holds a segment of its own."""

    def __init__(self, *, use_reentrant: bool) -> None:
        super().__init__()
        self.before, self.inner = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.Sigmoid())
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, F.relu(self.before(x)), use_reentrant=self.use_reentrant)


def levels_of(device: str, *, use_reentrant: bool) -> tuple[dict[str, float], dict[str, float], str]:
    """Gradient norms, gains and the coverage line of two steps."""
    torch.manual_seed(0)
    model = Twice(use_reentrant=use_reentrant).double().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(5, 6, dtype=torch.float64, device=device)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
    run = watching.run
    assert not watching.session.probe.guard.is_broken, run.events
    columns = {name: run.layer_columns[name][-1] for name in ("output_gradient_norm", "gain_db")}
    layers = [layer.name for layer in run.layers if layer.role != "block"]
    found = [{name: float(values[run.layer_index(name)]) for name in layers} for values in columns.values()]
    return found[0], found[1], run.coverage.line


def compare(device: str) -> None:
    """A reentrant checkpoint is measured as one that is not, whose graph is there before the backward."""
    levels, gains, line = levels_of(device, use_reentrant=True)
    expected_levels, expected_gains, expected_line = levels_of(device, use_reentrant=False)
    assert {"part.0", "part.0#2", "part.1#2", "outer.relu", "outer.inner.0"} <= levels.keys()
    assert levels == pytest.approx(expected_levels, rel=1e-9)
    assert gains == pytest.approx(expected_gains, abs=1e-9, nan_ok=True)
    assert line == expected_line == "8 of 8 layers seen"


# torch says so of a checkpoint within one, whose outer call is without gradients.
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_measures_what_a_reentrant_checkpoint_does_again_under_its_own_names() -> None:
    compare("cpu")


@pytest.mark.gpu
def test_measures_it_in_the_thread_of_autograd_on_a_gpu() -> None:
    compare("cuda")


def frozen_encoder() -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return layer.eval().requires_grad_(False)


def test_takes_only_frozen_modules_in_evaluation_for_fused() -> None:
    layer, inputs = frozen_encoder(), torch.ones(2, 3, 8)
    assert may_be_fused(layer, (inputs,))
    assert not may_be_fused(layer, (inputs.clone().requires_grad_(),))
    assert not may_be_fused(layer.requires_grad_(True), (inputs,))
    with torch.no_grad():
        assert may_be_fused(layer, (inputs,))
        assert not may_be_fused(layer.train(), (inputs,))
    assert not may_be_fused(nn.Linear(8, 8).eval().requires_grad_(False), (inputs,))


def test_leaves_its_mode_for_a_fused_module_and_enters_it_again() -> None:
    layer, inputs, fused = frozen_encoder(), torch.ones(2, 3, 8), FusedCall()
    seen: list[str] = []

    def observe(name: str, function: object, args: tuple[object, ...], kwargs: dict[str, object]) -> object:
        seen.append(name)
        return function(*args, **kwargs)  # type: ignore[operator]

    with FunctionWatch(observe) as watch:
        assert fused.leave_mode(layer, (inputs,), watch)
        torch.tanh(inputs)
        fused.end(layer)
        torch.relu(inputs)
    assert seen == ["relu"]


def test_stays_under_a_mode_of_the_scripts_own() -> None:
    class Own(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            return func(*args, **(kwargs or {}))

    with FunctionWatch(lambda name, function, args, kwargs: function(*args, **kwargs)) as watch, Own():
        assert not FusedCall().leave_mode(frozen_encoder(), (torch.ones(2, 3, 8),), watch)
