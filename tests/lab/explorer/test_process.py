import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradiometer.errors import DataError, SettingsError
from gradiometer.lab.explorer.process import NetworkEndedError, NetworkProcess, command_of
from gradiometer.schema.explored import DigitData, ExplorerSettings, Question, Scene

QUESTION = Question("a", "scene", ExplorerSettings(), 3)

ANSWERING = """
import itertools, json, os, sys
for line in itertools.chain([None], sys.stdin):
    if line is None:
        print(json.dumps({"answer": {"name": "made", "side": 8, "train_count": 3, "labels": [1]}}), flush=True)
    elif json.loads(line)["example"] == 7:
        os._exit(5)
    else:
        print(json.dumps({"fault": "There is no such example: the network has 1."}), flush=True)
"""
"""A process that keeps to the protocol and knows one answer; example 7 ends it."""


def ending_at_seven() -> NetworkProcess:
    return NetworkProcess([sys.executable, "-c", ANSWERING])


def has_ended(number: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return True
        # Nobody has waited for it yet: it is there by name only.
        if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_says_that_its_process_ended_and_starts_another() -> None:
    with ending_at_seven() as network:
        assert network.data == DigitData("made", 8, 3, (1,))
        first = network.pid
        with pytest.raises(NetworkEndedError, match="exit code 5"):
            network.ask(Question("a", "scene", ExplorerSettings(), example=7))
        assert network.pid != first
        with pytest.raises(SettingsError, match="no such example"):
            network.ask(QUESTION)
        second = network.pid
    assert second is not None
    assert has_ended(second, 10.0)


def test_hands_on_why_its_process_could_not_start() -> None:
    said = NetworkProcess([sys.executable, "-c", 'print(\'{"fault": "no digits here"}\')'])
    with pytest.raises(DataError, match="no digits here"), said:
        pass
    silent = NetworkProcess([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(DataError, match=r"did not start \(exit code 3\)"), silent:
        pass


@pytest.mark.slow
def test_answers_from_a_process_of_its_own_and_again_after_it_was_killed() -> None:
    with NetworkProcess(command_of(None)) as network:
        first = network.ask(QUESTION)
        assert isinstance(first, Scene)
        assert first.course.step == 3
        with pytest.raises(SettingsError, match="no such example"):
            network.ask(Question("a", "scene", ExplorerSettings(), example=10**6))
        assert network.pid is not None
        os.kill(network.pid, signal.SIGKILL)
        with pytest.raises(NetworkEndedError, match="A new one was started"):
            network.ask(QUESTION)
        assert network.ask(QUESTION) == first


@pytest.mark.slow
def test_ends_its_process_when_the_server_is_killed() -> None:
    code = (
        "import sys, time\nfrom gradiometer.lab.explorer.process import NetworkProcess, command_of\n"
        "with NetworkProcess(command_of(None)) as network:\n    print(network.pid, flush=True)\n    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        number = int(server.stdout.readline())
        server.kill()
    assert has_ended(number, 30.0)


@pytest.mark.slow
def test_names_what_is_wrong_with_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist.npz"), NetworkProcess(command_of(tmp_path)):
        pass
