"""Nothing of a full step waits for a device: trainings on one whose numbers can't be had.

A tensor on torch's `meta` device has a shape and no elements. Whatever would wait for a GPU there fails: `.item()`,
`.tolist()`, `.cpu()`, `bool()`, `nonzero`, indexing by a mask. What waits for the way to the device, which such a
tensor does not show, a dispatch mode watches for.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.measuring.parameters import joint_norm
from gradiometer.measuring.settling import Settling
from gradiometer.session import watch

META = torch.device("meta")

PACKING = frozenset(
    {"aten::_pack_padded_sequence", "aten::_pack_padded_sequence_backward", "aten::_pad_packed_sequence"}
)
"""The network's own operations that take lengths on the host."""

STEPS = 1 + len(DEAR_MEASUREMENTS)
"""One for each dear measurement, the first of all apart, in which nobody has a turn."""

READING = frozenset({"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero"})
"""Operations that give the host something to read."""


class WaitingError(Exception):
    """Something waited for the device."""


class NoWaiting(TorchDispatchMode):
    """Fails upon operations by which the host waits for a device, the copies to it included."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        is_on_host = [tensor.device.type == "cpu" and tensor.dim() > 0 for tensor in tensors]
        is_there = [tensor.device == META for tensor in tensors]
        name = func.overloadpacket._qualified_op_name
        if name in READING and any(is_there):
            raise WaitingError(f"{name} of a tensor on a device")
        if name == "aten::_to_copy":
            device = kwargs.get("device") or tensors[0].device
            is_waited_for = torch.device(device).type != tensors[0].device.type and not kwargs.get("non_blocking")
        elif name == "aten::copy_":
            is_blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            is_waited_for = any(is_on_host) and any(is_there) and is_blocking
        else:
            is_waited_for = any(is_on_host) and any(is_there) and name not in PACKING
        if is_waited_for:
            raise WaitingError(f"{name} between a device and the host")
        return func(*args, **kwargs)


class Sent:
    """Numbers that were sent to the host and have not arrived until they are waited for."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.count = sum(tensor.numel() for tensor in tensors)
        assert not any(tensor.requires_grad for tensor in tensors)

    @property
    def is_there(self) -> bool:
        return False

    def elements(self) -> NDArray[np.float64]:
        return np.ones(self.count)


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(inplace=True), nn.Dropout(), nn.Conv2d(8, 4, 3, groups=2)
        )
        self.head = nn.Linear(4 * 144, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.body(x)).flatten(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 6, padding_idx=0)
        self.packed = nn.LSTM(6, 5, num_layers=2, bidirectional=True)
        self.plain, self.cell = nn.GRU(10, 7), nn.LSTMCell(7, 4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.linspace(5, 1, len(x)).long()
        packed = pack_padded_sequence(self.words(x), lengths, batch_first=True)
        x, _ = pad_packed_sequence(self.packed(packed)[0], batch_first=True)
        x, state = self.plain(x.transpose(0, 1))[0], None
        for step in x:
            state = self.cell(step, state)
        return self.head(torch.tanh(state[0]))


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.block(self.words(x)))[:, 0])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(8, 3000), nn.ReLU(), nn.Linear(3000, 16), nn.Sigmoid(), nn.Linear(16, 5)),
        lambda: torch.empty((40, 8), device=META),
    ),
    "convolutional": (Convolutional, lambda: torch.empty((40, 3, 16, 16), device=META)),
    "recurrent": (Recurrent, lambda: torch.empty((40, 5), dtype=torch.long, device=META)),
    "attentive": (Attentive, lambda: torch.empty((40, 5), dtype=torch.long, device=META)),
}


@pytest.mark.parametrize(
    "network",
    [pytest.param(name, marks=pytest.mark.slow) if name == "recurrent" else name for name in sorted(NETWORKS)],
)
def test_gradiometer_waits_for_no_number_of_a_device(network: str) -> None:
    make_model, make_inputs = NETWORKS[network]
    model = make_model().to(META)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    inputs, targets = make_inputs(), torch.empty((40,), dtype=torch.long, device=META)
    watching = watch(model, optimizer, overhead=1.0)
    watching.session.probe.full_step.settling = Settling(Sent, lambda tensors: True)
    with watching:
        for _ in range(STEPS):
            with NoWaiting():
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(inputs), targets).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
    assert [event.text for event in watching.run.events if event.kind == "fault"] == []
    assert list(watching.run.snapshot_steps) == list(range(STEPS))
    expected = set(DEAR_MEASUREMENTS) - (set() if network == "recurrent" else {"through_time"})
    assert {turn.measurement for turn in watching.run.turns.values()} == expected


@pytest.mark.parametrize(
    "wait",
    [
        lambda there: there.sum().item(),
        lambda there: there.tolist(),
        lambda there: there.cpu(),
        lambda there: bool(there[0] > 0),
        lambda there: torch.nonzero(there),
        lambda there: there[torch.tensor([0, 2])],
        lambda there: there + torch.tensor([0.0, 2.0, 1.0]).to(META),
        lambda there: there.copy_(torch.ones(3)),
    ],
)
def test_gradiometer_could_not_wait_without_being_seen(wait: Callable[[Tensor], Any]) -> None:
    with pytest.raises(WaitingError), NoWaiting():
        wait(torch.ones(3, device=META))


def test_gradiometer_could_not_select_by_values_that_are_not_there_yet() -> None:
    there = torch.ones(3, device=META)
    with pytest.raises(NotImplementedError, match="nonzero"), NoWaiting():
        there[there > 0]


def test_joins_norms_of_the_host_and_of_a_device_without_waiting() -> None:
    with NoWaiting():
        joined = joint_norm([3.0, torch.ones((), device=META), 4.0])
    assert isinstance(joined, Tensor)
    assert joined.device == META
    assert float(joint_norm([3.0, torch.tensor(12.0), 4.0])) == pytest.approx(13.0)
    assert joint_norm([3.0, 4.0]) == pytest.approx(5.0)
