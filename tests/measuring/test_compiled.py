"""Compiled models train as they do without gradiometer, and are opened on request; no graph is compiled for it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import gradiometer
from gradiometer.measuring.compiled import CompileWatch, EagerStance, has_compiled_twin, is_compiled
from gradiometer.recording.reader import read_run

SCRIPT = """
import hashlib, torch
import torch._dynamo.utils as dynamo
torch.manual_seed(0)


class Block(torch.nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.linear = torch.nn.Linear(inputs, 8)

    def forward(self, points):
        return torch.tanh(self.linear(points))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = Block(6), Block(8), torch.nn.Linear(8, 3)

    def forward(self, points):
        return self.head(self.second(self.first(points)))


def step(points, labels):
    optimizer.zero_grad()
    loss_of(points, labels).backward()
    optimizer.step()


def loss_of(points, labels):
    return torch.nn.functional.cross_entropy(model(points), labels)


model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
{compile}
for number in range(20):
    size = 8 - number % 3 if {is_dynamic} else 8
    step(x[:size], y[:size])
weights = b"".join(tensor.numpy().tobytes() for tensor in Net.state_dict(model).values())
print(hashlib.sha256(weights).hexdigest(), dict(dynamo.counters["stats"]))
"""

WAYS = {
    "whole": 'model = torch.compile(model, backend="eager", fullgraph=True)',
    "dynamic": 'model = torch.compile(model, backend="eager")',
    "traced": 'model = torch.compile(model, backend="aot_eager")',
    "method": 'model.compile(backend="eager")',
    "block": 'model.first = torch.compile(model.first, backend="eager")',
    "block_method": 'model.second.compile(backend="eager")',
    "function": 'loss_of = torch.compile(loss_of, backend="eager", fullgraph=True)',
    "step": 'step = torch.compile(step, backend="eager")',
    "optimizer": 'optimizer.step = torch.compile(optimizer.step, backend="eager")',
}
"""Ways to compile a model or what calls it; all with backends that need no compiler of C++."""


def script_of(way: str) -> str:
    return SCRIPT.replace("{compile}", WAYS[way]).replace("{is_dynamic}", str(way == "dynamic"))


def run_script(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    answer = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert answer.returncode == 0, answer.stderr
    return answer


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=pytest.mark.slow) for way in WAYS],
)
def test_leaves_a_compiled_script_alone_and_opens_it_on_request(way: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(script_of(way))
    bare = run_script(tmp_path, "train.py").stdout
    watched = run_script(tmp_path, "-m", "gradiometer", "run", "--quiet", "--file", "run.db", "train.py")
    # Equal weights, and as many graphs as without: nothing was compiled anew.
    assert watched.stdout == bare
    assert "UserWarning" not in watched.stderr
    run = read_run(tmp_path / "run.db")
    assert run.step_count == 20
    assert run.layers == ()
    assert sum(parameter.name.startswith("first.linear.") for parameter in run.parameters) == 2
    assert (run.parameter_columns["update_ratio"][-1] > 0.0).all()
    assert "parameters alone are measured" in run.coverage.line

    opened = run_script(tmp_path, "-m", "gradiometer", "run", "-q", "--open-compiled", "--file", "open.db", "train.py")
    # With these backends compiled and eager steps have the same bits, so that no other difference can hide.
    assert opened.stdout == bare
    assert "UserWarning" not in opened.stderr
    run = read_run(tmp_path / "open.db")
    assert {"first.linear", "first.tanh", "second.linear", "second.tanh", "head"} <= {
        layer.name for layer in run.layers
    }
    assert "full steps ran eagerly, last bits may differ" in run.coverage.line
    assert run.snapshot_steps[:5].tolist() == [0, 1, 2, 4, 8]
    assert np.isfinite(run.layer_columns["output_gradient_norm"][:5]).all()


@pytest.mark.slow
def test_opens_layers_where_the_settings_say_so(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.gradiometer]\nopen_compiled = true\n")
    (tmp_path / "train.py").write_text(script_of("whole"))
    run_script(tmp_path, "-m", "gradiometer", "check", "--steps", "3", "--file", "run.db", "train.py")
    assert "full steps ran eagerly" in read_run(tmp_path / "run.db").coverage.line


def test_opens_a_compiled_step_that_is_watched_and_compiles_nothing_anew() -> None:
    graphs = []

    def counting(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(backend=counting)
    def loss_of(points: torch.Tensor) -> torch.Tensor:
        return model(points).square().mean()

    with gradiometer.watch(model, optimizer, open_compiled=True) as watching:
        for _ in range(12):
            optimizer.zero_grad()
            loss_of(torch.randn(4, 6)).backward()
            optimizer.step()
    assert len(graphs) == 1
    assert [layer.name for layer in watching.run.layers] == ["0", "1", "2"]
    assert watching.run.snapshot_steps.tolist()[:5] == [0, 1, 2, 4, 8]
    # Nobody's stance is left behind: a new function is compiled again.
    torch.compile(lambda points: points + 1, backend=counting)(torch.ones(2))
    assert len(graphs) == 2


def test_leaves_no_trace_of_its_hooks_behind() -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    assert watching.run.snapshot_count == 1
    # What torch asks before it warns of hooks beside `torch.compile`; older ones have no function that does.
    hooks = {name: value for name, value in vars(torch.nn.modules.module).items() if name.startswith("_global_")}
    assert {"_global_forward_hooks", "_global_backward_hooks"} <= set(hooks)
    assert not any(hooks.values())


def test_keeps_everything_eager_while_anybody_holds_it_and_only_once_something_is_compiled() -> None:
    graphs = []
    stance = EagerStance()
    stance.hold("a")
    double = torch.compile(lambda points: points * 2, backend=lambda graph, _: graphs.append(graph) or graph.forward)
    double(torch.ones(2))
    assert len(graphs) == 1
    stance.need()
    stance.hold("b")
    stance.release("a")
    torch.compile(lambda points: points * 3, backend=lambda graph, _: graphs.append(graph) or graph.forward)(
        torch.ones(2)
    )
    assert len(graphs) == 1
    stance.release("b")
    torch.compile(lambda points: points * 4, backend=lambda graph, _: graphs.append(graph) or graph.forward)(
        torch.ones(2)
    )
    assert len(graphs) == 2


def test_does_not_open_a_model_whose_compiled_twin_is_trained() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    compiled = torch.compile(model, backend="eager")
    assert is_compiled(compiled)
    assert not is_compiled(model)
    assert has_compiled_twin(model)
    assert not has_compiled_twin(nn.Linear(2, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            compiled(torch.randn(4, 6)).square().mean().backward()
            optimizer.step()
    assert watching.run.layers == ()
    assert watching.run.snapshot_count == 3


def test_tells_of_the_first_compilation_once_and_puts_the_functions_back() -> None:
    told = []
    before = (torch.compile, nn.Module.compile)
    watch = CompileWatch(lambda: told.append(1))
    watch.start()
    torch.compile(nn.Linear(2, 2), backend="eager")
    nn.Linear(2, 2).compile(backend="eager")
    watch.stop()
    assert told == [1]
    assert (torch.compile, nn.Module.compile) == before
