"""Residual branches found in autograd's graph: told from other additions, and where they end."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from curing.patients import first_batch
from gradiometer.curing import Patient
from gradiometer.curing.branches import branch_ends

BATCH = first_batch()
IMAGES = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(1))
WORDS = torch.tensor([[1, 2, 3], [4, 5, 0]])


class Block(nn.Module):
    def __init__(self, norm=None):
        super().__init__()
        self.inner, self.outer = nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm = nn.Identity() if norm is None else norm

    def forward(self, x):
        return x + self.norm(self.outer(torch.relu(self.inner(x))))


class Projected(nn.Module):
    """A skip with a layer of its own."""

    def __init__(self):
        super().__init__()
        self.short, self.first, self.second = nn.Conv2d(4, 8, 1), nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x), inplace=True)).add_(self.short(x)))


class Sum(nn.Module):
    """Two layers side by side: neither is a branch beside a skip."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.left(x) + self.right(x)


class Recurrence(nn.Module):
    """An addition in every step of a recurrence."""

    def __init__(self):
        super().__init__()
        self.enter, self.stay = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        state = torch.zeros(len(x), 6)
        for _ in range(3):
            state = torch.tanh(self.enter(x) + self.stay(state))
        return state


class Constants(nn.Module):
    """Additions of a parameter, of noise, and of a number made of a weight."""

    def __init__(self):
        super().__init__()
        self.layer, self.shift = nn.Linear(6, 6), nn.Parameter(torch.ones(6))

    def forward(self, x):
        return self.layer(x + self.shift) + torch.ones(6) + 0.0 * self.layer.weight.sum()


class Gated(nn.Module):
    """A branch that ends with the product of two layers."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return x + torch.sigmoid(self.left(x)) * self.right(x)


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(7, 8), nn.Parameter(torch.zeros(3, 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)

    def forward(self, words):
        return self.block(self.words(words) + self.places)


@pytest.mark.parametrize(
    ("model", "batch", "ends"),
    [
        (nn.Sequential(Block(), Block()), BATCH, {"0.outer", "1.outer"}),
        (nn.Sequential(Block(), Block(nn.LayerNorm(6))), BATCH, {"0.outer"}),
        (Block(nn.Dropout(0.5)), BATCH, {"outer"}),
        (Projected(), IMAGES, {"second"}),
        (Sum(), BATCH, set()),
        (Recurrence(), BATCH, set()),
        (Constants(), BATCH, set()),
        (Gated(), BATCH, set()),
        (Transformer(), WORDS, {"block.self_attn", "block.linear2"}),
    ],
)
def test_finds_the_layer_that_a_residual_branch_ends_with(model, batch, ends):
    layers = {
        place: module
        for place, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.MultiheadAttention)) and "out_proj" not in place
    }
    assert branch_ends(Patient(model, inputs=(batch,)), layers) == ends
    assert branch_ends(Patient(model), layers) == set()
    assert not any(module._forward_hooks for module in model.modules())


def test_leaves_the_script_its_input_and_random_numbers():
    batch, state = BATCH.clone(), torch.get_rng_state()

    class InPlace(Block):
        def forward(self, x):
            return super().forward(F.dropout(x.mul_(2.0), 0.5))

    model = InPlace()
    state = torch.get_rng_state()
    assert branch_ends(Patient(model, inputs=(batch,)), {"inner": model.inner, "outer": model.outer}) == {"outer"}
    assert torch.equal(batch, BATCH)
    assert torch.equal(torch.get_rng_state(), state)
