"""Trials on a Ray cluster of three nodes on this machine; the first holds none."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curing.trials.trial_material import SIGMOIDS, spec_for
from gradiometer.cli.engines import EngineOptions, chosen_engine
from gradiometer.curing.trials.local import run_trials
from gradiometer.curing.trials.plan import Wishes
from gradiometer.curing.trials.ray_engine import connected, slots_of
from gradiometer.curing.trials.scratch import PREFIX
from gradiometer.errors import SettingsError
from gradiometer.recording.reader import read_run

CLIENT_PORT = 25117

MEETING = """\
import os, socket
link = socket.create_connection(("127.0.0.1", PORT))
link.sendall(f"{os.getpid()} {os.getcwd()}".encode())
assert link.recv(1) == b"!"
"""
"""The start of a script that tells the test of itself, and waits for a sign."""

DRIVER = """\
import sys
from pathlib import Path
from curing.trials.trial_material import spec_for
from gradiometer.curing.trials.ray_engine import connected
with connected(sys.argv[1]) as engine:
    spec = spec_for(Path(sys.argv[2]), Path(sys.argv[3]).read_text(), steps=6)
    codes = [end.exit_code for end in engine([spec], workers=2)]
print(codes, engine.slots)
"""

on_a_cluster = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning")]


class Meeting:
    """Where trials report, wherever they run."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(120.0)
        self.text = MEETING.replace("PORT", str(self.server.getsockname()[1])) + SIGMOIDS

    def meet(self) -> tuple[socket.socket, int, str]:
        """The next trial to report: its link, process and folder."""
        link = self.server.accept()[0]
        pid, folder = link.recv(4096).decode().split(" ", 1)
        return link, int(pid), folder


@pytest.fixture
def meeting() -> Iterator[Meeting]:
    found = Meeting()
    yield found
    found.server.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gradiometer[ray]'")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "ray_client_server_port": CLIENT_PORT})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def driver(address: str, folder: Path, text: str) -> "subprocess.Popen[str]":
    """A program that runs one trial on the cluster."""
    folder.mkdir()
    (folder / "text").write_text(text)
    words = [sys.executable, "-c", DRIVER, address, str(folder), str(folder / "text")]
    paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs these tests in the background has its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_counts_the_trials_that_machines_have_room_for() -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 4.0, "GPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0}}]
    assert [slots_of(nodes, share) for share in (0.0, 0.5, 1.0, 2.0)] == [4, 4, 2, 1]
    with pytest.raises(SettingsError, match=r"none of the cluster's 1 machine\(s\) has 1 processor and 4 GPU"):
        slots_of(nodes, 4.0)


def test_keeps_the_options_of_engines_apart() -> None:
    with chosen_engine(EngineOptions(), Wishes(workers=3)) as (engine, wishes):
        assert engine is run_trials
        assert wishes == Wishes(workers=3)
    for options, words in (
        (EngineOptions("spark"), "choose local or ray"),
        (EngineOptions(address="ray://here:1"), "belong to --engine ray"),
        (EngineOptions(gpus_per_trial=1.0), "belong to --engine ray"),
    ):
        with pytest.raises(SettingsError, match=words), chosen_engine(options, Wishes()):
            pass


@pytest.mark.usefixtures("cluster")
class TestOnACluster:
    pytestmark = on_a_cluster

    def test_gives_the_results_that_trials_here_give(self, cluster: Any, tmp_path: Path) -> None:
        settings: list[dict[str, Any]] = [{"seed": 1}, {"seed": 1, "cures": ("exchange_activation:relu",)}]
        (tmp_path / "near").mkdir()
        (tmp_path / "far").mkdir()
        near = [spec_for(tmp_path / "near", SIGMOIDS, steps=10, **setting) for setting in settings]
        run_trials(near, workers=1)
        far = [spec_for(tmp_path / "far", SIGMOIDS, steps=10, **setting) for setting in settings]
        with connected(cluster.address) as engine:
            ends = engine(far, workers=2)
            assert engine(far, workers=2) == ends

        assert [end.exit_code for end in ends] == [0, 0]
        for here, there in zip(near, far, strict=True):
            first, second = read_run(here.run_file), read_run(there.run_file)
            assert np.array_equal(first.losses[0].values, second.losses[0].values)
            assert first.fingerprints == second.fingerprints
        finals = [read_run(spec.run_file).losses[0].values[-1] for spec in far]
        assert finals[0] != finals[1]

    def test_runs_a_trial_again_whose_machine_is_lost(self, cluster: Any, tmp_path: Path, meeting: Meeting) -> None:
        process = driver(cluster.address, tmp_path / "far", meeting.text)
        try:
            _, pid, folder = meeting.meet()
            assert not Path(folder).is_relative_to(tmp_path)
            ancestors = set(ancestors_of(pid))
            nodes = [node for node in cluster.worker_nodes if raylet_of(node) in ancestors]
            assert len(nodes) == 1
            cluster.remove_node(nodes[0], allow_graceful=False)
            link, again, _ = meeting.meet()
            assert again != pid
            assert not is_alive(pid)
            link.sendall(b"!")
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
            cluster.add_node(num_cpus=1)
        assert output == "[0] 2\n", errors

    def test_ends_its_trials_on_interrupt_and_leaves_nothing(
        self, cluster: Any, tmp_path: Path, meeting: Meeting
    ) -> None:
        process = driver(cluster.address, tmp_path / "far", meeting.text)
        try:
            _, pid, folder = meeting.meet()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        deadline = time.monotonic() + 15.0
        while is_alive(pid) or Path(folder).exists():
            assert time.monotonic() < deadline, (is_alive(pid), folder)
            time.sleep(0.1)
        assert process.returncode != 0
        assert "KeyboardInterrupt" in errors
        assert PREFIX in folder
        assert not list((tmp_path / "far").glob("trials/*"))

    def test_reaches_a_cluster_as_a_client(self, cluster: Any, tmp_path: Path) -> None:
        process = driver(f"ray://127.0.0.1:{CLIENT_PORT}", tmp_path / "far", SIGMOIDS)
        output, errors = process.communicate(timeout=200)
        assert output == "[0] 2\n", errors


@pytest.mark.slow
def test_says_that_ray_is_missing() -> None:
    program = (
        "import sys; sys.modules['ray'] = None\n"
        "from gradiometer.curing.trials.ray_engine import connected\n"
        "with connected(None): pass"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'gradiometer[ray]'" in done.stderr


def ancestors_of(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid


def raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
