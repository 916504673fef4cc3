"""What watching costs: watched against bare training steps, interleaved in one process.

Every round times, for each variant in shuffled order, a block of instrumented and a block of bare steps of the same
training, one right after the other and now one first, now the other; a variant's ratio is the one time over the other,
all rounds together. In the A/A control both are bare: by what it differs from 1 is what this machine can't tell apart,
and `relative` is the ratio divided by it, round by round.

The main figure is the processor time of the whole process with one torch thread, which does not count waiting for a
core that others use; wall time stands beside it. Intervals are 95 %, by resampling rounds.

    python benchmarks/overhead.py                          # 1 % of overhead on all workloads
    python benchmarks/overhead.py --overhead 0.001 --only w1 w3
    python benchmarks/overhead.py --every-step             # the core of a full measurement at every step

With an allowed share, timing starts when the advance is repaid.
"""

import argparse
import platform
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.session import Watch, watch

MOST_REPAYING_SECONDS = 120.0
"""Time given to repay the advance; what is not repaid by then is timed all the same, and said."""


def conv(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    ]


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv(channels, channels), *conv(channels, channels)[:2])

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class CausalBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_before, self.norm_between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.into_heads, self.out_of_heads = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.into_heads(self.norm_before(x)).chunk(3, -1)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out_of_heads(mixed.transpose(1, 2).flatten(2))
        return x + self.feed_forward(self.norm_between(x))


class Transformer(nn.Module):
    def __init__(self, depth: int, width: int, heads: int, context: int, words: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(words, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(CausalBlock(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(x))).flatten(0, 1)


class LongMemory(nn.Module):
    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.memory, self.head = nn.LSTM(features, width, batch_first=True), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(x)[0][:, -1])


def deep_mlp() -> nn.Module:
    sizes = [784] + [256] * 20
    layers = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, 10))


def cnn_with_norm() -> nn.Module:
    return nn.Sequential(
        *conv(3, 32), *conv(32, 32), nn.MaxPool2d(2), *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2),
        *conv(64, 128), *conv(128, 128), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128 * 16, 10),
    )  # fmt: skip


def small_cnn() -> nn.Module:
    return nn.Sequential(
        *conv(3, 32), *conv(32, 32), nn.MaxPool2d(2), *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def resnet() -> nn.Module:
    return nn.Sequential(
        *conv(3, 32), *(Residual(32) for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-4)


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)


@dataclass(frozen=True)
class Workload:
    """A training to be watched.

    Attributes:
        model: Makes the network.
        shape: Shape of a batch.
        optimizer: Makes the optimizer.
        words: Inputs and targets are this many words; 0 for real inputs and ten classes.
    """

    model: Callable[[], nn.Module]
    shape: tuple[int, ...]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] = adam
    words: int = 0


WORKLOADS: Mapping[str, Workload] = {
    "w1": Workload(deep_mlp, (128, 1, 28, 28)),
    "w2": Workload(cnn_with_norm, (64, 3, 32, 32), momentum),
    "w3": Workload(lambda: Transformer(6, 256, 4, 128, 1000), (16, 128), words=1000),
    "w4": Workload(lambda: LongMemory(64, 256), (64, 100, 64)),
    "cnn": Workload(small_cnn, (32, 3, 32, 32)),
    "resnet": Workload(resnet, (32, 3, 16, 16)),
}
"""W1 (also the MLP of the first benchmark) 20-layer MLP, W2 CNN with batch norm, W3 6-layer transformer, W4 LSTM over
100 steps, and two smaller networks."""


class Training:
    """One model with its optimizer and batch.

    Args:
        workload: What is trained.
    """

    def __init__(self, workload: Workload) -> None:
        torch.manual_seed(0)
        self.model = workload.model()
        self.optimizer = workload.optimizer(self.model)
        if workload.words:
            self.inputs = torch.randint(0, workload.words, workload.shape)
            self.targets = torch.randint(0, workload.words, workload.shape).flatten()
        else:
            self.inputs, self.targets = torch.randn(workload.shape), torch.randint(0, 10, workload.shape[:1])

    def run(self, steps: int) -> np.ndarray:
        """Processor and wall seconds of some steps."""
        processor, wall = process_time(), perf_counter()
        for _ in range(steps):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(self.inputs), self.targets).backward()
            self.optimizer.step()
        return np.array([process_time() - processor, perf_counter() - wall])


@dataclass
class Instrument:
    """What measures one training.

    Attributes:
        resume: Called before each block of steps.
        pause: Called after it: bare blocks must run without any of it.
        finish: Called at the end; says in words what was measured.
    """

    resume: Callable[[], None] = lambda: None
    pause: Callable[[], None] = lambda: None
    finish: Callable[[], str] = lambda: ""


def nothing(training: Training, overhead: float) -> Instrument:
    """The A/A control."""
    return Instrument()


def gradiometer_within_budget(training: Training, overhead: float) -> Instrument:
    """Everything that gradiometer measures by itself, within the allowed share."""
    return watched_by(watch(training.model, training.optimizer, overhead=overhead), training)


def gradiometer_core(training: Training, overhead: float) -> Instrument:
    """The core of a full measurement at every step."""
    return watched_by(watch(training.model, training.optimizer, overhead=1.0, dear=()), training)


def watched_by(watching: Watch, training: Training) -> Instrument:
    """Watch a training; one with an allowed share repays its advance first."""
    budget, probe = watching.session.budget, watching.session.probe
    probe.attach()
    started = perf_counter()
    while (
        budget.repaid_step is None and budget.allowed_share < 1.0 and perf_counter() < started + MOST_REPAYING_SECONDS
    ):
        training.run(4)
    if budget.allowed_share >= 1.0:
        training.run(3)
    probe.detach()
    steps_before, fulls_before = probe.step, probe.full_step.count

    def finish() -> str:
        step_count, run = probe.step - steps_before, watching.run
        loss_count = int(np.count_nonzero(run.losses[0].steps >= steps_before)) if run.losses else 0
        watching.stop()
        return (
            f"own account {budget.share:.4f} of {budget.allowed_share:g}, repaid at step {budget.repaid_step}; "
            f"{probe.full_step.count - fulls_before} full steps and {loss_count} losses of {step_count} steps"
        )

    return Instrument(probe.attach, probe.detach, finish)


Start = Callable[[Training, float], Instrument]

VARIANTS: Mapping[str, Start] = {
    "A/A": nothing,
    "gradiometer": gradiometer_within_budget,
    "gradiometer_core": gradiometer_core,
}
"""How a training may be instrumented; another one is a line here."""

WITHIN_BUDGET = ("A/A", "gradiometer")
EVERY_STEP = ("A/A", "gradiometer_core")


@dataclass
class Rounds:
    """Times of all rounds.

    Attributes:
        bare: Of the bare blocks beside a variant's own, [round, clock] for each variant.
        own: Of the variant's own blocks.
    """

    bare: dict[str, list[np.ndarray]] = field(default_factory=dict)
    own: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, name: str, own: np.ndarray, bare: np.ndarray) -> None:
        """Add one block with the bare one beside it."""
        self.own.setdefault(name, []).append(own)
        self.bare.setdefault(name, []).append(bare)

    def ratio(self, name: str, clock: int, chosen: np.ndarray | None = None) -> float:
        """Time over bare time, all rounds or some together."""
        rounds = np.arange(len(self.own[name])) if chosen is None else chosen
        own, bare = np.array(self.own[name])[rounds, clock], np.array(self.bare[name])[rounds, clock]
        return float(own.sum() / bare.sum())

    def interval(self, name: str, clock: int, relative_to: str | None = None) -> tuple[float, float]:
        """95 % interval of the ratio, or of its quotient with another variant's, by resampling rounds."""
        draws = np.random.default_rng(0).integers(0, len(self.own[name]), (2000, len(self.own[name])))
        found = [
            self.ratio(name, clock, draw) / (1.0 if relative_to is None else self.ratio(relative_to, clock, draw))
            for draw in draws
        ]
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)


def pair_of_blocks(
    training: Training, instrument: Instrument, steps: int, *, bare_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Times of an instrumented and of a bare block of the same training, one right after the other.

    It is the same network in the same memory: two copies of one differ by up to 3 % for good, as they happen to lie.
    """
    bare = training.run(steps) if bare_first else None
    instrument.resume()
    own = training.run(steps)
    instrument.pause()
    return own, training.run(steps) if bare is None else bare


def measure(name: str, variants: Sequence[str], overhead: float, rounds: int, block_seconds: float) -> None:
    """Time one workload under some variants and print a line for each."""
    workload = WORKLOADS[name]
    first = Training(workload)
    first.run(2)
    step_seconds = first.run(3)[0] / 3
    steps = max(2, round(block_seconds / step_seconds))
    print(f"{name}: bare step {1e3 * step_seconds:.2f} ms of processor time, {rounds} rounds of {steps} steps")
    trainings = {variant: Training(workload) for variant in variants}
    instruments: dict[str, Instrument] = {}
    for variant, training in trainings.items():
        training.run(2)
        instruments[variant] = VARIANTS[variant](training, overhead)
    times = Rounds()
    order = random.Random(0)
    for _ in range(rounds):
        for variant in order.sample(list(variants), len(variants)):
            times.add(
                variant,
                *pair_of_blocks(trainings[variant], instruments[variant], steps, bare_first=order.random() < 0.5),
            )
    for variant in variants:
        low, high = times.interval(variant, 0)
        relative = times.ratio(variant, 0) / times.ratio("A/A", 0)
        relative_low, relative_high = times.interval(variant, 0, relative_to="A/A")
        print(
            f"  {variant:18} {times.ratio(variant, 0):.4f} [{low:.4f}, {high:.4f}]  "
            f"relative {relative:.4f} [{relative_low:.4f}, {relative_high:.4f}]  wall {times.ratio(variant, 1):.4f}  "
            f"{instruments[variant].finish()}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--overhead", type=float, default=0.01, help="share that measuring may take")
    parser.add_argument("--every-step", action="store_true", help="the core of a full measurement at every step")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), help="these, beside the A/A control")
    parser.add_argument("--rounds", type=int, default=150, help="blocks of each variant")
    parser.add_argument("--block-seconds", type=float, default=0.1, help="length of a block, about")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), help="these workloads instead of all")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variants = arguments.variants or (EVERY_STEP if arguments.every_step else WITHIN_BUDGET)
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {arguments.threads} thread(s)")
    print("ratio of processor time to bare steps [95 % interval], relative to the A/A control, wall time")
    for name in arguments.only or WORKLOADS:
        measure(
            name, list(dict.fromkeys(["A/A", *variants])), arguments.overhead, arguments.rounds, arguments.block_seconds
        )


if __name__ == "__main__":
    main()
