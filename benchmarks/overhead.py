"""What watching costs: watched against bare training steps, interleaved in one process.

Blocks of steps run in the order bare, watched, bare, watched ...; the ratio is taken between neighbours, so that a
machine that slows down slows both. A second bare model is timed the same way: what it differs from the first by
(the A/A control) is what this machine can't tell apart. Timing starts when the advance is repaid.

    python benchmarks/overhead.py [--overhead 0.01] [--blocks 20] [--threads 1] [--only mlp]
"""

import argparse
import platform
from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

import numpy as np
import torch
from torch import Tensor, nn

from gradiometer.session import Watch, watch


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


def mlp() -> nn.Module:
    sizes = [784] + [256] * 20
    layers = [part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(256, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        *conv(3, 32), *conv(32, 32), nn.MaxPool2d(2), *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def resnet() -> nn.Module:
    return nn.Sequential(
        *conv(3, 32), *(Residual(32) for _ in range(4)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )


WORKLOADS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "mlp": (mlp, (128, 1, 28, 28), 60),
    "cnn": (cnn, (32, 3, 32, 32), 12),
    "resnet": (resnet, (32, 3, 16, 16), 25),
}
"""Model, shape of a batch, steps in a block."""


class Training:
    """One model with its optimizer and batch."""

    def __init__(self, make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        self.model = make()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        self.inputs, self.targets = torch.randn(shape), torch.randint(0, 10, shape[:1])

    def run(self, steps: int) -> tuple[float, float]:
        """Wall and processor seconds of some steps."""
        wall, processor = perf_counter(), process_time()
        for _ in range(steps):
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(self.inputs), self.targets).backward()
            self.optimizer.step()
        return perf_counter() - wall, process_time() - processor


def repay(training: Training, watching: Watch, most_steps: int) -> None:
    """Train watched until the advance is repaid."""
    probe = watching.session.probe
    probe.attach()
    while watching.session.budget.repaid_step is None and probe.step < most_steps:
        training.run(10)
    probe.detach()


def bootstrap(ratios: list[float]) -> tuple[float, float]:
    """95 % interval of the median, by resampling pairs."""
    draws = np.random.default_rng(0).choice(np.array(ratios), (2000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return float(low), float(high)


def measure(name: str, allowed: float, blocks: int) -> None:
    make, shape, steps = WORKLOADS[name]
    bare, twin, watched = (Training(make, shape) for _ in range(3))
    watching = watch(watched.model, watched.optimizer, overhead=allowed)
    for training in (bare, twin):
        training.run(5)
    repay(watched, watching, 20_000)
    budget, probe = watching.session.budget, watching.session.probe
    fulls_before = probe.full_count
    walls: list[float] = []
    processors: list[float] = []
    controls: list[float] = []
    for _ in range(blocks):
        before, before_cpu = bare.run(steps)
        probe.attach()
        middle, middle_cpu = watched.run(steps)
        probe.detach()
        after, after_cpu = bare.run(steps)
        control, _ = twin.run(steps)
        walls.append(2 * middle / (before + after))
        processors.append(2 * middle_cpu / (before_cpu + after_cpu))
        controls.append(2 * control / (before + after))
    low, high = bootstrap(walls)
    print(
        f"{name:8} {median(walls):.4f} [{low:.4f}, {high:.4f}]  mean {np.mean(walls):.4f}  "
        f"processor {median(processors):.4f}  A/A {median(controls):.4f}  "
        f"own account {budget.share:.4f} of {allowed}  repaid at step {budget.repaid_step}  "
        f"{probe.full_count - fulls_before} full of {blocks * steps} steps"
    )
    watching.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--overhead", type=float, default=0.01, help="share that measuring may take")
    parser.add_argument("--blocks", type=int, default=20, help="pairs of blocks")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--only", choices=list(WORKLOADS), help="one workload instead of all")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {arguments.threads} thread(s)")
    print("workload ratio watched/bare, median [95 % interval]")
    for name in [arguments.only] if arguments.only else WORKLOADS:
        measure(name, arguments.overhead, arguments.blocks)


if __name__ == "__main__":
    main()
