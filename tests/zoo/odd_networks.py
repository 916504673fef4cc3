"""Networks without attention, each with one thing that measuring might stumble over."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint


class Dense(nn.Module):
    """Convolutions that each read all before them."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(2 + 4 * k) for k in range(3)])
        self.layers = nn.ModuleList([nn.Conv2d(2 + 4 * k, 4, 3, padding=1) for k in range(3)])
        self.head = nn.Linear(14, 10)

    def forward(self, x: Tensor) -> Tensor:
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(F.relu(norm(x), inplace=True))], 1)
        return self.head(x.mean((2, 3)))


class Views(nn.Module):
    """Outputs of layers are seen through views and written to afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(16, 16) for _ in range(3))
        self.relu, self.flat, self.head = nn.ReLU(inplace=True), nn.Flatten(0), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y[:, :4] = 0.5
        y.mul_(1.5)
        z = self.second(y)
        z.view(-1, 4, 4)[:, 0].add_(1.0)
        z += x
        z = self.relu(z).view(-1, 2, 8).transpose(1, 2).reshape(-1, 16)
        w = self.flat(self.third(z)).view(-1, 16)
        w.clamp_(-2.0, 2.0)
        return self.head(w)


class Hidden(NamedTuple):
    """A hidden state and its square."""

    state: Tensor
    square: Tensor


@dataclass
class Answer:
    """What a model says."""

    logits: Tensor
    hidden: Hidden | None = None


class ReturnsNamedTuple(nn.Module):
    """Returns a named tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Hidden:
        y = torch.tanh(self.layer(x))
        return Hidden(y, y.square())


class ReturnsDict(nn.Module):
    """Takes a named tuple, returns a dictionary with more than tensors in it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)

    def forward(self, hidden: Hidden) -> dict[str, Any]:
        return {"size": 16, "body": [torch.tanh(self.layer(hidden.state + hidden.square))], "hidden": hidden}


class Returning(nn.Module):
    """Parts hand each other named tuples and dictionaries; the whole returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = ReturnsNamedTuple(), ReturnsDict(), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Answer:
        found = self.second(self.first(x))
        return Answer(self.head(found["body"][0]), found["hidden"])


class TwoOutputs(nn.Module):
    """Returns two tensors that are both used."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 32)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left, right = self.layer(x).chunk(2, -1)
        return torch.tanh(left), torch.sigmoid(right)


class Gated(nn.Module):
    """Uses both outputs of a part; returns a tuple itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = TwoOutputs(), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        value, gate = self.body(x)
        return self.head(value * gate), None


class Forwarded(nn.Module):
    """Calls `.forward()` of layers, which no hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10)
        self.act, self.body = nn.Tanh(), nn.Sequential(nn.Linear(16, 16), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.act.forward(self.first.forward(x)))
        return self.head(self.body.forward(x))


class Checkpointed(nn.Module):
    """Parts of the forward are done again in the backward."""

    def __init__(self, *, use_reentrant: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(16, 16), nn.Linear(16, 10)
        self.parts = nn.ModuleList(
            [nn.Sequential(nn.Linear(16, 16), nn.Dropout(dropout), nn.Tanh(), nn.Linear(16, 16)) for _ in range(2)]
        )
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for part in self.parts:

            def run(y: Tensor, part: nn.Module = part) -> Tensor:
                return torch.sigmoid(part(y))

            x = x + (checkpoint(run, x, use_reentrant=self.use_reentrant) if x.requires_grad else run(x))
        return self.head(x)


class Complex(nn.Module):
    """Complex weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mixing, self.head = nn.Linear(16, 16, dtype=torch.complex64), nn.Linear(32, 10)
        self.phase = nn.Parameter(torch.randn(16, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        y = self.mixing(x.to(torch.complex64)) * self.phase
        return self.head(torch.cat([y.real, y.imag], -1))


class Packed(nn.Module):
    """Recurrent layers over packed sequences.

    Args:
        kind: `nn.LSTM`, `nn.GRU` or `nn.RNN`.
        **options: Handed to it.
    """

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.body = kind(4, 8, batch_first=True, **options)  # type: ignore[call-arg]
        self.head = nn.Linear(8 * (2 if options.get("bidirectional") else 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.tensor([5, 4, 2, 1])
        packed, _ = self.body(pack_padded_sequence(x, lengths, batch_first=True))
        return self.head(pad_packed_sequence(packed, batch_first=True)[0].mean(1))


class Cells(nn.Module):
    """Cells called once for each time step."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper, self.head = nn.LSTMCell(4, 8), nn.GRUCell(8, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        hidden, cell = x.new_zeros(len(x), 8), x.new_zeros(len(x), 8)
        top = x.new_zeros(len(x), 8)
        for time in range(x.shape[1]):
            hidden, cell = self.lower(x[:, time], (hidden, cell))
            top = self.upper(hidden, top)
        return self.head(top)


class Doubling(torch.autograd.Function):
    """y = x², with a backward of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


class OwnFunction(nn.Module):
    """A leaf that is a function of the script's own."""

    def forward(self, x: Tensor) -> Tensor:
        return Doubling.apply(x)  # type: ignore[no-any-return, no-untyped-call]


class Sharing(nn.Module):
    """One part stands in two places of the tree and is called three times."""

    def __init__(self) -> None:
        super().__init__()
        part = nn.Sequential(nn.Linear(16, 16), nn.Tanh())
        self.left = nn.ModuleDict({"part": part, "own": nn.Linear(16, 16)})
        self.right = nn.ModuleDict({"part": part})
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.right["part"](self.left["own"](self.left["part"](x)))
        return self.head(self.left["part"](x))


class Lists(nn.Module):
    """Parameters in lists and dictionaries, used by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(0.25 * torch.randn(16, 16)) for _ in range(3)])
        self.parts = nn.ModuleDict({"norm": nn.LayerNorm(16), "head": nn.Linear(16, 10)})
        self.scales = nn.ParameterDict({"in": torch.ones(16), "out": torch.ones(16)})

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.scales["in"]
        for weight in self.weights:
            x = torch.tanh(F.linear(x, weight))
        return self.parts["head"](self.parts["norm"](x) * self.scales["out"])


class Equilibrium(nn.Module):
    """Iterates to a fixed point without gradients, then takes one step with them."""

    def __init__(self) -> None:
        super().__init__()
        self.inject, self.body, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10)
        self.probe = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        z, injected = torch.zeros_like(x), self.inject(x)
        with torch.no_grad():
            for _ in range(5):
                z = torch.tanh(self.body(z) + injected)
            self.probe(z)
        return self.head(torch.tanh(self.body(z) + injected))


class Branching(nn.Module):
    """A layer that is skipped at random, one that is never called, and one whose output is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 10)
        self.spare, self.listener = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        self.listener(x)
        if torch.rand(()) < 0.5:
            x = x + torch.tanh(self.second(x))
        return self.head(x)


class Mapped(nn.Module):
    """A part is mapped over a second axis by `torch.func.vmap`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.part, self.head = nn.Linear(16, 16), nn.Linear(8, 8), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        halves = self.first(x).unflatten(-1, (2, 8))
        return self.head(torch.func.vmap(lambda half: torch.tanh(self.part(half)), 1, 1)(halves).flatten(1))


class Judging(nn.Module):
    """Computes its loss itself, from two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.left, self.right = nn.Linear(16, 16), nn.Linear(16, 10), nn.Linear(16, 1)

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        x = F.silu(self.body(x))
        return F.cross_entropy(self.left(x), targets) + 0.1 * self.right(x).square().mean()


class Adversaries(nn.Module):
    """Holds a generator and a discriminator; never called itself."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Linear(16, 16))
        self.discriminator = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
