"""The probe measures what autograd says and leaves no trace; `zoo` shows that it changes nothing."""

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gradiometer
from measuring.networks import Data, ResNet, data_of, loss_of, mlp, seeded, train


def oracle_gains(model: nn.Sequential, data: Data) -> dict[str, float]:
    """Each layer's own gain from vector-Jacobian products of the layer alone, taken one by one."""
    outputs: list[Tensor] = []
    value = data.inputs[0]
    inputs: list[Tensor] = []
    for layer in model:
        inputs.append(value)
        value = layer(value)
        value.retain_grad()
        outputs.append(value)
    F.cross_entropy(value, data.targets[0]).backward()
    gains = {}
    for index, layer in enumerate(model):
        if index == 0:
            continue
        alone = inputs[index].detach().clone().requires_grad_()
        (contribution,) = torch.autograd.grad(layer(alone), alone, outputs[index].grad)
        gains[str(index)] = float(contribution.norm() / outputs[index].grad.norm())
    model.zero_grad()
    return gains


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.ReLU, nn.Tanh, nn.GELU, lambda: nn.ReLU(inplace=True)])
def test_measures_each_layers_own_gain_as_autograd_gives_it(activation: type[nn.Module]) -> None:
    with seeded():
        model = mlp(5, activation).double()
    data = data_of(dtype=torch.float64)
    expected = (
        oracle_gains(copy.deepcopy(model) if activation in (nn.Sigmoid, nn.Tanh) else model, data)
        if not getattr(model[1], "inplace", False)
        else oracle_gains(mlp_twin(model), data)
    )
    run = run_of_one_step(model, data)
    for name, gain in expected.items():
        measured = run.layer_columns["gain_db"][0, run.layer_index(name)]
        assert 10 ** (measured / 20) == pytest.approx(gain, rel=1e-5), name


def mlp_twin(model: nn.Sequential) -> nn.Sequential:
    """The same network with ReLU out of place, which the oracle can take apart."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return twin


def run_of_one_step(model: nn.Module, data: Data) -> gradiometer.Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        optimizer.zero_grad()
        loss_of(model, data.inputs[0], data.targets[0]).backward()
        optimizer.step()
    return watching.run


@settings(max_examples=15, deadline=None)
@given(
    depth=st.integers(1, 6),
    activation=st.sampled_from([nn.Sigmoid, nn.ReLU, nn.Tanh, nn.SiLU, nn.PReLU, nn.Identity]),
    scale=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_gains_along_the_trunk_add_up(depth: int, activation: type[nn.Module], scale: float) -> None:
    with seeded():
        model = mlp(depth, activation)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    assert_budget_closes(run_of_one_step(model, data_of()))


def assert_budget_closes(run: gradiometer.Run) -> None:
    trunk = run.trunk(0)
    levels = run.layer_columns["level_db"][0, trunk]
    gains = run.layer_columns["gain_db"][0, trunk]
    assert len(trunk) >= 1
    if torch.isfinite(torch.tensor(levels)).all():
        assert gains[:-1].sum() == pytest.approx(levels[-1] - levels[0], abs=1e-3)


def test_names_the_trunk_of_a_residual_network_with_its_blocks() -> None:
    with seeded():
        model = ResNet()
    run = run_of_one_step(model, data_of(1, 4, 4))
    names = [run.layers[index].name for index in run.trunk(0)]
    assert names == [
        "head", "before head", "blocks.1.relu#2", "blocks.1", "blocks.0.relu#2", "blocks.0", "tanh", "stem",
    ]  # fmt: skip


def test_keeps_nothing_on_modules_amid_a_full_step() -> None:
    with seeded():
        model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = data_of()
    with gradiometer.watch(model, optimizer, overhead=1.0):
        loss = loss_of(model, data.inputs[0], data.targets[0])
        twin = pickle.loads(pickle.dumps(model))
        copied = copy.deepcopy(model)
        buffer = io.BytesIO()
        torch.save(model, buffer)
        loss.backward()
        optimizer.step()
    for module in (*model.modules(), *twin.modules(), *copied.modules()):
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks


def test_attaching_a_thousand_times_leaves_no_hook() -> None:
    from torch.nn.modules import module as torch_module
    from torch.optim import optimizer as torch_optimizer

    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    backward = torch.autograd.backward
    watching = gradiometer.watch(model, optimizer)
    for _ in range(1000):
        watching.session.probe.attach()
        watching.session.probe.detach()
    watching.stop()
    assert torch.autograd.backward is backward
    assert not torch_module._global_forward_hooks
    assert not torch_module._global_forward_pre_hooks
    assert not torch_optimizer._global_optimizer_pre_hooks
    assert not torch_optimizer._global_optimizer_post_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_measures_the_update_that_was_really_made() -> None:
    with seeded():
        model = nn.Linear(100, 100)
        inputs = torch.randn(8, 100)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model.weight.detach().clone()
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        model(inputs).square().mean().backward()
        raw = model.weight.grad.norm().item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        clipped = model.weight.grad.norm().item()
        optimizer.step()
    run = watching.run
    index = [parameter.name for parameter in run.parameters].index("weight")
    column = {name: values[0, index] for name, values in run.parameter_columns.items()}
    true_ratio = float((model.weight.detach() - before).norm() / before.norm())
    # 4 096 of 10 000 elements are read: 1.1 % of standard error, four of them allowed.
    assert column["update_ratio"] == pytest.approx(true_ratio, rel=0.045)
    assert column["gradient_rms"] == pytest.approx(raw / 100, rel=1e-5)
    assert column["clipped_gradient_rms"] == pytest.approx(clipped / 100, rel=1e-5)
    assert column["learning_rate"] == 0.1


@pytest.mark.parametrize("by_keyword", [True, False])
def test_measures_what_a_closure_clips_amid_the_step(by_keyword: bool) -> None:
    with seeded():
        model = nn.Linear(20, 20)
        inputs = torch.randn(8, 20)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    norms: list[tuple[float, float]] = []

    def closure() -> Tensor:
        loss = model(inputs).square().mean()
        optimizer.zero_grad()
        loss.backward()
        raw = float(model.weight.grad.norm())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        norms.append((raw, float(model.weight.grad.norm())))
        return loss

    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(2):
            optimizer.step(closure=closure) if by_keyword else optimizer.step(closure)
    columns = watching.run.parameter_columns
    index = [parameter.name for parameter in watching.run.parameters].index("weight")
    for step, (raw, clipped) in enumerate(norms):
        assert columns["gradient_rms"][step, index] == pytest.approx(raw / 20, rel=1e-5)
        assert columns["clipped_gradient_rms"][step, index] == pytest.approx(clipped / 20, rel=1e-5)


@pytest.mark.slow
def test_measures_the_first_step_of_a_script_whose_forward_runs_amid_the_step(tmp_path: Path) -> None:
    script = tmp_path / "closure.py"
    script.write_text(
        """
import torch
torch.manual_seed(0)
model = torch.nn.Linear(20, 20)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(8, 20)
before = model.weight.detach().clone()
def closure():
    optimizer.zero_grad()
    loss = model(inputs).square().mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    return loss
optimizer.step(closure)
print(float((model.weight.detach() - before).norm() / before.norm()), float(model.weight.grad.norm()))
"""
    )
    file = tmp_path / "run.db"
    command = [sys.executable, "-m", "gradiometer", "run", "--file", str(file), str(script)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    ratio, clipped = (float(word) for word in told.split()[:2])
    columns = gradiometer.open(file).parameter_columns
    assert columns["update_ratio"][0, 0] == pytest.approx(ratio, rel=1e-4)
    assert columns["clipped_gradient_rms"][0, 0] == pytest.approx(clipped / 20, rel=1e-5)


def test_counts_accumulated_backward_passes_as_one_step() -> None:
    with seeded():
        model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = data_of()
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            for batch in range(4):
                (loss_of(model, data.inputs[batch], data.targets[batch]) / 4).backward()
            expected = model[0].weight.grad.norm().item() / 16
            optimizer.step()
    run = watching.run
    assert run.step_count == 3
    assert run.parameter_columns["gradient_rms"][-1, 0] == pytest.approx(expected, rel=1e-5)
    assert_budget_closes(run)


def test_follows_updates_written_by_hand() -> None:
    with seeded():
        model = mlp()
    data = data_of()
    with gradiometer.watch(model, None, overhead=1.0) as watching:
        for step in range(5):
            model.zero_grad()
            loss_of(model, data.inputs[step % 4], data.targets[step % 4]).backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
    run = watching.run
    assert run.step_count == 5
    assert run.parameter_columns["update_ratio"][2, 0] > 0.0


def test_a_fault_of_its_own_detaches_and_training_goes_on() -> None:
    with seeded():
        model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = data_of()
    watching = gradiometer.watch(model, optimizer, overhead=1.0)
    watching.session.probe.full_step.memory.windows["1"] = None  # type: ignore[assignment]
    with watching:
        train(model, optimizer, data, steps=3)
    run = watching.run
    assert [event.kind for event in run.events] == ["fault"]
    assert "Traceback" in run.events[0].text
    assert not watching.session.probe.is_attached


def test_sees_where_a_nan_begins() -> None:
    class Logarithm(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(x - x.detach())

    with seeded():
        model = nn.Sequential(nn.Linear(16, 16), Logarithm(), nn.Linear(16, 10))
    run = run_of_one_step(model, data_of())
    counts = run.layer_columns["output_nonfinite_count"][0]
    assert counts.tolist() == [0.0, 128.0, 80.0]
    assert run.losses[0].nonfinite_counts.tolist() == [1]
