"""Ways to leave a script that Python knows no clean end for: SIGTERM, and `os._exit`.

A job scheduler ends a training by SIGTERM, and some scripts leave by `os._exit` to get past hanging threads. Without
this the run file would hold what was committed last and nobody would say a word of it.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from gradiometer.launching.ending import TERMINATED

if TYPE_CHECKING:
    from gradiometer.session import Session

FLUSH_SECONDS = 2.0
"""How long a script that leaves by `os._exit` is kept waiting for its run file, at most."""


class DepartureWatch:
    """While entered, SIGTERM ends the script like Ctrl-C does, and before `os._exit` the run file is written out.

    A handler of the script's own takes the place of this one. A second SIGTERM ends the process at once, and so does
    one that a forked child gets.

    Args:
        file: The run file, named in what is said.
        session: Gives the run's session, None where torch was never imported.
    """

    def __init__(self, file: Path, session: "Callable[[], Session | None]") -> None:
        self.file = file
        self.session = session
        self._process = os.getpid()
        self._has_handler = False
        self._exit: Callable[[int], Any] = os._exit
        self._mask: set[int] | None = None

    def __enter__(self) -> "DepartureWatch":
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self.terminate)
            self._has_handler = True
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(
                    before=self._hold_back, after_in_parent=self._let_go, after_in_child=self._let_child_go
                )
        self._exit = os._exit
        replace_exit(self.exit_at_once)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if os._exit == self.exit_at_once:
            replace_exit(self._exit)
        if self._has_handler and signal.getsignal(signal.SIGTERM) == self.terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._has_handler = False

    def terminate(self, number: int, frame: FrameType | None) -> None:
        """Handler of SIGTERM: unwind the script, so that its `finally` blocks run and the verdict is given.

        Raises:
            SystemExit: Always, with the exit code that a shell shows for SIGTERM.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != self._process:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        raise SystemExit(TERMINATED)

    def _hold_back(self) -> None:
        """A fork begins: SIGTERM waits, for a child forgets signals that came before Python could run its handlers."""
        if self._is_handling:
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _let_go(self) -> None:
        if self._mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            self._mask = None

    def _let_child_go(self) -> None:
        """In the child SIGTERM means what it means without gradiometer."""
        if self._mask is not None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._let_go()

    @property
    def _is_handling(self) -> bool:
        """Whether this handler is set and the main thread forks; another thread's child may set none."""
        is_main = threading.current_thread() is threading.main_thread()
        return self._has_handler and is_main and signal.getsignal(signal.SIGTERM) == self.terminate

    def exit_at_once(self, status: int) -> None:
        """Stand in for `os._exit`: write the run file out and say what can be done with it, then leave."""
        try:
            session = self.session() if os.getpid() == self._process else None
            # Of what may fail here (no thread to be had, stderr closed) nothing may keep the script from leaving.
            with contextlib.suppress(AttributeError, OSError, RuntimeError, ValueError):
                if session is not None and session.probe.step > 0:
                    self._write_out(session, status)
        finally:
            self._exit(status)

    def _write_out(self, session: "Session", status: int) -> None:
        # Another thread does it: the one that leaves may hold the locks that are needed.
        writing = threading.Thread(target=session.writer.flush, daemon=True)
        writing.start()
        writing.join(FLUSH_SECONDS)
        session.warn_of_faults()
        sys.stderr.write(
            f"gradiometer: the script left by os._exit({status}) after {session.probe.step} steps; "
            f"try: gradiometer diagnose {self.file}\n"
        )
        sys.stderr.flush()


def replace_exit(function: Callable[[int], Any]) -> None:
    """Exchange `os._exit`."""
    os._exit = function  # type: ignore[assignment]
