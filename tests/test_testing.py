import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gradiometer.errors import SettingsError
from gradiometer.testing import assert_healthy

DEEP_SIGMOID = "10 sigmoid layers"


def chain(activation: type[nn.Module], depth: int = 6, width: int = 32) -> nn.Sequential:
    """Ten classes from 16 numbers, weights drawn for the activation."""
    torch.manual_seed(0)
    widths = [16, *[width] * depth]
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), activation()]
    model = nn.Sequential(*layers, nn.Linear(width, 10))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if activation is nn.ReLU else "linear")
    return model


def batches(count: int = 4) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(32, 16, generator=generator), torch.randint(0, 10, (32,), generator=generator))
        for _ in range(count)
    ]


def convolutional() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 36, 10),
    )  # fmt: skip


def images() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.rand(16, 1, 8, 8, generator=generator), torch.randint(0, 10, (16,), generator=generator))]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_accepts_networks_that_keep_their_gradient(activation):
    assert assert_healthy(chain(activation), F.cross_entropy, batches()).verdict == "healthy"


def test_accepts_a_convolutional_network():
    assert assert_healthy(convolutional(), F.cross_entropy, images()).verdict == "healthy"


def test_accepts_the_users_own_optimizer():
    model = chain(nn.ReLU)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    assert assert_healthy(model, F.cross_entropy, batches(), optimizer).verdict == "healthy"
    assert optimizer.state == {}


def test_refuses_ten_sigmoid_layers_and_says_where_and_why():
    with pytest.raises(AssertionError, match=r"critical: vanishing") as raised:
        assert_healthy(chain(nn.Sigmoid, depth=10), F.cross_entropy, batches())
    text = str(raised.value)
    assert "a sigmoid passes on at most 0.25 of a gradient" in text
    assert "try: " in text


def test_refuses_weights_that_let_the_gradient_explode():
    model = chain(nn.Tanh, depth=12)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=20.0 / layer.in_features**0.5)
    with pytest.raises(AssertionError, match=r"(saturated|exploding)"):
        assert_healthy(model, F.cross_entropy, batches())


def test_refuses_a_network_that_gives_nan():
    class Undefined(nn.Module):
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            return torch.log(points - 100.0)

    with pytest.raises(AssertionError, match="non_finite"):
        assert_healthy(nn.Sequential(nn.Linear(16, 10), Undefined()), F.cross_entropy, batches())


def test_accepts_what_is_allowed():
    model = chain(nn.Sigmoid, depth=10)
    diagnosis = assert_healthy(model, F.cross_entropy, batches(), allow=("vanishing", "stuck", "saturated"))
    assert diagnosis.verdict != "healthy"


def test_leaves_model_and_random_state_as_they_were():
    model = convolutional()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    assert_healthy(model, F.cross_entropy, images())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_refuses_to_judge_without_a_batch():
    with pytest.raises(SettingsError, match="at least one batch"):
        assert_healthy(chain(nn.ReLU), F.cross_entropy, [])


def test_refuses_a_severity_that_is_none():
    with pytest.raises(SettingsError, match="no severity"):
        assert_healthy(chain(nn.ReLU), F.cross_entropy, batches(), fail_on="bad")


def test_is_a_fixture_of_pytest_that_loads_no_torch_of_its_own(tmp_path: Path):
    (tmp_path / "test_users.py").write_text(
        "import sys\n"
        "def test_nothing_is_loaded():\n    assert 'torch' not in sys.modules\n"
        "def test_net(assert_healthy):\n"
        "    import torch\n    torch.manual_seed(0)\n"
        "    net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))\n"
        "    batch = torch.randn(32, 4), torch.randint(0, 2, (32,))\n"
        "    assert_healthy(net, torch.nn.functional.cross_entropy, [batch])\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    finished = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "2 passed" in finished.stdout
