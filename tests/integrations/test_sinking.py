import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gradiometer
from gradiometer.errors import SettingsError
from gradiometer.integrations import tensorboard
from gradiometer.integrations.scalars import Row
from gradiometer.integrations.sinking import Sink, sink_of
from gradiometer.integrations.tracker import Conclusion, Partner, Tracker, require
from gradiometer.recording.reader import read_run
from gradiometer.schema import Finding, Run


class Notebook:
    """A tracker that writes down what it is told; `breaks_at` names what it can't be told, and one tick takes long."""

    def __init__(self, breaks_at: str = "", busy_seconds: float = 0.0) -> None:
        self.breaks_at = breaks_at
        self.busy_seconds = busy_seconds
        self.rows: list[Row] = []
        self.findings: list[Finding] = []
        self.conclusions: list[Conclusion] = []
        self.is_closed = False

    def told(self, what: str) -> None:
        if what == self.breaks_at:
            raise ConnectionError("the network is down")

    def send(self, rows: Sequence[Row]) -> None:
        self.told("send")
        self.rows.extend(rows)

    def tell(self, finding: Finding) -> None:
        self.told("tell")
        self.findings.append(finding)

    def conclude(self, conclusion: Conclusion) -> None:
        self.told("conclude")
        self.conclusions.append(conclusion)

    def close(self) -> None:
        self.told("close")
        self.is_closed = True

    def tick(self) -> None:
        end, self.busy_seconds = time.thread_time() + self.busy_seconds, 0.0
        while time.thread_time() < end:
            pass

    def join(self, active: object) -> Tracker:
        self.told("join")
        return Tracker("a notebook", self.send, self.tell, self.conclude, self.close, self.tick)

    def found(self) -> "Notebook":
        self.told("find")
        return self

    def partner(self) -> Partner:
        return Partner("notebook", "json", self.opened, self.found, self.join)

    def opened(self, place: str | None, run: Run) -> Tracker:
        raise AssertionError("a run that the script has begun is joined")


def network() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (torch.nn.Linear(16, 16), torch.nn.Sigmoid())]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(16, 4))
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int = 20) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(32, 16, generator=generator)
    targets = torch.randint(0, 4, (32,), generator=generator)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in model.parameters()]


def test_joins_what_the_script_has_begun_and_changes_no_weight() -> None:
    bare = train(*network())
    notebook = Notebook()
    model, optimizer = network()
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching, sink_of(notebook.partner(), watching, None):
        watched = train(model, optimizer)
    assert all(torch.equal(one, other) for one, other in zip(bare, watched, strict=True))
    losses = watching.run.losses[0]
    told = {row.step: row.values["gradiometer/loss"] for row in notebook.rows}
    assert told == dict(zip(losses.steps.tolist(), losses.values.tolist(), strict=True))
    assert notebook.is_closed
    assert [one.diagnosis.verdict for one in notebook.conclusions] == ["broken"]
    assert notebook.findings
    assert notebook.conclusions[0].diagnosis.coverage.seen_count == 13
    page = notebook.conclusions[0].page or ""
    assert page.startswith("<!")
    assert re.search(r"every step measured in full as asked, [\d.]+ m?s in all", page)


def test_books_what_telling_costs_as_measuring() -> None:
    model, optimizer = network()
    # Far more than a step of this network is measured in.
    notebook = Notebook(busy_seconds=0.3)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        sink = sink_of(notebook.partner(), watching, None, has_page=False).start()
        train(model, optimizer, steps=2)
        until(lambda: sink.spent_seconds >= 0.3)
        spent_seconds = watching.session.budget.spent_seconds
        train(model, optimizer, steps=1)
        assert watching.session.budget.spent_seconds - spent_seconds >= 0.3
        sink.stop()


def until(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


@pytest.mark.parametrize("breaks_at", ["find", "join", "send", "tell", "conclude", "close"])
def test_says_a_fault_of_a_tracker_once_and_trains_on(breaks_at: str, capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer = network()
    notebook = Notebook(breaks_at)
    watching = gradiometer.watch(model, optimizer)
    with watching, sink_of(notebook.partner(), watching, None, has_page=False) as sink:
        watched = train(model, optimizer)
    bare = train(*network())
    assert all(torch.equal(one, other) for one, other in zip(bare, watched, strict=True))
    assert sink.fault == "ConnectionError: the network is down"
    assert capsys.readouterr().err.count("notebook is told no more: ConnectionError: the network is down") == 1
    told = [event.text for event in watching.run.events if event.kind == "note"]
    assert told == ["notebook is told no more: ConnectionError: the network is down"]


def test_says_what_to_do_without_a_run_to_join_or_a_file_to_follow(capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer = network()
    with gradiometer.watch(model, optimizer) as watching, tensorboard.sink(watching) as sink:
        train(model, optimizer)
    assert "give gradiometer.watch a file" in str(sink.fault)
    assert "Training goes on." in capsys.readouterr().err


def test_tells_nothing_of_a_training_that_took_no_step(tmp_path: Path) -> None:
    model, optimizer = network()
    with gradiometer.watch(model, optimizer) as watching, sink_of(Notebook().partner(), watching, None) as sink:
        pass
    assert (sink.fault, sink.place) == (None, None)


def test_names_the_extra_of_a_tracker_that_is_not_installed() -> None:
    absent = Partner("nowhere", "no_such_package_is_installed", Notebook().opened)
    with pytest.raises(SettingsError, match=r"pip install 'gradiometer\[nowhere\]'"):
        require(absent)


def test_tells_tensorboard_from_a_process_beside(tmp_path: Path) -> None:
    model, optimizer = network()
    file, folder = tmp_path / "run.db", tmp_path / "events"
    with gradiometer.watch(model, optimizer, file=file) as watching, tensorboard.sink(watching, folder) as sink:
        train(model, optimizer)
    assert (sink.fault, sink.place) == (None, f"tensorboard --logdir {folder}")
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    told = {one.step: one.value for one in events.Scalars("gradiometer/loss")}
    losses = read_run(file).losses[0]
    assert told == {step: pytest.approx(loss) for step, loss in zip(losses.steps.tolist(), losses.values, strict=True)}
    assert events.Tensors("gradiometer_verdict")


@pytest.mark.slow
def test_tells_the_verdict_and_leaves_no_process_where_the_training_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import torch, sys, time\n"
        "model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(4)])\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)\n"
        "while True:\n"
        "    optimizer.zero_grad(); model(torch.ones(4, 8)).sum().backward(); optimizer.step(); time.sleep(0.01)\n"
    )
    file, folder = tmp_path / "run.db", tmp_path / "events"
    words = ["-m", "gradiometer", "run", "--quiet", "--file", str(file), "--to", f"tensorboard:{folder}", str(script)]
    process = subprocess.Popen([sys.executable, "-P", *words], stderr=subprocess.DEVNULL)
    until(lambda: any(folder.glob("events*")), 60.0)
    beside = children_of(process.pid)
    assert beside
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not any(Path(f"/proc/{one}").exists() for one in beside), 60.0)
    events = EventAccumulator(str(folder)).Reload()
    assert events.Tensors("gradiometer_verdict")
    assert events.Scalars("gradiometer/loss")


def children_of(process: int) -> list[int]:
    """Processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_reads_its_order_and_answers_in_one_json_object(tmp_path: Path) -> None:
    order = {"tracker": "tensorboard", "file": str(tmp_path / "no.db"), "place": None, "has_page": True}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "gradiometer.integrations.told_beside", json.dumps(order)],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "no.db" in json.loads(done.stdout)["fault"]
    assert "tensorboard is told no more" in done.stderr


def test_lets_go_only_in_the_process_that_began(tmp_path: Path) -> None:
    model, optimizer = network()
    notebook = Notebook()
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        sink = Sink(notebook.partner(), watching.session, has_page=False).start()
        train(model, optimizer, steps=2)
        child = os.fork()
        if child == 0:
            sink.stop()
            os._exit(int(bool(notebook.conclusions)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        sink.stop()
    assert len(notebook.conclusions) == 1
