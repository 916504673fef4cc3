"""What the trainers' tests train: a small network, on numbers that are drawn once."""

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

FEATURES, CLASSES, BATCH, EXAMPLES = 8, 3, 8, 64


def small_network() -> nn.Sequential:
    """Three layers; the same weights each time."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Dropout(0.1), nn.Linear(16, CLASSES))


def examples() -> tuple[Tensor, Tensor]:
    """Inputs and classes; the same each time."""
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(EXAMPLES, FEATURES, generator=generator)
    return inputs, torch.randint(0, CLASSES, (EXAMPLES,), generator=generator)


def batches() -> DataLoader[tuple[Tensor, ...]]:
    """The examples in their order."""
    return DataLoader(TensorDataset(*examples()), batch_size=BATCH)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models' weights are equal bit for bit; NaN equals nothing."""
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
