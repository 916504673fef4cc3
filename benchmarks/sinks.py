"""What telling a tracker costs a training: `python benchmarks/sinks.py`, offline, six minutes for each tracker.

The same training runs watched (A) and watched with a sink (B), in turns, A B A B ...; of each run the processor time of
its process counts, by step, of each pair its ratio, of all pairs the median. Processor time holds on a machine that
others use, too, where the time on the wall says more of them than of us. Joined trackers are told by a thread of that
process, TensorBoard by a process of its own, whose processor time stands in the table.
"""

import argparse
import os
import platform
import resource
import statistics
import time
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import gradiometer

WIDTH = 256
BATCH = 128
DEPTH = 6


def begin(tracker: str) -> Any:
    """Begin the script's own run of a tracker, where it is one that is joined."""
    if tracker == "wandb":
        import wandb

        return wandb.init(project="benchmark")
    if tracker == "mlflow":
        import mlflow

        return mlflow.start_run()
    if tracker == "trackio":
        import trackio

        return trackio.init(project="benchmark", auto_log_cpu=False, auto_log_gpu=False)
    return None


def end(tracker: str, run: Any) -> None:
    """End it."""
    if tracker == "mlflow":
        import mlflow

        mlflow.end_run()
    elif run is not None:
        run.finish()


def train(tracker: str, folder: Path, seconds: float, *, has_sink: bool) -> dict[str, float]:
    """Train for some seconds; tells the processor time of a step and what the sink cost."""
    torch.manual_seed(0)
    layers = [part for _ in range(DEPTH) for part in (torch.nn.Linear(WIDTH, WIDTH), torch.nn.Tanh())]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(WIDTH, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    inputs, targets = torch.randn(BATCH, WIDTH), torch.randint(0, 10, (BATCH,))
    step_count, beside = 0, children_seconds()
    watching = gradiometer.watch(model, optimizer, file=folder / f"{time.time_ns()}.db")
    sink = import_module(f"gradiometer.integrations.{tracker}").sink(watching) if has_sink else nullcontext()
    with watching:
        sink.__enter__()
        begun, processed = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < seconds:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
            step_count += 1
        processed, ending = time.process_time() - processed, time.perf_counter()
        elapsed = ending - begun
        spent = sink.spent_seconds if has_sink else 0.0
        sink.__exit__(None, None, None)
        ended = time.perf_counter() - ending
    if has_sink and sink.fault is not None:
        raise RuntimeError(sink.fault)
    return {
        "step": processed / step_count,
        "share": spent / elapsed,
        "beside": children_seconds() - beside,
        "end": ended,
    }


def children_seconds() -> float:
    """Processor time of the processes that this one has started and seen end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each; a thread first looks after 20")
    parser.add_argument("trackers", nargs="*", default=["tensorboard", "wandb", "mlflow", "trackio"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("| tracker | told by | step without | step with | difference (of pairs) | thread | beside | at the end |")
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as name:
        os.chdir(name)
        os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "TRACKIO_DIR": f"{name}/trackio"}
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{name}/mlflow.db"
        for tracker in options.trackers:
            run = begin(tracker)
            train(tracker, Path(name), min(options.seconds, 3.0), has_sink=False)
            pairs = [
                [train(tracker, Path(name), options.seconds, has_sink=has_sink) for has_sink in (False, True)]
                for _ in range(options.pairs)
            ]
            end(tracker, run)
            print(line_of(tracker, pairs), flush=True)


def line_of(tracker: str, pairs: list[list[dict[str, float]]]) -> str:
    """One line of the table."""
    ratios = [100.0 * (b["step"] / a["step"] - 1.0) for a, b in pairs]
    without, with_sink = (statistics.median(pair[place]["step"] for pair in pairs) for place in (0, 1))
    share, beside, ending = (statistics.median(pair[1][name] for pair in pairs) for name in ("share", "beside", "end"))
    where = "a process beside" if tracker == "tensorboard" else "a thread"
    return (
        f"| {tracker} | {where} | {1e3 * without:.2f} ms | {1e3 * with_sink:.2f} ms | "
        f"{statistics.median(ratios):+.1f} % ({min(ratios):+.1f} to {max(ratios):+.1f}) | {100.0 * share:.2f} % | "
        f"{beside:.1f} s | {ending:.1f} s |"
    )


if __name__ == "__main__":
    main()
