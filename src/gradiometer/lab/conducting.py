"""Conducts an experiment, and writes down how it was conducted, the same for all of them."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from gradiometer import __version__
from gradiometer.lab import load_experiment
from gradiometer.lab.bench import Bench, Size
from gradiometer.lab.one_thread import one_thread
from gradiometer.schema import ExperimentReport
from gradiometer.units import format_seconds

SIZE_WORDS: dict[Size, str] = {
    "toy": "toy: every part, nothing worth telling",
    "quick": "quick: bundled data",
    "full": "full: MNIST",
}
"""Size to what it means."""


def conduct_experiment(name: str, bench: Bench) -> ExperimentReport:
    """Conduct an experiment.

    Args:
        name: A key of `gradiometer.lab.EXPERIMENTS`.
        bench: What it is conducted on.

    Returns:
        Its report, with the run files that it wrote; to its own facts come size, seeds that were asked for, seconds,
        threads, machine and versions.

    Raises:
        SettingsError: There is no such experiment.
        DataError: A data set is not at hand.
    """
    return report_of(load_experiment(name), bench)


def report_of(conduct: Callable[[Bench], ExperimentReport], bench: Bench) -> ExperimentReport:
    """Conduct what was loaded; returns and raises as `conduct_experiment`."""
    started = time.perf_counter()
    with one_thread():
        report = conduct(bench)
    seconds = time.perf_counter() - started
    return replace(
        report,
        facts=(*report.facts, *facts_of(bench, seconds)),
        run_files=tuple(path.as_posix() for path in bench.run_files),
    )


def facts_of(bench: Bench, elapsed_seconds: float) -> tuple[tuple[str, str], ...]:
    """How an experiment was conducted, whatever it was."""
    threads = f"1, on {os.cpu_count()} processors"
    versions = (
        f"gradiometer {__version__}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"numpy {np.__version__}"
    )
    facts = {
        "Size": SIZE_WORDS[bench.size],
        "Seeds asked for": "" if bench.seed_count is None else str(bench.seed_count),
        "Data asked for": "" if bench.data is None else bench.data.as_posix(),
        "Time": format_seconds(elapsed_seconds),
        "Threads": threads,
        "Machine": platform.platform(),
        "Versions": versions,
    }
    return tuple((name, words) for name, words in facts.items() if words)
