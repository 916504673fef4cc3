"""Files kept beside a run file, one per step, within a bound: the newest stay, the oldest go.

`RUN.batches` holds the batches of suspicious steps, `RUN.weights` the weights of a few steps. Their content is written
by whoever has it; here are names, bounds and order. A disk that is full or can't be written to costs what was to be
kept, never the training.
"""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from gradiometer.errors import SettingsError
from gradiometer.units import format_bytes

MOST_BYTES = 64 * 2**20
"""Bound on disk where only a number of files was given."""

MOST_FILES = 1000
"""Bound on their number where only a size was given."""

UNIT_BYTES: Mapping[str, int] = {
    "": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
"""What a size may be given in."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be kept.

    Attributes:
        file_count: Files at most; 0 keeps nothing.
        size_bytes: All together at most.
    """

    file_count: int
    size_bytes: int = MOST_BYTES

    @property
    def is_nothing(self) -> bool:
        """Whether nothing may be kept."""
        return self.file_count <= 0 or self.size_bytes <= 0


@dataclass(frozen=True, slots=True)
class Keeping:
    """What is kept beside a run file.

    Attributes:
        batches: Batches of suspicious steps.
        weights: Weights of steps on the way.
    """

    batches: Bounds = Bounds(0)
    weights: Bounds = Bounds(0)


def bounds_from(text: str, option: str) -> Bounds:
    """Read a bound as it is typed: a number of files, or a size.

    Args:
        text: `4` for the newest four, 64 MiB at most; `200MB` or `1GiB` for as many as fit; `0` for none.
        option: The option's name, for the error message.

    Raises:
        SettingsError: It is neither.

    Example:
        >>> bounds_from("4", "--keep-batches")
        Bounds(file_count=4, size_bytes=67108864)
        >>> bounds_from("1.5GiB", "--keep-batches")
        Bounds(file_count=1000, size_bytes=1610612736)
    """
    matched = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = matched[2].lower() if matched else ""
    if matched is None or unit not in UNIT_BYTES or (not unit and "." in matched[1]):
        raise SettingsError(f"{option} is {text!r}: give a number of files (4), a size (200MB, 1GiB), or 0 for none")
    if not unit:
        return Bounds(int(matched[1]))
    size_bytes = int(float(matched[1]) * UNIT_BYTES[unit])
    return Bounds(MOST_FILES if size_bytes else 0, size_bytes)


def batches_folder(run_file: Path) -> Path:
    """The folder of the batches that a run kept."""
    return run_file.with_suffix(".batches")


def weights_folder(run_file: Path) -> Path:
    """The folder of the weights that a run kept."""
    return run_file.with_suffix(".weights")


def kept_files(folder: Path) -> dict[int, Path]:
    """The files in such a folder by their step, ascending; empty where it is not there."""
    found = {step_of(path): path for path in folder.glob("step-*.safetensors")} if folder.is_dir() else {}
    return {step: found[step] for step in sorted(found) if step >= 0}


def step_of(path: Path) -> int:
    """The step in such a file's name, -1 where there is none."""
    matched = re.fullmatch(r"step-(\d+)\.safetensors", path.name)
    return int(matched[1]) if matched else -1


class KeptFiles:
    """A folder whose files stay within a bound.

    Args:
        folder: The folder; made when the first file is kept.
        bounds: How much may be kept.
    """

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.folder = folder.absolute()
        self.bounds = bounds
        self.fault: str | None = None
        self._sizes: dict[int, int] = {}

    @property
    def file_count(self) -> int:
        """Files that are there."""
        return len(self._sizes)

    @property
    def size_bytes(self) -> int:
        """Bytes that they take."""
        return sum(self._sizes.values())

    def room_for(self, size_bytes: int) -> str:
        """Why a file of this size can't be kept; empty where it can."""
        if self.bounds.is_nothing:
            return "nothing is to be kept"
        if size_bytes > self.bounds.size_bytes:
            return f"it has {format_bytes(size_bytes)}, {format_bytes(self.bounds.size_bytes)} are allowed"
        return self.fault or ""

    def keep(self, step: int, size_bytes: int, write: Callable[[Path], None]) -> str:
        """Keep a file, in the place of the oldest ones where the bound asks for it.

        Args:
            step: Its step.
            size_bytes: About how large it will be.
            write: Writes it to a path.

        Returns:
            Why it was not kept; empty where it was.
        """
        reason = self.room_for(size_bytes)
        if reason:
            return reason
        path = self.folder / f"step-{step:08d}.safetensors"
        unfinished = path.with_suffix(".unfinished")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(size_bytes)
            write(unfinished)
            unfinished.replace(path)
            self._sizes[step] = path.stat().st_size
        except (OSError, SafetensorError) as error:
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)
            self.fault = f"{self.folder} can't be written ({getattr(error, 'strerror', None) or error})"
            return self.fault
        return ""

    def _make_room(self, size_bytes: int) -> None:
        while self._sizes and (
            len(self._sizes) >= self.bounds.file_count or self.size_bytes + size_bytes > self.bounds.size_bytes
        ):
            oldest = min(self._sizes)
            (self.folder / f"step-{oldest:08d}.safetensors").unlink(missing_ok=True)
            del self._sizes[oldest]
