"""A training tells a tracker of itself while it goes on: it joins the script's own run of the tracker, or begins one.

Which of the two is decided when the first step ends, on the thread that trains. A run that the script has begun is
joined in this process, by a thread; what that thread costs is booked as measuring, and bounded like it. Else a process
beside follows the run file (`told_beside`), so that the script's own use of the tracker, now or later, is not touched.
A fault of a tracker never reaches the training: it is said once, and stands among the run's events.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gradiometer.beside import start_beside
from gradiometer.errors import SettingsError
from gradiometer.integrations.pace import Pace
from gradiometer.integrations.telling import TICK_SECONDS, Telling
from gradiometer.integrations.tracker import Partner, Tracker, fault_text, require
from gradiometer.schema import Event, Run
from gradiometer.settings import load_settings

if TYPE_CHECKING:
    from gradiometer.session import Session, Watch

SINK_SHARE = 0.25
"""Part of the allowed share that telling may use in the training's own process."""

END_SECONDS = 60.0
"""Patience with a tracker at the training's end; behind that it is left alone."""


class Sink:
    """Tells one tracker of one session; a context manager, or `start` and `stop`.

    Args:
        partner: The tracker.
        session: The session; in memory only where the script has begun a run of the tracker's by its first step.
        place: Folder, project or experiment of a run that has to be begun; None for the usual one.
        has_page: The report is told at the end, where the tracker can hold it.

    Attributes:
        fault: Why the tracker is told no more; None while nothing is wrong.
        place: Where what was told can be looked at, once it is known.
        spent_seconds: Processor time that telling has taken in this process.
    """

    def __init__(
        self, partner: Partner, session: "Session", place: str | None = None, *, has_page: bool = True
    ) -> None:
        self.partner = partner
        self.fault: str | None = None
        self.place: str | None = None
        self.spent_seconds = 0.0
        self._session = session
        self._wanted_place = place
        self._has_page = has_page
        self._ignore = load_settings().ignore
        self._booked_seconds = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._has_begun = False
        self._owner = os.getpid()

    def start(self) -> "Sink":
        """Begin with the next step that ends."""
        probe = self._session.probe
        others = probe.after_step

        def after_step(step: int) -> None:
            self._after_step()
            if others is not None:
                others(step)

        probe.after_step = after_step
        return self

    def stop(self) -> None:
        """Tell the verdict and let go of the tracker; a second call does nothing."""
        if self._ended.is_set() or os.getpid() != self._owner:
            return
        if self._session.probe.step:
            self._begin()
        self._bring_up_to_date()
        self._ended.set()
        if self._thread is not None:
            self._thread.join(END_SECONDS)
            if self._thread.is_alive():
                self._give_up(f"it did not end within {END_SECONDS:.0f} s, and is left alone")
        if self._process is not None:
            self._end(self._process)
        self._book()

    def __enter__(self) -> "Sink":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _after_step(self) -> None:
        if not self._has_begun:
            self._begin()
        elif self.spent_seconds != self._booked_seconds:
            self._book()

    def _book(self) -> None:
        """Book what telling has cost, on the thread that trains."""
        spent_seconds = self.spent_seconds
        self._session.budget.spent_seconds += spent_seconds - self._booked_seconds
        self._booked_seconds = spent_seconds

    def _begin(self) -> None:
        """Join the script's run of the tracker, or begin one in a process beside this."""
        if self._has_begun:
            return
        self._has_begun = True
        try:
            active = self.partner.find_active()
            join = self.partner.join
            if active is not None and join is not None:
                self._thread = threading.Thread(
                    target=self._tell, args=(join, active), daemon=True, name=f"gradiometer-{self.partner.name}"
                )
                self._thread.start()
            else:
                self._process = self._started_beside()
        except Exception as fault:
            self._give_up(fault_text(fault))

    def _started_beside(self) -> "subprocess.Popen[str]":
        """Start the process that follows the run file."""
        writer = self._session.writer
        if writer.path is None:
            raise SettingsError(
                f"this run is kept in memory: give gradiometer.watch a file, or begin a run of {self.partner.name} "
                "before the first step"
            )
        # Layers, parameters and the first step are to be in the file before it is read.
        writer.flush()
        order = {
            "tracker": self.partner.name,
            "file": str(writer.path),
            "place": self._wanted_place,
            "has_page": self._has_page,
        }
        return start_beside("gradiometer.integrations.told_beside", json.dumps(order))

    def _bring_up_to_date(self) -> None:
        """Write down what the end of the session would, so that the report has it, where that is still to come."""
        session = self._session
        if not session.is_stopped:
            session.writer.add_facts(session.account())
            with session.probe.guard:
                session.writer.set_coverage(session.probe.full_step.coverage())

    def _end(self, process: "subprocess.Popen[str]") -> None:
        """Let the process beside tell the verdict, and take its answer."""
        self._session.writer.flush()
        try:
            answer = json.loads(process.communicate(timeout=END_SECONDS)[0] or "{}")
        except (subprocess.TimeoutExpired, ValueError) as fault:
            process.kill()
            process.communicate()
            self._give_up(f"it did not end as it should ({fault_text(fault)}), and was ended")
            return
        self.place = answer.get("place")
        if self.place is None:
            # It has said so itself when it happened, unless it was killed.
            reason = answer.get("fault")
            self._give_up(reason or f"its process ended with code {process.returncode}", is_said=reason is not None)

    def _tell(self, join: Callable[[Any], Tracker], active: Any) -> None:
        """The thread: look at the run again and again, as often as its share of the time allows."""
        try:
            tracker = join(active)
            self.place = tracker.place
            telling = Telling(tracker, self._ignore, self._has_page)
            begun = looked = time.monotonic()
            pace = Pace(SINK_SHARE * self._session.overhead)
            while not self._ended.wait(TICK_SECONDS):
                self._timed(tracker.tick)
                now = time.monotonic()
                if pace.may_look(now - looked, self.spent_seconds, now - begun):
                    cost = self._timed(lambda: telling.look(self._read(), most_numbers=pace.most_numbers))
                    pace.book(cost)
                    looked = time.monotonic()
            telling.conclude(self._read())
            tracker.close()
        except Exception as fault:
            self._give_up(fault_text(fault))

    def _timed(self, tell: Callable[[], object]) -> float:
        """Tell something; returns the processor time that it took."""
        started = time.thread_time()
        tell()
        cost_seconds = time.thread_time() - started
        self.spent_seconds += cost_seconds
        return cost_seconds

    def _read(self) -> Run:
        """The run as it is now."""
        self._session.writer.add_facts({"overhead_measured": self._session.budget.share})
        return self._session.writer.read()

    def _give_up(self, reason: str, *, is_said: bool = False) -> None:
        """Tell the tracker no more; said once, and written down."""
        if self.fault is not None:
            return
        self.fault = reason
        text = f"{self.partner.name} is told no more: {reason}"
        self._session.writer.add_event(Event(self._session.probe.step, "note", text))
        if not is_said:
            sys.stderr.write(f"gradiometer: {text}. Training goes on.\n")


def sink_of(partner: Partner, watching: "Watch", place: str | None, *, has_page: bool = True) -> Sink:
    """Make the sink of a watched training loop.

    Raises:
        SettingsError: The tracker's package is not installed.
    """
    require(partner)
    return Sink(partner, watching.session, place, has_page=has_page)
