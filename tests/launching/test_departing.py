import os
import signal
from pathlib import Path

import pytest

from gradiometer.launching.departing import DepartureWatch


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # this process may have threads of other tests
def test_lets_a_child_be_terminated_however_soon_after_its_fork(tmp_path: Path) -> None:
    ways = []
    with DepartureWatch(tmp_path / "run.db", lambda: None):
        for _ in range(40):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                signal.pause()
            os.kill(child, signal.SIGTERM)
            ways.append(os.waitpid(child, 0)[1])
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert {os.WTERMSIG(way) for way in ways if os.WIFSIGNALED(way)} == {signal.SIGTERM}
    assert all(os.WIFSIGNALED(way) for way in ways)
