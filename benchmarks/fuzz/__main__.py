"""`python -m benchmarks.fuzz --inputs 100000 --seed 8`: hostile inputs, in this process, on one core.

Exit code 1 where one of them did what it may not; its seed and number make it again: `--seed 8 --only 4711`.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, fields

from benchmarks.fuzz.campaign import Tally, run_campaign
from benchmarks.fuzz.kinds import KINDS


def main() -> int:
    """Run a campaign and print its table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="how many inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, default=None, help="the one input of this number")
    parser.add_argument("--seed", default="8", help="seed of the campaign")
    parser.add_argument(
        "--kind", action="append", choices=list(KINDS), help="only this kind; may be given several times"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="feed no further input after this long")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if hasattr(os, "nice"):
        os.nice(19)
    numbers = range(arguments.first, arguments.first + arguments.inputs)
    if arguments.only is not None:
        numbers = range(arguments.only, arguments.only + 1)
    begun = time.monotonic()
    tally = run_campaign(
        numbers,
        arguments.seed,
        kinds=tuple(arguments.kind or KINDS),
        say=lambda text: print(text, file=sys.stderr, flush=True),
        most_seconds=arguments.seconds,
    )
    seconds = time.monotonic() - begun
    if arguments.json:
        told = {one.name: getattr(tally, one.name) for one in fields(tally)}
        told["defects"] = [asdict(defect) for defect in tally.defects]
        print(json.dumps({**told, "wall_seconds": seconds}, indent=2))
    else:
        print_table(tally, seconds)
    return 1 if tally.defects else 0


def print_table(tally: Tally, seconds: float) -> None:
    """Print how many inputs of each kind there were, what they took, and what went wrong."""
    print(f"{'kind':32} {'inputs':>8} {'seconds':>8} {'slowest':>8} {'defects':>8}")
    for kind, count in sorted(tally.counts.items()):
        defects = sum(defect.kind == kind for defect in tally.defects)
        print(f"{kind:32} {count:8} {tally.seconds[kind]:8.0f} {tally.slowest[kind]:8.2f} {defects:8}")
    total = sum(tally.counts.values())
    print(f"{'all':32} {total:8} {sum(tally.seconds.values()):8.0f} {'':8} {len(tally.defects):8}")
    print(f"{seconds:.0f} s in all, greatest memory {tally.memory_bytes / 2**20:.0f} MiB")


if __name__ == "__main__":
    raise SystemExit(main())
