"""The four trainings that costs are measured on, small layers to recurrent ones, and how two of them are compared.

W1 a 20-layer MLP (small layers, the hard case), W2 a CNN with batch norm, W3 a 6-layer GPT-style transformer, W4 an
LSTM over 100 steps. Each instrumented training has a model, an optimizer and a batch of its own, drawn from one seed.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]


def mlp() -> nn.Module:
    sizes = [784] + [256] * 20
    layers = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, 10))


def cnn() -> nn.Module:
    channels = [3, 32, 32, 64, 64, 128, 128]
    parts: list[nn.Module] = []
    for number, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
        parts += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        if number % 2:
            parts.append(nn.MaxPool2d(2))
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(128 * 4 * 4, 10))


class Attention(nn.Module):
    """Causal self-attention with four heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        parts = self.into(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out(seen.transpose(1, 2).reshape(batch, time, width))


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.first_norm(x))
        return x + self.inner(self.second_norm(x))


class LanguageModel(nn.Module):
    """A GPT-style language model; its logits are flattened over batch and time."""

    def __init__(
        self, layers: int = 6, width: int = 256, heads: int = 4, context: int = 128, vocabulary: int = 1000
    ) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        return self.head(self.norm(self.blocks(hidden))).flatten(0, 1)


class LastStep(nn.Module):
    """An LSTM that answers after its last time step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(64, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        outputs, _ = self.recurrent(x)
        return self.head(outputs[:, -1])


@dataclass(frozen=True)
class Workload:
    """One training.

    Attributes:
        title: What it is.
        model: Makes its model.
        batch: Makes its one batch.
        optimizer: Makes its optimizer.
        block_steps: Steps that are timed together.
    """

    title: str
    model: Callable[[], nn.Module]
    batch: Callable[[], Batch]
    optimizer: Callable[[nn.Module], Optimizer]
    block_steps: int


def adam(model: nn.Module) -> Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-4)


def momentum(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)


def images(*shape: int) -> Batch:
    return torch.randn(shape), torch.randint(0, 10, shape[:1])


def text(batch: int = 16, context: int = 128, vocabulary: int = 1000) -> Batch:
    tokens = torch.randint(0, vocabulary, (batch, context + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()


WORKLOADS: Mapping[str, Workload] = {
    "W1": Workload("20-layer MLP", mlp, lambda: images(128, 1, 28, 28), adam, 20),
    "W2": Workload("CNN with batch norm", cnn, lambda: images(64, 3, 32, 32), momentum, 3),
    "W3": Workload("6-layer GPT-style transformer", LanguageModel, text, adam, 1),
    "W4": Workload("LSTM over 100 steps", LastStep, lambda: images(64, 100, 64), adam, 3),
}
"""By the names that the results use."""


class Training:
    """One model with its optimizer and batch."""

    def __init__(self, workload: Workload, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.model = workload.model().to(device)
        inputs, targets = workload.batch()
        self.inputs, self.targets = inputs.to(device), targets.to(device)
        self.optimizer = workload.optimizer(self.model)
        self.loss = torch.zeros(())

    def backward(self) -> None:
        """Everything of a step up to its gradients."""
        self.optimizer.zero_grad()
        self.loss = F.cross_entropy(self.model(self.inputs), self.targets)
        self.loss.backward()

    def step(self) -> None:
        """One whole step."""
        self.backward()
        self.optimizer.step()


@dataclass(frozen=True)
class Ratio:
    """One variant against the bare training beside it, seconds per step.

    Attributes:
        wall: Ratios of wall time, one for each block.
        processor: The same of the process's processor time, which waiting for the processor leaves alone.
    """

    wall: Sequence[float]
    processor: Sequence[float]

    def __str__(self) -> str:
        """Median and 95 % interval of both."""
        return f"wall {interval(self.wall)}  processor {interval(self.processor)}"


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Variant:
    """An instrumented training.

    Attributes:
        step: One step.
        enter: Called before a block of steps, outside of its time.
        leave: Called after it.
        steps: Steps of a block; None for as many as the bare training takes.
    """

    step: Callable[[], None]
    enter: Callable[[], object] = nothing
    leave: Callable[[], object] = nothing
    steps: int | None = None


def interval(ratios: Sequence[float]) -> str:
    """Median and its 95 % interval, by resampling blocks."""
    draws = np.random.default_rng(0).choice(np.array(ratios), (2000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return f"{median(ratios):7.3f} [{low:.3f}, {high:.3f}]"


def timed(variant: Variant, steps: int) -> tuple[float, float]:
    """Wall and processor seconds of one step, over a block of them."""
    count = variant.steps or steps
    variant.enter()
    wall, processor = perf_counter(), process_time()
    for _ in range(count):
        variant.step()
    seconds = (perf_counter() - wall) / count, (process_time() - processor) / count
    variant.leave()
    return seconds


def compare(bare: Variant, variants: Mapping[str, Variant], *, blocks: int, steps: int) -> dict[str, Ratio]:
    """Time variants of a step against the bare step, interleaved: bare, two variants, bare, two more ...

    A machine that slows down slows neighbours alike; the variants' order is drawn anew for every round.

    Args:
        bare: The bare training.
        variants: The instrumented ones.
        blocks: Blocks of each.
        steps: Steps of a block.

    Returns:
        By variant its ratios to the bare blocks before and after it.
    """
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in variants}
    order = np.random.default_rng(0)
    before = timed(bare, steps)
    for _ in range(blocks):
        names = [str(name) for name in order.permutation(list(variants))]
        for pair in (names[start : start + 2] for start in range(0, len(names), 2)):
            seconds = {name: timed(variants[name], steps) for name in pair}
            after = timed(bare, steps)
            for name, (wall, processor) in seconds.items():
                found[name][0].append(2 * wall / (before[0] + after[0]))
                found[name][1].append(2 * processor / (before[1] + after[1]))
            before = after
    return {name: Ratio(*ratios) for name, ratios in found.items()}


def print_machine() -> None:
    """Say what the figures were taken on."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {platform.platform()}, {cpu_name()}")


def cpu_name() -> str:
    """The processor, as Linux names it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")
    except OSError:
        return platform.processor() or platform.machine()
