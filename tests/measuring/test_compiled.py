"""Compiled models are not opened, and train as they do without gradiometer."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gradiometer
from gradiometer.measuring.compiled import CompileWatch, has_compiled_twin, is_compiled
from gradiometer.recording.reader import read_run

SCRIPT = """
import hashlib, torch
import torch._dynamo.utils as dynamo
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
{compile}
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
x, y = torch.randn(8, 6), torch.randint(0, 3, (8,))
for _ in range(12):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(called(x), y).backward()
    optimizer.step()
weights = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
print(hashlib.sha256(weights).hexdigest(), dict(dynamo.counters["stats"]), dict(dynamo.counters["graph_break"]))
"""

WAYS = {
    "function": 'called = torch.compile(model, backend="aot_eager")',
    "method": 'model.compile(backend="aot_eager"); called = model',
    "block": 'model[0] = torch.compile(model[0], backend="aot_eager"); called = model',
}


@pytest.mark.parametrize(
    "way", ["function", pytest.param("method", marks=pytest.mark.slow), pytest.param("block", marks=pytest.mark.slow)]
)
def test_leaves_a_compiled_script_alone_and_measures_its_parameters(way: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT.replace("{compile}", WAYS[way]))
    bare = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    command = [sys.executable, "-m", "gradiometer", "run", "--quiet", "--file", "run.db", "train.py"]
    watched = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert watched.returncode == 0, watched.stderr
    # Equal weights, and as many graphs as without: nothing was compiled anew.
    assert watched.stdout == bare.stdout
    assert "Warning" not in watched.stderr
    run = read_run(tmp_path / "run.db")
    assert run.step_count == 12
    assert sorted(parameter.name for parameter in run.parameters) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert (run.parameter_columns["update_ratio"][-1] > 0.0).all()
    assert "compiled" in run.coverage.line


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
