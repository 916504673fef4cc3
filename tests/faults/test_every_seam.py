"""A fault at every seam: each function of gradiometer that runs inside a training is made to fail, one at a time."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType

import pytest
import torch
from torch.nn.modules import module as hooks_of_modules
from torch.optim import optimizer as hooks_of_optimizers
from torch.overrides import _get_current_function_mode_stack

import gradiometer
from gradiometer.launching.launch import Launch, LaunchResult, launch_script
from gradiometer.launching.script import Target
from gradiometer.measuring import backward, batch_watch, loaders, scaling
from gradiometer.recording.keeping import Keeping, bounds_from
from gradiometer.recording.reader import read_run

PLACE = str(Path(gradiometer.__file__).parent)

DOORS = frozenset(
    {
        "Discovery._attach_late",
        "Discovery._constructed",
        "Discovery.after_backward",
        "Discovery.after_gradients",
        "Discovery.before_backward",
        "Discovery.before_gradients",
        "Discovery.wants_gradients_of",
        "Probe.wants_gradients_of",
        "BatchWatch.note_if_watched",
        "StepObserver.around_function",
        "as_tuple",
        "who_wants",
        "tell",
    }
)
"""What torch's own functions are exchanged for calls these, and all they do is inside of a guard: to be called is the
one thing that can fail in them. Functions that torch calls itself are no seams for the same reason."""

SCRIPTS = {
    "modules": """
import torch, switch
switch.on()
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Sigmoid(), torch.nn.Linear(8, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs, targets = torch.randn(32, 8), torch.randint(0, 3, (32,))
for step in range(9):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
switch.off()
print(sum(one.double().sum().item() for one in model.parameters()).hex())
""",
    "functions, loaders and scalers": """
import torch, switch
from torch.utils.data import DataLoader, TensorDataset
switch.on()
torch.manual_seed(0)
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = torch.nn.GRU(4, 6, batch_first=True)
        self.body = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.ReLU(inplace=True), torch.nn.LayerNorm(6))
        self.head = torch.nn.Linear(6, 3)
    def forward(self, inputs):
        hidden = self.cell(inputs)[0][:, -1]
        return self.head(torch.nn.functional.dropout(torch.tanh(hidden + self.body(hidden)), 0.1))
model = Net()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
data = TensorDataset(torch.randn(64, 5, 4), torch.randint(0, 3, (64,)))
scaler = torch.amp.GradScaler("cpu")
for epoch in range(2):
    for inputs, targets in DataLoader(data, batch_size=16, shuffle=True):
        optimizer.zero_grad()
        scaler.scale(torch.nn.functional.cross_entropy(model(inputs), targets)).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
switch.off()
print(sum(one.double().sum().item() for one in model.parameters()).hex())
""",
    "two optimizers and gradients handed back": """
import torch, switch
switch.on()
torch.manual_seed(0)
maker = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
judge = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.LeakyReLU(0.2), torch.nn.Linear(8, 1))
first, second = torch.optim.Adam(maker.parameters()), torch.optim.Adam(judge.parameters())
for step in range(6):
    real, noise = torch.randn(16, 2), torch.randn(16, 4)
    second.zero_grad()
    (judge(maker(noise).detach()).mean() - judge(real).mean()).backward()
    second.step()
    gradients = torch.autograd.grad(-judge(maker(noise)).mean(), list(maker.parameters()))
    for parameter, gradient in zip(maker.parameters(), gradients):
        parameter.grad = gradient
    first.step()
switch.off()
print(sum(one.double().sum().item() for model in (maker, judge) for one in model.parameters()).hex())
""",
}

Seam = tuple[str, str]
"""File and name of a function."""


class Tripwire:
    """Watches the calls of gradiometer's functions, by Python's own tracing, and fails one of them.

    Attributes:
        seams: Functions that were called by gradiometer itself while it was on, in their order.
        target: The function that fails at its first call.
        is_tripped: It did.
    """

    def __init__(self) -> None:
        self.seams: dict[Seam, None] = {}
        self.target: Seam | None = None
        self.is_tripped = False

    def on(self) -> None:
        """Begin; the script calls it."""
        sys.settrace(self.look)

    def off(self) -> None:
        """End."""
        sys.settrace(None)

    def look(self, frame: FrameType, event: str, argument: object) -> None:
        """Note a call of gradiometer's own, and fail it where it is the target."""
        code, caller = frame.f_code, frame.f_back
        if not code.co_filename.startswith(PLACE) or caller is None or "<genexpr>" in code.co_qualname:
            return
        if not caller.f_code.co_filename.startswith(PLACE) or code.co_qualname in DOORS:
            return
        seam = (code.co_filename.removeprefix(PLACE), code.co_qualname)
        self.seams[seam] = None
        if seam == self.target and not self.is_tripped:
            self.is_tripped = True
            raise RuntimeError("a fault was put here")


@pytest.fixture
def tripwire() -> Iterator[Tripwire]:
    """A tripwire that scripts find as the module `switch`."""
    made, module = Tripwire(), ModuleType("switch")
    module.on, module.off = made.on, made.off  # type: ignore[attr-defined]
    sys.modules["switch"] = module
    before = sys.gettrace()
    yield made
    sys.settrace(before)
    del sys.modules["switch"]


def launched(name: str, folder: Path) -> tuple[str, str, LaunchResult, list[str]]:
    """Run a script watched: what it printed, what was told, how it ended, and the faults that are recorded."""
    folder.mkdir()
    script = folder / "train.py"
    script.write_text(SCRIPTS[name])
    output, errors, few = io.StringIO(), io.StringIO(), bounds_from("4", "")
    launch = Launch(Target(str(script), None), folder / "run.db", overhead=1.0, keeping=Keeping(few, few))
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        result = launch_script(launch)
    faults = [event.text for event in read_run(folder / "run.db").events if event.kind == "fault"]
    return output.getvalue(), errors.getvalue(), result, faults


def what_is_left() -> list[str]:
    """Everything of gradiometer's that is still in torch's way."""
    tables = {
        "forward hooks": hooks_of_modules._global_forward_hooks,
        "forward pre-hooks": hooks_of_modules._global_forward_pre_hooks,
        "step hooks": hooks_of_optimizers._global_optimizer_post_hooks,
        "step pre-hooks": hooks_of_optimizers._global_optimizer_pre_hooks,
        "function modes": _get_current_function_mode_stack(),
        "listeners": backward.listeners,
        "classes": batch_watch.wrapped,
        "scalers": scaling.listening,
        "loaders": loaders.listening,
    }
    functions = {torch.autograd.backward, torch.autograd.grad, torch.optim.SGD.__init__, torch.compile}
    ours = [str(function) for function in functions if PLACE in function.__code__.co_filename]
    return [name for name, table in tables.items() if table] + ours


def sweep(name: str, folder: Path, tripwire: Tripwire, stride: int, start: int = 0) -> int:
    """Fail every so manieth seam of a script and assert what must hold; tells how many were failed."""
    expected, told, _, faults = launched(name, folder / "untouched")
    assert told == ""
    assert faults == []
    seams = list(tripwire.seams)[start::stride]
    for number, seam in enumerate(seams):
        tripwire.target, tripwire.is_tripped = seam, False
        output, told, result, faults = launched(name, folder / str(number))
        tripwire.off()
        assert output == expected, (seam, told)
        assert result.ending.exit_code == 0, (seam, told)
        assert what_is_left() == [], seam
        if tripwire.is_tripped:
            assert len(faults) == 1, seam
            assert "a fault was put here" in faults[0], seam
            assert told.count("gradiometer:") == 1, (seam, told)
    return len(seams)


@pytest.mark.parametrize("name", SCRIPTS)
def test_trains_on_bit_for_bit_whichever_of_its_functions_fails(name: str, tmp_path: Path, tripwire: Tripwire) -> None:
    assert sweep(name, tmp_path, tripwire, stride=160, start=7) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_trains_on_bit_for_bit_whichever_of_all_its_functions_fails(
    name: str, tmp_path: Path, tripwire: Tripwire
) -> None:
    assert sweep(name, tmp_path, tripwire, stride=1) >= 400
