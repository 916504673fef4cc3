"""Sound run files, from which hostile ones are made: a small training watched in full, with an outcome of trials."""

import json
import sqlite3
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

import gradiometer
from gradiometer.recording.writer import RunWriter
from gradiometer.schema import Contrast, Endpoint, Event, Outcome, Ranking, Trial
from gradiometer.schema.replayed import Operation, Replay, TensorRange

STEPS = 10

LOSSES, CURED = (2.303, 2.302, 2.304, 2.301, 2.303), (0.12, 0.10, 0.17, 0.09, 0.14)
CURES = ("exchange_activation:relu", "redraw_weights:he")

OPERATION = Operation(
    3,
    "log",
    "forward",
    "body.2",
    "train.py:7",
    "",
    (TensorRange("batch", (16, 8), "float32", 0.0, 1.0),),
    (TensorRange("", (16, 8), "float32", None, None, 0, 128),),
)

FACTS: dict[str, Any] = {
    "script": "train.py",
    "arguments": ["--epochs", "3"],
    "command": "python train.py --epochs 3",
    "is_module": False,
    "working_directory": "/home/ann/project",
    "seed": 3,
    "exit_code": 0,
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "traceback": "Traceback (most recent call last):\n  File 'train.py', line 3\nValueError: no",
    "process_count": 2,
    "updates_measured": True,
    "cures": list(CURES),
    "sieve": "trial",
    "refusal": "",
    "refusal_at_end": "no optimizer was made",
    "cure_fault": "Traceback (most recent call last):\n  File 'cure.py', line 3\nValueError: no",
    "cure_changes": [{"cure": "redraw_weights:he", "layers": ["body.0"], "text": "weights drawn anew"}],
    "optimizer_site": "train.py:12",
    "optimizer_sites": ["train.py:12", "train.py:13"],
    "sources": {"train.py": "0123456789abcdef"},
    "seeding_calls": 1,
    "startup_seconds": 0.5,
    "unguarded": ["subprocess.Popen"],
    "initial_weights_fingerprint": "0123456789abcdef",
    "evaluation": {"forward_count": 2, "losses": {"train.py:30": [[3, 0.5], [7, 0.4]]}, "fault": ""},
    "original_losses": [[0.5, 0.4], [0.3, None]],
    "range_test": {"base_rates": [[0.1]], "multipliers": [[0, 1.0], [1, 2.0], [2, 4.0]]},
    "replay": asdict(Replay(7, OPERATION, "", (OPERATION,), 40, 7, None, ("nothing else",))),
}
"""Facts that only `run`, `cure` and `replay` write, beside those of a watched loop."""


class Network(nn.Module):
    """A few sigmoids and a recurrent layer: every table of the run file has rows."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.LSTM(6, 8, batch_first=True)
        self.body = nn.Sequential(
            nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
        )

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Classify sequences [batch time features]."""
        states, _ = self.memory(batch)
        classes: torch.Tensor = self.body(states[:, -1])
        return classes


def made_outcome() -> Outcome:
    """Five pairs, a cure proved, with all that is compared beside."""
    contrast = Contrast("better", "train.py:31", LOSSES, CURED, (3.0, 3.0, 3.0, 3.0, 3.0), -2.1, (-2.2, -2.0), 0.99)
    endpoint = Endpoint("levels", LOSSES, CURED, -2.1, (-2.2, -2.0), "better", "balanced in 5 of 5", 0.99)
    ranking = (
        Ranking(CURES, "trial", "better", 0.12, -2.1, (-2.2, -2.0), "", -3.0, 12.0, "asked for by its cause"),
        Ranking(("clip_gradients",), "race", None, 2.3, None, None, "others were better", None, None, ""),
    )
    return Outcome(
        verdict="better",
        cures=CURES,
        control=LOSSES,
        treated=CURED,
        difference=-2.1,
        interval=(-2.2, -2.0),
        confidence=0.9967,
        is_paired=True,
        control_shows_fault=True,
        ranking=ranking,
        snippet="model.body[1] = nn.ReLU()\n",
        detail="",
        held_out=(contrast,),
        held_out_detail="",
        equal_time=contrast,
        endpoints=(endpoint,),
    )


def made_trials() -> list[Trial]:
    """Pairs of the control and the cure, and one that failed."""
    pairs = [
        Trial(cures, seed, "trial", f"trials/{seed}/run.db", "done", loss, 50, 1.5, is_paired=True)
        for cures, losses in (((), LOSSES), (CURES, CURED))
        for seed, loss in enumerate(losses)
    ]
    return [*pairs, Trial(("clip_gradients",), 9, "race", "trials/9/run.db", "failed", None, 3, 0.2, detail="it broke")]


def record_training(path: Path) -> None:
    """Train and record; the last steps have no finite loss."""
    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(STEPS * 16, 12, 6), torch.randint(0, 3, (STEPS * 16,))), 16
    )
    with gradiometer.watch(model, optimizer, file=path, overhead=1.0):
        for step, (batch, target) in enumerate(batches):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(batch if step < STEPS - 2 else batch * float("nan")), target)
            loss.backward()
            optimizer.step()


def sound_run_file() -> bytes:
    """The content of a run file in which every table has rows."""
    with tempfile.TemporaryDirectory(prefix="gradiometer-") as folder:
        path = Path(folder) / "run.db"
        record_training(path)
        with RunWriter(path, is_resumed=True) as writer:
            writer.add_facts(FACTS)
            writer.add_trials(made_trials())
            writer.set_outcome(made_outcome())
            writer.add_event(Event(5, "note", "the loss jumps"))
        connection = sqlite3.connect(path)
        try:
            connection.execute("VACUUM")
        finally:
            connection.close()
        return path.read_bytes()


def kept_batch() -> bytes:
    """The content of a file as the flight recorder keeps it."""
    header = {"gradiometer": json.dumps({"step": 3, "reason": "loss", "is_overwritten": [False]})}
    return save({"batch.0.0": torch.ones(4, 3), "random.0.torch": torch.get_rng_state()}, metadata=header)
