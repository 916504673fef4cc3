"""What a trial is to do, in plain values that travel as JSON, and the digest by which its result is found again."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import gradiometer
from gradiometer.launching.script import Target

RUN_FILE = "run.db"
LOG_FILE = "output.log"
RESULT_FILE = "result.json"
WRITTEN_FOLDER = "written"


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """One trial.

    Attributes:
        script: Path of the script as typed; None where a module is run.
        module: Name of the module, as after `-m`.
        arguments: The script's arguments.
        working_directory: Folder that the script runs in.
        folder: The trial's own folder.
        cures: Labels of the cures; empty for the control.
        seed: Seed of the trial; pairs share it.
        sieve: `diagnose`, `range`, `remeasure`, `race` or `trial`.
        step_limit: Steps after which it stops; None lets the script end by itself.
        seconds_limit: Seconds of training after which it stops; for the run that is diagnosed.
        patience_seconds: Wall time after which its process is ended as hopeless.
        overhead: Greatest share of the training time that measuring may take.
        threads: Threads that torch may use.
        case_file: Run file of the diagnosed run, for cures that go by it; None for that run itself.
        conditions: Conditions of the findings that the cure is tried on.
        range_test: Raise the learning rate step by step, to find the one that suits the network under these cures.
        holds_still: Put the weights back after every step: the losses are those of the batches, not of learning.
        gathers: Keep the inputs of the first root in a file of the trial's folder.
        samples_file: Such a file, for cures that go by inputs.
    """

    script: str | None
    module: str | None
    arguments: tuple[str, ...]
    working_directory: str
    folder: str
    cures: tuple[str, ...] = ()
    seed: int = 0
    sieve: str = "diagnose"
    step_limit: int | None = None
    seconds_limit: float | None = None
    patience_seconds: float = 600.0
    overhead: float = 0.01
    threads: int = 1
    case_file: str | None = None
    conditions: tuple[str, ...] = field(default=())
    range_test: bool = False
    holds_still: bool = False
    gathers: bool = False
    samples_file: str | None = None

    @property
    def target(self) -> Target:
        """What to run."""
        return Target(self.script, self.module, self.arguments)

    @property
    def run_file(self) -> Path:
        """The trial's run file."""
        return Path(self.folder) / RUN_FILE

    @property
    def digest(self) -> str:
        """What tells this trial from others of the same case: all that decides about its numbers."""
        deciding = {
            "cures": self.cures,
            "seed": self.seed,
            "steps": self.step_limit,
            "seconds": self.seconds_limit,
            "overhead": self.overhead,
            "threads": self.threads,
            "conditions": self.conditions,
            "range_test": self.range_test,
            "holds_still": self.holds_still,
            "gathers": self.gathers,
            "samples": self.samples_file is not None,
            "version": gradiometer.__version__,
        }
        return digest_of(json.dumps(deciding, sort_keys=True).encode())

    def placed_in(self, case_folder: Path) -> "TrialSpec":
        """The same trial with a folder of its own, named by its digest, in a case's folder."""
        name = f"{self.sieve}-seed{self.seed}-{self.digest}" if self.sieve != "diagnose" else self.digest
        return replace(self, folder=str(case_folder / name))

    def to_json(self) -> str:
        """Write it for a fresh interpreter."""
        return json.dumps(asdict(self))


def spec_from_json(text: str) -> TrialSpec:
    """Read what `TrialSpec.to_json` wrote."""
    values: dict[str, Any] = json.loads(text)
    for name in ("arguments", "cures", "conditions"):
        values[name] = tuple(values[name])
    return TrialSpec(**values)


def digest_of(*contents: bytes) -> str:
    """Twelve hexadecimal digits that stand for some bytes.

    Example:
        >>> digest_of(b"a", b"b") == digest_of(b"ab")
        False
    """
    digest = hashlib.blake2b(digest_size=6)
    for content in contents:
        digest.update(f"{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()
