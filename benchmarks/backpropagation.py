"""How fast is backpropagation written out: beside a loop over single examples in numpy, and beside torch's autograd?

The three ways go through the same examples in turn, timed by the processor time of one thread each; times are medians
for an epoch of 50,000 examples of MNIST's shape, ratios medians of the rounds' own. The table is that of the page that
`gradiometer lab backpropagation` writes, for every batch size asked for. Ends with exit code 1 where a target is
missed.

    python benchmarks/backpropagation.py [--examples 5000] [--rounds 9] [--batch-sizes 1 10 100]
"""

import argparse
import sys
from statistics import median

from workloads import print_machine

from gradiometer.lab.experiments.backpropagation.speed import SIZES, WAYS, Timing, speed_rows, time_ways

TARGET_KINDS = {1: "online", 10: "batch"}
"""Batch size to the kind of descent that a target is set for."""


def print_timing(timing: Timing) -> None:
    """One line of the table."""
    seconds = "".join(f"{median(timing.seconds[way]):18.2f}" for way in WAYS)
    ratios = "".join(f"{median(timing.ratios(way)):10.1f}" for way in WAYS[1:])
    print(f"{timing.batch_size:6d}{seconds}{ratios}")


def main() -> int:
    """Print the table, and the targets beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 10, 100])
    chosen = parser.parse_args()
    print_machine()
    print(f"\nnetwork {list(SIZES)}, seconds for an epoch of 50,000 examples; how many times as long the others take")
    print(f"{'batch':>6}{''.join(f'{way:>18}' for way in WAYS)}{'loop':>10}{'autograd':>10}")
    timings = {}
    for batch_size in chosen.batch_sizes:
        timing = time_ways(batch_size, examples=chosen.examples, rounds=chosen.rounds)
        print_timing(timing)
        if batch_size in TARGET_KINDS:
            timings[TARGET_KINDS[batch_size]] = timing
    rows = speed_rows(timings)
    print()
    for row in rows:
        print(f"{row.verdict:>8}  {row.measured:5.1f}  {row.published:>12}  {row.name}")
    return int(any(row.verdict == "outside" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
