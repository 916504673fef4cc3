"""The trainings that costs are measured on, small layers to recurrent ones, and how two of them are compared.

W1 a 20-layer MLP (small layers, the hard case), W2 a CNN with batch norm, W3 a 6-layer GPT-style transformer, W4 an
LSTM over 100 steps; on demand also W5, a smaller CNN, and W6, a ResNet, both with in-place ReLU. Each instrumented
training has a model, an optimizer and a batch of its own, drawn from one seed.
"""

import argparse
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
    """W1: twenty hidden layers of 256 units."""
    sizes = [784] + [256] * 20
    layers = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, 10))


def convolution(channels_in: int, channels_out: int, *, is_inplace: bool) -> list[nn.Module]:
    """A convolution that keeps the size, batch norm, ReLU."""
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(is_inplace),
    ]


def convolutions(channels: Sequence[int], *, is_inplace: bool) -> list[nn.Module]:
    """Convolutions from one count of channels to the next, every second one followed by pooling."""
    parts: list[nn.Module] = []
    for number, (before, after) in enumerate(zip(channels, channels[1:], strict=False)):
        parts += convolution(before, after, is_inplace=is_inplace)
        if number % 2:
            parts.append(nn.MaxPool2d(2))
    return parts


def cnn() -> nn.Module:
    """W2: six convolutions."""
    parts = convolutions([3, 32, 32, 64, 64, 128, 128], is_inplace=False)
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(128 * 4 * 4, 10))


def small_cnn() -> nn.Module:
    """W5: four convolutions."""
    parts = convolutions([3, 32, 32, 64, 64], is_inplace=True)
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Residual(nn.Module):
    """Two convolutions beside a skip connection.

    Args:
        channels: Channels of all of it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (convolution(channels, channels, is_inplace=True) for _ in range(2))
        self.body = nn.Sequential(*first, *second[:2])

    def forward(self, x: Tensor) -> Tensor:
        """Apply both and add what came in."""
        return torch.relu(x + self.body(x))


def resnet() -> nn.Module:
    """W6: four residual blocks."""
    parts = [*convolution(3, 32, is_inplace=True), *(Residual(32) for _ in range(4))]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


class Attention(nn.Module):
    """Causal self-attention.

    Args:
        width: Features of a token.
        heads: Heads that they are shared among.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.into, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to what came before."""
        batch, time, width = x.shape
        parts = self.into(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out(seen.transpose(1, 2).reshape(batch, time, width))


class Block(nn.Module):
    """One pre-norm transformer block.

    Args:
        width: Features of a token.
        heads: Heads of its attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.inner = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then the inner network, each beside a skip connection."""
        x = x + self.attention(self.first_norm(x))
        return x + self.inner(self.second_norm(x))


class LanguageModel(nn.Module):
    """A GPT-style language model; its logits are flattened over batch and time.

    Args:
        layers: Blocks.
        width: Features of a token.
        heads: Heads of each attention.
        context: Tokens of an example at most.
        vocabulary: Different tokens.
    """

    def __init__(
        self, layers: int = 6, width: int = 256, heads: int = 4, context: int = 128, vocabulary: int = 1000
    ) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next token, [batch * time, vocabulary]."""
        hidden = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        return self.head(self.norm(self.blocks(hidden))).flatten(0, 1)


class LastStep(nn.Module):
    """An LSTM that answers after its last time step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.head = nn.LSTM(64, 256, batch_first=True), nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, [batch, class]."""
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
    """Adam at a low rate."""
    return torch.optim.Adam(model.parameters(), lr=1e-4)


def momentum(model: nn.Module) -> Optimizer:
    """SGD with momentum at a low rate."""
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)


def images(*shape: int) -> Batch:
    """Normal numbers in a shape, and classes of ten."""
    return torch.randn(shape), torch.randint(0, 10, shape[:1])


def text(batch: int = 16, context: int = 128, vocabulary: int = 1000) -> Batch:
    """Random tokens, and the next one of each."""
    tokens = torch.randint(0, vocabulary, (batch, context + 1))
    return tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()


WORKLOADS: Mapping[str, Workload] = {
    "W1": Workload("20-layer MLP", mlp, lambda: images(128, 1, 28, 28), adam, 20),
    "W2": Workload("CNN with batch norm", cnn, lambda: images(64, 3, 32, 32), momentum, 3),
    "W3": Workload("6-layer GPT-style transformer", LanguageModel, text, adam, 1),
    "W4": Workload("LSTM over 100 steps", LastStep, lambda: images(64, 100, 64), adam, 3),
    "W5": Workload("small CNN, in-place ReLU", small_cnn, lambda: images(32, 3, 32, 32), adam, 5),
    "W6": Workload("ResNet, in-place ReLU", resnet, lambda: images(32, 3, 16, 16), adam, 5),
}
"""By the names that the results use."""

STANDARD = ("W1", "W2", "W3", "W4")
"""Those measured where none are named."""


def add_only(parser: argparse.ArgumentParser) -> None:
    """Give a program the option `--only`, which names workloads."""
    parser.add_argument(
        "--only", nargs="+", type=str.upper, choices=list(WORKLOADS), default=STANDARD, help="workloads; W1 to W4"
    )


class Training:
    """One model with its optimizer and batch.

    Args:
        workload: What is trained.
        device: Where.
    """

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
