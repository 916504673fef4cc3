"""Ray Train: `gradiometer.watch` for the loop that a `TorchTrainer` runs on each of its workers.

Every worker calls it; the first writes the run file, into the folder that the driver knows as `result.path`.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gradiometer.integrations.trainer_watch import TrainerWatch, named_version, torch_optimizer


@contextlib.contextmanager
def watch(
    model: nn.Module,
    optimizer: Optimizer | Iterable[Optimizer],
    file: str = "run.db",
    overhead: float = 0.01,
    *,
    open_compiled: bool = False,
    dear: Sequence[str] | None = None,
) -> Iterator[TrainerWatch]:
    """Watch a worker's training loop; no call is needed inside it.

    Args:
        model: The model, as `ray.train.torch.prepare_model` gives it back.
        optimizer: Its optimizer or optimizers.
        file: Name of the run file in the experiment's folder, which is `result.path`. A loop that Ray starts again
            after a failure writes `run-2.db`. On a remote storage the file arrives when the watch ends.
        overhead: Greatest share of the training time that measuring may take.
        open_compiled: Measure the layers of compiled models too; full steps then run eagerly.
        dear: Dear measurements that take turns on full steps; None for all that fit the network.

    Yields:
        What has `.run` and `.diagnose()`; of workers that train one model together only the first's is filled.

    Raises:
        SettingsError: The share is not above 0 and at most 1, or there is no such measurement.
    """
    import ray
    import ray.train

    optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer)
    is_silent = ray.train.get_context().get_world_rank() != 0
    with contextlib.nullcontext() if is_silent else stored(file) as path:
        watching = TrainerWatch(
            model,
            [torch_optimizer(one) for one in optimizers],
            path,
            overhead,
            open_compiled=open_compiled,
            dear=dear,
            is_silent=is_silent,
            trainer=named_version(ray),
        )
        with watching:
            yield watching


@contextlib.contextmanager
def stored(name: str) -> Iterator[Path]:
    """Where to write a file that is to be found in the experiment's folder: there, or where that is remote, first here.

    Args:
        name: Its name; one with a number where it is taken.

    Yields:
        A path on this machine.
    """
    import ray.train

    storage = ray.train.get_context().get_storage()
    folder, remote = PurePosixPath(storage.experiment_fs_path), storage.storage_filesystem
    if remote.type_name == "local":
        yield Path(free_name(folder / name, lambda path: Path(path).exists()))
        return
    target = free_name(folder / name, lambda path: is_there(remote, path))
    local = Path(tempfile.mkdtemp(prefix="gradiometer-"))
    try:
        yield local / target.name
    finally:
        bring(local, remote, folder)


def bring(local: Path, filesystem: Any, folder: PurePosixPath) -> None:
    """Copy what lies in a folder of this machine to a storage; what fails there is said and does not end a training."""
    from pyarrow import fs

    try:
        fs.copy_files(str(local), str(folder), destination_filesystem=filesystem)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"gradiometer: the run file stays in {local}: {folder} could not be written to: {error}\n")
    else:
        shutil.rmtree(local, ignore_errors=True)


def free_name(path: PurePosixPath, is_taken: Callable[[PurePosixPath], bool]) -> PurePosixPath:
    """A path, or the first with a number behind its stem that is not taken.

    Example:
        >>> free_name(PurePosixPath("runs/run.db"), lambda path: path.name in {"run.db", "run-2.db"}).name
        'run-3.db'
    """
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return path if not is_taken(path) else next(one for one in numbered if not is_taken(one))


def is_there(filesystem: Any, path: PurePosixPath) -> bool:
    """Whether a storage has something at a path."""
    return bool(filesystem.get_file_info(str(path)).type)
