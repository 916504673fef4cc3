"""A model whose parts are on several devices is measured like any other and left as it is."""

import pytest
import torch
from torch import Tensor, nn

from zoo.cases import Case
from zoo.comparing import budget_error_db, changed, compare_gains, falsely_covered, train, wrong_levels


class OnTwoDevices(nn.Module):
    """The first half on the CPU, the second on a GPU, logits back on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16))
        self.far = nn.Sequential(nn.Linear(16, 16), nn.ReLU(inplace=True), nn.Linear(16, 10)).to("cuda")

    def forward(self, x: Tensor) -> Tensor:
        return self.far(self.near(x).to("cuda")).cpu()


@pytest.mark.gpu
def test_measures_a_model_on_several_devices_and_leaves_it_alone() -> None:
    assert torch.cuda.is_available()
    case = Case(OnTwoDevices, trunk=6, gains=5)
    assert changed(case, 1.0) == []
    assert changed(case, 0.01) == []
    run = train(case, 1.0)[1]
    assert run is not None
    assert budget_error_db(run, case) < 1e-3
    assert wrong_levels(case) == {}
    assert falsely_covered(case) == set()
    count, wrong = compare_gains(case)
    assert wrong == {}
    assert count >= case.gains
