"""A trial as it travels to another machine and home again: the script's folder, the trial, the files that it goes by.

The other machine sees none of this one's folders. So the working directory goes along, and the script's own folder
where that lies elsewhere; both in one archive, which is sent once. What a script reads by an absolute path, and the
environment variables, are those of the machine that it runs on.
"""

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradiometer
from gradiometer.curing.trials.local import TrialEnd, run_trials
from gradiometer.curing.trials.scratch import temporary_folder
from gradiometer.curing.trials.spec import RUN_FILE, TrialSpec
from gradiometer.errors import SettingsError

MOST_MEGABYTES = 256
"""Size of what is sent: a working directory with more in it is not one that was made for a script."""

LEFT_BEHIND = frozenset(
    {".git", ".gradiometer", ".hg", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".venv", "__pycache__"}
    | {"node_modules", "site-packages", "venv", "wandb"}
)
"""Folders that no script needs of its own machine."""

WORK, SCRIPT, TRIAL, LENT = "work", "script", "trial", "lent"
"""Names in the folder on the other machine: working directory, script's folder, the trial's, files that it goes by."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One trial on its way out.

    Attributes:
        spec: The trial, as it is at home.
        lent: Files that it goes by, field of the trial to content.
        version: The version of gradiometer at home.
    """

    spec: TrialSpec
    lent: dict[str, bytes] = field(default_factory=dict)
    version: str = gradiometer.__version__


@dataclass(frozen=True, slots=True)
class Homecoming:
    """What comes home.

    Attributes:
        exit_code: As `TrialEnd` has it.
        elapsed_seconds: Likewise.
        was_late: Likewise.
        files: The trial's files, by name.
        folder: Where the trial ran on the other machine; its paths are in the run file.
        machine: Name of that machine.
    """

    exit_code: int
    elapsed_seconds: float
    was_late: bool
    files: dict[str, bytes]
    folder: str
    machine: str


def packed(spec: TrialSpec) -> Parcel:
    """Put up a trial to be sent."""
    lent = {
        name: Path(path).read_bytes()
        for name in ("case_file", "samples_file")
        if (path := getattr(spec, name)) is not None
    }
    return Parcel(spec, lent)


def archive_of(spec: TrialSpec, *, most_megabytes: int = MOST_MEGABYTES) -> bytes:
    """Pack the folders that a script needs.

    Raises:
        SettingsError: They are too large to be sent.
    """
    total = 0
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, root in roots_of(spec).items():
            for path in files_below(root):
                total += path.stat().st_size
                if total > most_megabytes * 2**20:
                    raise SettingsError(
                        f"{root} holds more than {most_megabytes} MB, which would be sent to other machines: start "
                        "`gradiometer cure` in a folder with the script alone, and let it read its data by an "
                        "absolute path that all machines have"
                    )
                archive.write(path, f"{name}/{path.relative_to(root)}")
    return buffer.getvalue()


def roots_of(spec: TrialSpec) -> dict[str, Path]:
    """The folders that travel: name in the archive to folder."""
    work = Path(spec.working_directory).absolute()
    roots = {WORK: work}
    if spec.script is not None:
        home = (work / spec.script).parent
        if not home.resolve().is_relative_to(work.resolve()):
            roots[SCRIPT] = home
    return roots


def files_below(root: Path) -> Iterator[Path]:
    """Ordinary files that can be read, in order; links to folders are not followed."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in LEFT_BEHIND)
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_file() and os.access(path, os.R_OK):
                yield path


def perform_parcel(parcel: Parcel, archive: bytes) -> Homecoming:
    """Run a trial on this machine, far from its home, and leave nothing here.

    Raises:
        SettingsError: This machine has another version of gradiometer.
    """
    if parcel.version != gradiometer.__version__:
        raise SettingsError(
            f"machine {os.uname().nodename} has gradiometer {gradiometer.__version__}, and {parcel.version} sends it "
            "a trial: install the same version on all machines"
        )
    with temporary_folder() as scratch:
        folder = Path(scratch)
        with zipfile.ZipFile(io.BytesIO(archive)) as packed_folders:
            packed_folders.extractall(folder)
        (folder / WORK).mkdir(exist_ok=True)
        spec = abroad(parcel, folder)
        (end,) = run_trials([spec], workers=1)
        files = {path.name: path.read_bytes() for path in Path(spec.folder).iterdir() if path.is_file()}
        return Homecoming(
            end.exit_code, end.elapsed_seconds, end.was_late, files, str(folder.resolve()), os.uname().nodename
        )


def abroad(parcel: Parcel, folder: Path) -> TrialSpec:
    """The trial with this machine's paths; the files that it goes by are written."""
    spec = parcel.spec
    (folder / LENT).mkdir()
    places: dict[str, Any] = {}
    for name, content in parcel.lent.items():
        path = folder / LENT / Path(str(getattr(spec, name))).name
        path.write_bytes(content)
        places[name] = str(path)
    script = spec.script
    if script is not None and (Path(script).is_absolute() or SCRIPT in roots_of(spec)):
        work = Path(spec.working_directory).absolute()
        full = work / script
        outside = folder / SCRIPT / full.name
        is_inside = full.is_relative_to(work) and ".." not in full.relative_to(work).parts
        script = str(folder / WORK / full.relative_to(work) if is_inside else outside)
    return replace(spec, script=script, working_directory=str(folder / WORK), folder=str(folder / TRIAL), **places)


def unpacked(parcel: Parcel, home: Homecoming) -> TrialEnd:
    """Put what came home where a trial of this machine would have left it."""
    spec = parcel.spec
    folder = Path(spec.folder)
    for name, content in home.files.items():
        (folder / Path(name).name).write_bytes(content)
    if RUN_FILE in home.files:
        correct_paths(spec, home)
    return TrialEnd(spec, home.exit_code, home.elapsed_seconds, home.was_late)


def correct_paths(spec: TrialSpec, home: Homecoming) -> None:
    """Have a run file speak of this machine's paths, and name the machine."""
    from gradiometer.recording.reader import read_run
    from gradiometer.recording.writer import RunWriter

    facts = read_run(spec.run_file).facts
    sources: dict[str, str] = {}
    for path, digest in (facts.get("sources") or {}).items():
        for name, root in roots_of(spec).items():
            start = Path(home.folder) / name
            if Path(path).is_relative_to(start):
                sources[str(root / Path(path).relative_to(start))] = digest
    with RunWriter(spec.run_file, is_resumed=True) as writer:
        corrected = {"sources": sources, "working_directory": spec.working_directory, "machine": home.machine}
        writer.add_facts({**corrected, **({"script": spec.script} if spec.script is not None else {})})
