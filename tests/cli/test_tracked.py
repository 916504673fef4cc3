import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.cli.tracked import destinations_in
from gradiometer.errors import SettingsError
from gradiometer.integrations.tracker import TRACKERS
from gradiometer.recording.reader import read_run
from showing.made_run import write_made_run

SCRIPT = """
import torch
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(50):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(torch.randn(16, 8)), torch.randint(0, 2, (16,))).backward()
    optimizer.step()
print("the script's own words")
"""

WITHOUT_NETWORK = """
import sys

def refuse(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not arguments[1][0].startswith("127."):
        raise ConnectionError(f"a connection to {arguments[1]}")
    if event == "socket.getaddrinfo" and arguments[0] not in {"localhost", "127.0.0.1", None}:
        raise ConnectionError(f"the address of {arguments[0]} was asked for")

sys.addaudithook(refuse)
from gradiometer.cli import main
main()
"""


def gradiometer_run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", *words],
        capture_output=True,
        text=True,
        timeout=200,
        # MLflow and others keep their telemetry from tests and from CI; here they are to behave as with people.
        env={name: value for name, value in os.environ.items() if name not in {"PYTEST_CURRENT_TEST", "CI"}}
        | environment,
    )


def test_tells_tensorboard_of_a_recorded_run(tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db", hidden_count=2)
    words = ["export", str(file), "--to", f"tensorboard:{tmp_path / 'events'}", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    (told,) = json.loads(result.stdout)["told"]
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"scalars": 0}).Reload()
    assert told["number_count"] == sum(len(events.Scalars(tag)) for tag in events.Tags()["scalars"])
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, SettingsError)
    assert "choose another folder" in str(again.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "wandb", "--output", "x"], "--output goes with tables alone"),
        (["--to", "wandb", "--figures", "html"], "--figures goes with tables alone"),
        (["--to", "csv", "--follow"], "--follow goes with a tracker alone"),
        (["--to", "tensorboard:a,mlflow", "--follow"], "start another for each"),
        (["--to", "tensorboard,neptune"], "there is no tracker 'neptune': choose tensorboard, wandb, mlflow, trackio"),
    ],
)
def test_says_which_option_does_not_go_with_which(words: list[str], said: str, tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db", hidden_count=2)
    result = CliRunner().invoke(app, ["export", str(file), *words])
    assert isinstance(result.exception, SettingsError)
    assert said in str(result.exception)


def test_reads_trackers_with_their_places() -> None:
    read = destinations_in(r"tensorboard:C:\runs\first, mlflow")
    assert [(one.partner.name, one.place) for one in read] == [("tensorboard", r"C:\runs\first"), ("mlflow", None)]
    with pytest.raises(SettingsError, match="names a tracker twice"):
        destinations_in("mlflow,mlflow:again")


def test_refuses_a_tracker_that_is_not_known_before_the_script_runs(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    result = CliRunner().invoke(app, ["run", "--to", "neptune", str(tmp_path / "train.py")])
    assert isinstance(result.exception, SettingsError)
    assert "there is no tracker 'neptune'" in str(result.exception)


@pytest.mark.slow
def test_tells_a_tracker_while_a_script_runs_and_leaves_its_words_alone(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    file, folder = tmp_path / "run.db", tmp_path / "events"
    words = ["run", "--quiet", "--file", str(file), "--to", f"tensorboard:{folder}", str(tmp_path / "train.py")]
    done = gradiometer_run("-m", "gradiometer", *words)
    assert done.returncode == 0
    assert done.stdout == "the script's own words\n"
    assert f"Told tensorboard:  tensorboard --logdir {folder}" in done.stderr
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    assert [one.step for one in events.Scalars("gradiometer/loss")] == read_run(file).losses[0].steps.tolist()


@pytest.mark.slow
def test_follows_a_run_until_it_is_over(tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db", hidden_count=2)
    words = ["export", str(file), "--to", f"tensorboard:{tmp_path / 'events'}", "--follow", "--json"]
    done = gradiometer_run("-m", "gradiometer", *words)
    assert json.loads(done.stdout)["told"][0]["number_count"] > 300


@pytest.mark.timeout(60)
def test_does_not_follow_a_run_that_was_killed_for_ever(tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db", hidden_count=2, status="running")
    long_ago = time.time() - 7200.0
    os.utime(file, (long_ago, long_ago))
    words = ["export", str(file), "--to", f"tensorboard:{tmp_path / 'events'}", "--follow"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "numbers, tensorboard --logdir" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_makes_no_connection_where_a_tracker_is_kept_on_this_machine(tracker: str, tmp_path: Path) -> None:
    file = write_made_run(tmp_path / "ten.db", hidden_count=2)
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        threading.Thread(target=listen, args=(proxy, calls), daemon=True).start()
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        done = gradiometer_run(
            "-c",
            WITHOUT_NETWORK,
            *("export", str(file), "--to", f"{tracker}:{tmp_path / 'place'}" if tracker == "tensorboard" else tracker),
            HTTP_PROXY=address,
            HTTPS_PROXY=address,
            ALL_PROXY=address,
            NO_PROXY="localhost",
            WANDB_MODE="offline",
            WANDB_DIR=str(tmp_path),
            MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}",
            TRACKIO_DIR=str(tmp_path / "trackio"),
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tracker}: ")
    assert calls == []


def listen(proxy: socket.socket, calls: list[object]) -> None:
    """Note every connection until the socket is closed."""
    while True:
        try:
            connection, address = proxy.accept()
        except OSError:
            return
        calls.append(address)
        connection.close()
