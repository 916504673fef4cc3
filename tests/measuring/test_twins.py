"""Units with equal weights against a comparison of all pairs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradiometer
from gradiometer.measuring.twins import EQUAL_TO, twin_share
from measuring.networks import seeded


def share_by_pairs(weight: Tensor) -> float:
    rows = weight.detach().double().flatten(1)
    distances = (rows[:, None] - rows[None]).norm(dim=2)
    sizes = rows.norm(dim=1)
    is_equal = distances <= EQUAL_TO * torch.maximum(sizes[:, None], sizes[None])
    return float((is_equal.sum(1) > 1).double().mean())


def drawn() -> Tensor:
    with seeded(2):
        return torch.randn(12, 3, 5)


def with_pair(change: float) -> Callable[[], Tensor]:
    def make() -> Tensor:
        weight = drawn()
        weight[7] = weight[2]
        weight[7, 1, 1] += change * float(weight[2].norm())
        return weight

    return make


CASES: dict[str, Callable[[], Tensor]] = {
    "drawn": drawn,
    "constant": lambda: torch.full((6, 4), 0.3),
    "zeros": lambda: torch.zeros(6, 4),
    "one pair": with_pair(0.0),
    "nearly a pair": with_pair(1e-6),
    "hardly a pair": with_pair(1e-4),
    "opposite": lambda: torch.tensor([[1.0, 2.0], [-1.0, -2.0]]),
    "reordered": lambda: torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [2.0, 3.0, 1.0]]),
    "wide identity": lambda: torch.eye(200, 3000)[:, torch.randperm(3000, generator=torch.Generator().manual_seed(1))],
    "half format": lambda: torch.full((6, 4), 0.3, dtype=torch.bfloat16),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_finds_the_units_that_equal_another(name: str) -> None:
    weight = CASES[name]()
    assert twin_share(weight) == pytest.approx(share_by_pairs(weight))


def test_judges_no_weight_that_has_no_units_to_compare() -> None:
    for weight in (torch.ones(4), torch.ones(1, 4), torch.ones(4, 0), torch.ones(4, 4, dtype=torch.long)):
        assert twin_share(weight) is None


def test_is_measured_in_step_0_and_in_turns_of_units_alone() -> None:
    with seeded(4):
        model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    nn.init.constant_(model[2].weight, 0.5)
    nn.init.zeros_(model[2].bias)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    with gradiometer.watch(model, optimizer, overhead=1.0, dear=("units", "histograms")) as watching:
        for _ in range(5):
            model(torch.ones(4, 5)).square().mean().backward()
            optimizer.step()
    run = watching.run
    shares = run.parameter_columns["twin_share"][:, [one.name for one in run.parameters].index("2.weight")]
    is_measured = [step == 0 or run.turns[step].measurement == "units" for step in range(5)]
    assert sum(is_measured) == 3
    assert shares.tolist() == pytest.approx([1.0 if known else float("nan") for known in is_measured], nan_ok=True)
