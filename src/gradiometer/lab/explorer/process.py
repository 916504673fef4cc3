"""The process in which torch runs behind the page, seen from the page's server, which imports no torch.

It is asked over pipes, one question at a time. Where it ends, by a fault of its own or killed, the question that was
on its way gets an error that says so, and a new process is started for the next one.
"""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gradiometer.errors import DataError, GradiometerError, SettingsError
from gradiometer.schema.explored import Answer, DigitData, Question, QuestionKind, Scene, UnitScene, WeightScene
from gradiometer.schema.retyping import settle

START_SECONDS = 120.0
ANSWER_SECONDS = 60.0
"""Patience until the process has loaded torch and its data, and with one answer; behind these it is ended. An answer
takes a fraction of a second, on a busy machine a few."""


ANSWERS: Mapping[QuestionKind, type[Scene] | type[UnitScene] | type[WeightScene]] = MappingProxyType(
    {"scene": Scene, "unit": UnitScene, "weight": WeightScene}
)
"""Kind of a question to the noun that answers it."""


class NetworkEndedError(GradiometerError):
    """The process ended, and a new one was started; the next question is answered."""


def command_of(data: Path | None) -> list[str]:
    """What starts the process: this interpreter, without the working directory on its path.

    Args:
        data: File or folder with MNIST; None for the bundled digits.
    """
    words = [sys.executable, "-P", "-m", "gradiometer.lab.explorer"]
    return words if data is None else [*words, "--data", str(data.resolve())]


@dataclass(slots=True)
class Running:
    """A process that runs.

    Attributes:
        process: The process.
        lines: What it says, line by line; None when it has ended.
    """

    process: subprocess.Popen[str]
    lines: "queue.Queue[str | None]"


@dataclass(slots=True)
class NetworkProcess:
    """The process, started when it is entered and ended when it is left.

    Attributes:
        command: What starts it.
        data: What its networks are trained on; known once it runs.
    """

    command: Sequence[str]
    data: DigitData | None = None
    _running: Running | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "NetworkProcess":
        """Start the process.

        Raises:
            DataError: The data are not at hand, or it ended before it was ready.
        """
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """Number of the process, None while there is none."""
        return None if self._running is None else self._running.process.pid

    def ask(self, question: Question) -> Answer:
        """Ask one question and wait for its answer.

        Raises:
            NetworkEndedError: The process ended; a new one runs, which knows nothing of the network.
            DataError: No new one could be started.
            SettingsError: What is asked for is not there.
        """
        with self._lock:
            if self._running is None:
                self._start()
            reply = self._exchange(json.dumps(asdict(question)))
            if reply is None:
                how = self._end()
                self._start()
                raise NetworkEndedError(f"The process of the network ended ({how}). A new one was started.")
        if "fault" in reply:
            raise SettingsError(str(reply["fault"]))
        return settle(ANSWERS[question.kind], reply["answer"])

    def _start(self) -> None:
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # Ctrl-C in the terminal is the server's; this process ends when its stdin does.
            start_new_session=True,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=hand_lines, args=(process, lines), daemon=True).start()
        self._running = Running(process, lines)
        ready = self._reply(START_SECONDS)
        if ready is None or "fault" in ready:
            how = self._end()
            raise DataError(str(ready["fault"]) if ready else f"The process of the network did not start ({how}).")
        self.data = settle(DigitData, ready["answer"])

    def _exchange(self, line: str) -> dict[str, Any] | None:
        """Hand in a line and wait for the reply; None where the process has ended or does not answer."""
        assert self._running is not None
        assert self._running.process.stdin is not None
        try:
            self._running.process.stdin.write(f"{line}\n")
            self._running.process.stdin.flush()
        except OSError:
            return None
        return self._reply(ANSWER_SECONDS)

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        assert self._running is not None
        try:
            line = self._running.lines.get(timeout=seconds)
        except queue.Empty:
            return None
        return None if line is None else dict(json.loads(line))

    def _end(self) -> str:
        """End the process; how it ended, in words."""
        running, self._running = self._running, None
        if running is None:
            return "not running"
        has_ended = running.process.poll() is not None
        running.process.kill()
        code = running.process.wait()
        if running.process.stdin is not None:
            try:
                running.process.stdin.close()
            except OSError:
                # What was written to a process that is gone can't be handed over any more.
                return f"exit code {code}"
        return f"exit code {code}" if has_ended else "it did not answer"


def hand_lines(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    """Hand on what a process says until it ends; run in a thread of its own."""
    assert process.stdout is not None
    with process.stdout as said:
        for line in said:
            lines.put(line)
    process.wait()
    lines.put(None)
