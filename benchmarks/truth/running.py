"""Trains what is not trained yet, in processes of one thread each; killed and called again it goes on."""

import shutil
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import torch

from benchmarks.truth.families import draw_setup
from benchmarks.truth.faults import FAULTS, assign_faults, parts_of
from benchmarks.truth.results import Result, append_result, file_name, read_results
from benchmarks.truth.training import Training, make_training, train
from gradiometer.recording.keeping import batches_folder, weights_folder

COUNT = 640
"""Numbers that are drawn: each gives a twin and one training with a fault."""

Task = tuple[int, str, str]
"""Number, fault, which is empty for the twin, and part."""


def tasks_of(count: int) -> list[Task]:
    """Everything to train, a twin before its faulty training."""
    faults = assign_faults(count)
    drawn = enumerate(zip(faults, parts_of(faults), strict=True))
    return [task for number, (fault, part) in drawn for task in ((number, "", part), (number, fault, part))]


def make_faulty(number: int, fault: str) -> tuple[Training, str]:
    """The training of a number with a fault, and the layer that the fault sits in; empty names give the twin."""
    setup = draw_setup(number)
    if not fault:
        return make_training(setup), ""
    training = make_training(FAULTS[fault].redraw(setup))
    return training, FAULTS[fault].change(training) or ""


def run_one(task: Task, folder: Path) -> Result:
    """Train one, keep its run file without companions, and say what came of it."""
    number, fault, part = task
    setup, name = draw_setup(number), file_name(number, fault)
    path = folder / name
    remove_run(path)
    start = perf_counter()
    training, layer = make_faulty(number, fault)
    try:
        ended = train(training, path)
        ended.collected.save(path.with_suffix(".npz"))
        evaluations, error = ended.evaluations, ""
    except Exception:  # noqa: BLE001 - a training that can't be made is published, and the others go on
        evaluations, error = (), traceback.format_exc()
    for companion in (batches_folder(path), weights_folder(path)):
        shutil.rmtree(companion, ignore_errors=True)
    return Result(
        number=number,
        fault=fault,
        part=part,
        family=setup.family,
        setup=asdict(training.setup),
        steps=training.setup.steps,
        layer=layer,
        evaluations=evaluations,
        file=name,
        seconds=perf_counter() - start,
        error=error,
    )


def remove_run(path: Path) -> None:
    """Remove what a killed process left of a run file."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def run_all(folder: Path, tasks: Iterable[Task], jobs: int) -> Iterator[Result]:
    """Train what has no result yet, and give each result once it is written down.

    Args:
        folder: Where run files and results go.
        tasks: What to train.
        jobs: Processes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = {(result.number, result.fault) for result in read_results(folder)}
    left = [task for task in tasks if task[:2] not in done]
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for future in as_completed([pool.submit(run_one, task, folder) for task in left]):
            result = future.result()
            append_result(folder, result)
            yield result
