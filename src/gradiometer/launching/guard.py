"""A trial does no harm: what a script writes goes to the trial's folder and is read back from there first.

A script that saves `best.pt` and loads it again just works, and the user's own `best.pt` keeps its bytes. Redirected
are `open` and the file functions of `os`, hence `pathlib`, `shutil`, `glob`, `tempfile`, numpy, pickles, archives and
all that is built on them; `torch.save` and `torch.load`, TorchScript, safetensors and sqlite3. The temporary folder is
one of the trial's own, and is removed with the guard. Processes forked from a guarded one (data-loader workers) are
guarded too and share its files.

A backstop sees every other opening for writing, removal, renaming ... that passes Python's audit events outside the
allowed places, and answers it with a PermissionError: functions that a module had taken from `os` in a way that can't
be found, `io.FileIO`, a `sqlite3.Connection`.

What can't be redirected, because it never passes through Python: programs that the script starts (`subprocess`,
`os.system`, processes started by multiprocessing's "spawn" or "forkserver"), which are noted in `unguarded`; and
libraries that open files by themselves in C, C++ or Rust: HDF5, OpenCV's `imwrite`, Arrow and Parquet, ONNX Runtime,
TensorFlow, image and video writers of torchvision, traces of `torch.profiler`. Not layered either: what `import`
sees, so a module that the script writes can't be imported; open descriptors; sockets; memory that is mapped from a
file which was opened for reading. Linux and macOS only.
"""

import getpass
import glob
import multiprocessing.process
import multiprocessing.util
import os
import posixpath
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from gradiometer.launching.backstop import Backstop
from gradiometer.launching.guarded_files import GuardedFiles
from gradiometer.launching.guarded_libraries import PACKAGES, connecting, replacements_in
from gradiometer.launching.overlay import Overlay
from gradiometer.launching.package_import import ImportWatch
from gradiometer.launching.posix_only import posix
from gradiometer.launching.replacing import Replacing, undo_all


class FileGuard:
    """Keeps the user's files from what a script does, for the duration of a block; one at a time in a process.

    What runs after the block is not guarded, a script's `atexit` handlers included: a trial ends its process inside.

    Attributes:
        unguarded: What the script started that this guard does not reach, in words, each once.
    """

    def __init__(self, folder: Path, *, allowed: tuple[Path, ...] = ()) -> None:
        """Prepare the guard; nothing is guarded before the block is entered.

        Args:
            folder: The trial's folder, made where it does not exist; what is written is kept in `folder/files`, each
                file under its absolute path, also for a later guard of the same folder.
            allowed: Files and folders that are written through, such as the run file.
        """
        self._overlay = Overlay(folder, allowed)
        self._files = GuardedFiles(self._overlay)
        self._backstop = Backstop(self._overlay, self._files)
        self._replacing = Replacing()
        self._watches = [ImportWatch(name, partial(self._redirect, name)) for name in PACKAGES]
        self._undo: list[Callable[[], None]] = []

    @property
    def unguarded(self) -> list[str]:
        """What the script started that this guard does not reach, in words, each once."""
        return self._backstop.unguarded

    def __enter__(self) -> Self:
        self._allow_compiler_caches()
        self._allow_temporary_files()
        try:
            self._backstop.enter()
        except RuntimeError:
            undo_all(self._undo)
            raise
        self._files.is_active = True
        self._exchange_functions()
        for watch in self._watches:
            watch.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        for watch in self._watches:
            watch.__exit__(None, None, None)
        self._replacing.undo()
        self._files.is_active = False
        self._backstop.leave()
        undo_all(self._undo)

    def _exchange_functions(self) -> None:
        pairs: list[tuple[Any, Any]] = []
        functions = self._files.functions_of_os()
        pairs += [(getattr(posix, name), new) for name, new in functions.items()]
        pairs.append((open, self._files.function_for_open()))
        pairs.append((sqlite3.connect, connecting(sqlite3.connect, self._files)))
        pairs.append((multiprocessing.util.spawnv_passfds, self._noting_spawn()))
        self._replacing.replace(pairs)
        self._exchange_in_globber(functions)
        self._set(shutil, "_use_fd_functions", value=False)
        self._set(sys, "dont_write_bytecode", value=True)

    def _exchange_in_globber(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Have `Path.glob` of Python 3.13 follow: it holds functions of `os` in a class."""
        globber = getattr(glob, "_StringGlobber", None)
        for name, held in list(vars(globber).items()) if globber is not None else ():
            if name in functions and getattr(held, "__func__", None) is getattr(posix, name):
                setattr(globber, name, staticmethod(functions[name]))
                self._undo.append(partial(setattr, globber, name, held))

    def _redirect(self, package: str) -> None:
        self._replacing.replace(replacements_in(package, self._files))

    def _noting_spawn(self) -> Callable[..., Any]:
        original = multiprocessing.util.spawnv_passfds

        def spawnv_passfds(path: Any, arguments: Any, passfds: Any) -> Any:
            command = " ".join(os.fsdecode(argument) for argument in arguments)
            if "resource_tracker" not in command:
                self._backstop.note(f"multiprocessing: {command}")
            return original(path, arguments, passfds)

        return spawnv_passfds

    def _allow_compiler_caches(self) -> None:
        """Share what torch.compile and Triton compiled: found by its content, and compiling takes a trial's time."""
        try:
            user = re.sub(r'[\\/:*?"<>|]', "_", getpass.getuser())
        except (OSError, KeyError):
            user = str(os.getuid())  # a container may run under a number without a name
        shared = posixpath.join(tempfile.gettempdir(), f"torchinductor_{user}")
        self._set_variable("TORCHINDUCTOR_CACHE_DIR", os.environ.get("TORCHINDUCTOR_CACHE_DIR", shared))
        self._overlay.allow(os.environ["TORCHINDUCTOR_CACHE_DIR"])
        self._overlay.allow(os.environ.get("TRITON_CACHE_DIR", posixpath.expanduser("~/.triton")))

    def _allow_temporary_files(self) -> None:
        """Give the trial a temporary folder of its own, with a path short enough for the sockets made in it."""
        folder = posixpath.realpath(tempfile.mkdtemp(prefix="gradiometer-"))
        self._overlay.allow(folder)
        owner = os.getpid()
        self._undo.append(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
        self._set(tempfile, "tempdir", value=folder)
        self._set_variable("TMPDIR", folder)
        made_before = getattr(multiprocessing.process.current_process(), "_config", {}).get("tempdir")
        if made_before is not None:
            self._overlay.allow(made_before)

    def _set_variable(self, name: str, value: str) -> None:
        known = os.environ.get(name)
        os.environ[name] = value

        def put_back() -> None:
            if known is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = known

        self._undo.append(put_back)

    def _set(self, holder: Any, name: str, *, value: Any) -> None:
        known = getattr(holder, name, None)
        setattr(holder, name, value)
        self._undo.append(lambda: setattr(holder, name, known))


def quiet_environment(folder: Path) -> dict[str, str]:
    """Name the environment variables that keep experiment loggers from uploading; their calls go on working.

    They have to be set before the loggers are imported. A script that asks for an upload in so many words
    (`wandb.init(mode="online")`, `mlflow.set_tracking_uri("https://...")`) overrules them.

    Args:
        folder: The trial's folder; what the loggers keep locally goes there.

    Source:
        Pages on environment variables of the documentation of each logger.
    """
    runs = (folder / "mlruns").absolute()
    return {
        "WANDB_MODE": "disabled",
        "WANDB_SILENT": "true",
        "WANDB_DIR": str(folder),
        "MLFLOW_TRACKING_URI": runs.as_uri(),
        "MLFLOW_REGISTRY_URI": runs.as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",  # later versions ask for it; the alternative is a slow migration
        "COMET_AUTO_LOG_DISABLE": "true",
        "COMET_START_ONLINE": "false",
        "COMET_OFFLINE_DIRECTORY": str(folder),
        "NEPTUNE_MODE": "offline",  # the one quiet mode that neptune and neptune-scale share
        "NEPTUNE_LOG_DIRECTORY": str(folder),
        "CLEARML_OFFLINE_MODE": "1",
        "SWANLAB_MODE": "disabled",
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
