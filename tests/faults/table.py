"""Faults that a training may meet while it is watched: how each is brought about, and what must hold.

None is made up inside gradiometer: a script, its environment or the operating system does it. What holds for all is
not in the table: the script's output and its weights are those of an unwatched run of the same script, bit for bit,
and no traceback of ours is printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from textwrap import indent

SCRIPT = """
import os, signal, subprocess, sys, threading, time
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(8, 8)
        self.second = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Tanh())
        self.last = torch.nn.Linear(8, 3)

    def forward(self, inputs):
        hidden = torch.relu(self.first(inputs))
        return self.last(torch.nn.functional.dropout(self.second(hidden), 0.1))

def main():
    torch.manual_seed(0)
    model = Net()
    inputs, targets = torch.randn(32, 8), torch.randint(0, 3, (32,))
    {start}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def save():
        numbers = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        with open(FOLDER + "/weights", "wb") as file:
            file.write(bytes(numbers.as_subclass(torch.Tensor).view(torch.uint8).tolist()))

    for step in range(40):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
        if step == 9:
            {amid}
        time.sleep({pause})
    save()
    print("end", flush=True)

FOLDER, RUN = os.path.dirname(os.path.abspath(__file__)), os.environ.get("RUN_FILE", "")

if __name__ == "__main__":
    main()
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        start: Statements of the script, before its optimizer is made.
        amid: Statements after its tenth step.
        pause_seconds: Rest after every step, where what is written in between matters.
        told: What stderr says, once; empty where nothing is said.
        recorded: What an event of the run file says; empty where there is nothing to record, None where no file is
            left.
        status: The run's status in its file; empty where it can't be written.
        code: Exit code where that of the unwatched script is another one: it dies of a signal, and we say so.
        environment: Environment variables.
        streams: Standard streams that are closed (`<`, `>`, `2`), or have nobody at their other end (`|`, `2|`).
        is_fresh: It needs an interpreter of its own.
    """

    start: str = "pass"
    amid: str = "pass"
    pause_seconds: float = 0.0
    told: str = ""
    recorded: str | None = ""
    status: str = "finished"
    code: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    streams: str = ""
    is_fresh: bool = False


OWN = "a fault of its own ended the measuring"

SHAPELESS = """
    class Odd(torch.Tensor):
        @property
        def shape(self):
            raise RuntimeError("it has no shape")
    model.first.register_forward_hook(lambda module, given, output: output.as_subclass(Odd))
    model.last.register_forward_pre_hook(lambda module, given: (given[0].as_subclass(torch.Tensor),))
"""

MEASURED = """
    def is_measured(frame):
        for _ in range(12):
            if frame is not None and f"{os.sep}measuring{os.sep}" in frame.f_code.co_filename:
                return not frame.f_code.co_filename.endswith("backward.py")
            frame = frame and frame.f_back
"""

UNREADABLE = f"""
{MEASURED}
    class Silent(torch.nn.Parameter):
        @classmethod
        def __torch_function__(kind, function, types, args=(), kwargs=None):
            if is_measured(sys._getframe()):
                raise RuntimeError("its norm can't be taken")
            return super().__torch_function__(function, types, args, kwargs or {{}})
    model.last.weight = Silent(model.last.weight.detach())
"""

OUT_OF_MEMORY = f"""
{MEASURED}
    from torch.utils._python_dispatch import TorchDispatchMode
    class Scarce(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if is_measured(sys._getframe()):
                raise torch.OutOfMemoryError("no memory left for a reduction")
            return function(*args, **(kwargs or {{}}))
    Scarce().__enter__()
"""

NO_MORE_MEMORY = """
    import ctypes, resource
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    with open("/proc/self/statm") as file:
        held = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held, resource.getrlimit(resource.RLIMIT_AS)[1]))
    # Pieces of 64 KiB until there are none, and some of them back: numbers find room, no larger tensor does.
    pieces = list(iter(lambda: library.malloc(65536), None))
    for piece in pieces[:40:2]:
        library.free(piece)
"""

HALVES = "model.bfloat16(); inputs = inputs.bfloat16()"

DEFAULT_DEVICE = """
    torch.set_default_device("meta")
    model.second.register_forward_hook(lambda *rest: print(torch.empty(1).device))
"""

HOLD_LOCKED = (
    "import sqlite3, sys, time; held = sqlite3.connect(sys.argv[1]); held.execute('BEGIN EXCLUSIVE'); "
    "print('held', flush=True); time.sleep(float(sys.argv[2]))"
)

FAULTS: dict[str, Fault] = {
    "an output without a shape": Fault(start=SHAPELESS, told=OWN, recorded="it has no shape"),
    "a parameter that can't be read": Fault(start=UNREADABLE, told=OWN, recorded="its norm can't be taken"),
    "no memory for a reduction": Fault(start=OUT_OF_MEMORY, told=OWN, recorded="no memory left"),
    "the system has no more memory from the start": Fault(
        start=NO_MORE_MEMORY, told=OWN, recorded="can't allocate memory"
    ),
    "the system has no more memory amid a training": Fault(
        start=HALVES, amid=indent(NO_MORE_MEMORY, 8 * " "), told=OWN, recorded="can't allocate memory"
    ),
    "warnings are errors": Fault(start="import warnings; warnings.simplefilter('error')"),
    "another default device": Fault(start=DEFAULT_DEVICE, told=OWN, recorded="meta"),
    "another default number format": Fault(start="torch.set_default_dtype(torch.float64)"),
    "the recording thread dies": Fault(
        amid="""
            import ctypes
            for thread in threading.enumerate():
                if thread.name == "gradiometer-recording":
                    number, end = ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(number, end)
                    thread.join(5)
""",
        pause_seconds=0.001,
    ),
    "a full disk": Fault(
        amid="""
            import resource
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            most = resource.getrlimit(resource.RLIMIT_FSIZE)
            # Less than the file has: whatever makes it or its log longer fails, for a while.
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most[1]))
            time.sleep(0.5)
            resource.setrlimit(resource.RLIMIT_FSIZE, most)
""",
        told="gradiometer: Recording stopped",
        recorded="Recording stopped",
    ),
    "the run file is deleted": Fault(
        amid="if RUN: os.remove(RUN)", pause_seconds=0.02, told="was deleted or moved", recorded=None
    ),
    "the folder is removed": Fault(
        amid="import shutil; shutil.rmtree(os.path.dirname(RUN)) if RUN else None",
        pause_seconds=0.02,
        told="was deleted or moved",
        recorded=None,
    ),
    "the working directory is removed": Fault(
        amid="import tempfile; place = tempfile.mkdtemp(); os.chdir(place); os.rmdir(place)"
    ),
    "no more open files": Fault(
        amid="""
            import resource
            most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, most[1]))
            time.sleep(0.5)
            resource.setrlimit(resource.RLIMIT_NOFILE, most)
"""
    ),
    "the clock jumps": Fault(
        start="real = time.time; time.time = lambda: real() + (1e6 if int(real() * 7) % 2 else -1e6)",
        pause_seconds=0.01,
    ),
    "a fork that trains on": Fault(
        amid="""
            child = os.fork()
            if not child:
                for more in range(5):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(inputs), targets).backward()
                    optimizer.step()
                sys.exit(5)
            print("child", os.waitpid(child, 0)[1] >> 8, flush=True)
""",
        pause_seconds=0.01,
    ),
    "another training in a thread": Fault(
        start="""
    def beside():
        other = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        stepper = torch.optim.Adam(other.parameters())
        while not ended:
            stepper.zero_grad(); other(torch.ones(2, 4)).sum().backward(); stepper.step()
    ended = []
    thread = threading.Thread(target=beside)
""",
        amid="""
            state = torch.get_rng_state()
            thread.start(); time.sleep(0.1); ended.append(1); thread.join()
            torch.set_rng_state(state)
""",
        pause_seconds=0.005,
    ),
    "os._exit": Fault(amid="save(); os._exit(7)", told="os._exit(7)", status="running"),
    "SIGINT": Fault(
        start="signal.signal(signal.SIGINT, signal.default_int_handler)",
        amid="save(); os.kill(os.getpid(), signal.SIGINT); time.sleep(9)",
        status="interrupted",
        code=130,
    ),
    "SIGTERM": Fault(
        amid="save(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", status="interrupted", code=143
    ),
    "SIGHUP": Fault(
        amid="save(); time.sleep(0.6); os.kill(os.getpid(), signal.SIGHUP); time.sleep(9)", status="running"
    ),
    "SIGUSR1 with a handler": Fault(
        start="signal.signal(signal.SIGUSR1, lambda *rest: print('handled', flush=True))",
        amid="os.kill(os.getpid(), signal.SIGUSR1)",
    ),
    "an exception": Fault(
        amid="save(); raise ValueError('the script fails')", told="the script fails", status="failed"
    ),
    "nobody reads stdout": Fault(streams="|", status="failed"),
    "nobody reads stderr": Fault(streams="2|"),
    "stdin is closed": Fault(streams="<"),
    "stdout is closed": Fault(streams=">"),
    "stderr is closed": Fault(streams="2"),
    "stderr is taken away": Fault(amid="sys.stderr = None"),
    "a fault with stderr taken away": Fault(start=OUT_OF_MEMORY, amid="sys.stderr = None", recorded="no memory left"),
    "no folder for temporary files": Fault(environment={"TMPDIR": "/nowhere"}, is_fresh=True),
    "an old locale": Fault(
        environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"},
        is_fresh=True,
    ),
    "another program locks the run file": Fault(
        amid=f"""
            if RUN:
                holder = subprocess.Popen(
                    [sys.executable, "-c", {HOLD_LOCKED!r}, RUN, "32"], stdout=subprocess.PIPE
                )
                holder.stdout.readline()
            time.sleep(31 if RUN else 0)
            if RUN:
                holder.wait(); holder.stdout.close()
""",
        pause_seconds=0.01,
    ),
    "workers that are spawned": Fault(
        amid="""
            loader = torch.utils.data.DataLoader(
                list(range(8)), batch_size=2, num_workers=2, multiprocessing_context="spawn"
            )
            print([batch.tolist() for batch in loader], flush=True)
""",
        is_fresh=True,
    ),
}
"""By name."""
