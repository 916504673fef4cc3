"""What four numbers of every parameter's gradient cost: against one `torch._foreach_norm` pass over the same gradients.

Sum of squares, greatest magnitude, zeros and non-finite elements together (`reduce_tensors`) may take three times as
long. Both are called in turn, so that a machine that slows down slows both; the ratio is of neighbours. Gradients are
those of a real step of each workload, and normal numbers, some of them zero, in one tensor of 10^8 elements.

    python benchmarks/reductions.py [--threads 1] [--rounds 200] [--elements 100000000] [--device cpu]
"""

import argparse
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor
from workloads import STANDARD, WORKLOADS, Training, interval, print_machine

from gradiometer.measuring.reductions import reduce_tensors

CLOCKS: dict[str, Callable[[], float]] = {"wall": perf_counter, "processor": process_time}


def gradients_of(name: str, device: str) -> list[Tensor]:
    """Gradients of a workload's first step."""
    training = Training(WORKLOADS[name], device)
    training.backward()
    return [parameter.grad for parameter in training.model.parameters() if parameter.grad is not None]


def one_large(elements: int, zero_share: float, device: str) -> list[Tensor]:
    """Normal numbers in one tensor, some of them zero."""
    torch.manual_seed(0)
    tensor = torch.randn(elements, device=device)
    tensor[: int(zero_share * elements)] = 0.0
    return [tensor]


def measure(name: str, tensors: Sequence[Tensor], rounds: int, clock: Callable[[], float]) -> None:
    """Time both in turn and print a line."""
    is_cuda = tensors[0].is_cuda

    def seconds(run: Callable[[], object]) -> float:
        start = clock()
        run()
        if is_cuda:
            torch.cuda.synchronize()
        return clock() - start

    norms, tables = [], []
    for _ in range(3):
        seconds(lambda: torch._foreach_norm(tensors))
        seconds(lambda: reduce_tensors(tensors))
    for _ in range(rounds):
        norms.append(seconds(lambda: torch._foreach_norm(tensors)))
        tables.append(seconds(lambda: reduce_tensors(tensors)))
    ratios = [table / norm for table, norm in zip(tables, norms, strict=True)]
    count = sum(tensor.numel() for tensor in tensors)
    print(
        f"{name:24} {len(tensors):5} tensors {count:12,} elements  norm {1e3 * median(norms):9.3f} ms  "
        f"four numbers {1e3 * median(tables):9.3f} ms  ratio {interval(ratios)}"
    )


def main() -> None:
    """Measure every workload and one large tensor by both clocks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--rounds", type=int, default=200, help="calls of each; a twentieth for the largest tensor")
    parser.add_argument("--elements", type=int, default=10**8, help="elements of the largest tensor")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_machine()
    for clock, read in CLOCKS.items():
        print(f"{clock} time, median of the ratio [95 % interval]; at most 3 is wanted")
        for name in STANDARD:
            measure(
                f"{name} {WORKLOADS[name].title}"[:24], gradients_of(name, arguments.device), arguments.rounds, read
            )
        for share in (0.0, 0.3):
            tensors = one_large(arguments.elements, share, arguments.device)
            measure(f"one tensor, {share:.0%} zero", tensors, max(arguments.rounds // 20, 3), read)


if __name__ == "__main__":
    main()
