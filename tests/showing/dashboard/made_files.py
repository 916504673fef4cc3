"""Run files for the dashboard's tests: finished, growing, deep, and with names that are meant to do harm."""

from pathlib import Path

from gradiometer.recording.writer import RunWriter
from gradiometer.schema import StepStats
from showing.made_run import made_snapshot, parameters_of, sigmoid_layers

HARMFUL = "<script>alert(1)</script>."
"""Beginning of a layer's name that must be shown and not be run."""


class GrowingRun:
    """A run file that a test writes on, as a training would."""

    def __init__(self, path: Path, *, hidden_count: int = 10, prefix: str = "body.") -> None:
        self.layers = sigmoid_layers(hidden_count, prefix)
        self.parameters = parameters_of(self.layers)
        self.writer = RunWriter(path)
        self.writer.add_facts({"script": "train.py", "arguments": ["--epochs", "3"], "is_module": False})
        self.writer.add_layers(self.layers)
        self.writer.add_parameters(self.parameters)
        self.step = 0

    def grow(self, *, loss: float = 2.303, is_measured: bool = False) -> None:
        """Take one step, measured in full or not."""
        if is_measured:
            self.writer.add_snapshot(made_snapshot(self.layers, self.parameters, self.step))
        losses = (("train.py:31", loss, 1, 0),)
        self.writer.add_step(StepStats(self.step, losses=losses, learning_rate=0.1, step_seconds=0.004))
        self.step += 1

    def finish(self) -> None:
        """End well."""
        self.writer.add_facts({"status": "finished"})
        self.writer.close()
        assert self.writer.fault is None


def write_run(
    path: Path, *, step_count: int = 40, every: int = 4, hidden_count: int = 10, prefix: str = "body."
) -> Path:
    """Write a finished run, every so many steps measured in full."""
    run = GrowingRun(path, hidden_count=hidden_count, prefix=prefix)
    for step in range(step_count):
        run.grow(loss=2.3 - 0.001 * step, is_measured=step % every == 0)
    run.finish()
    return path
