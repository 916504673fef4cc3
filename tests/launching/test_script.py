"""Every test runs the same files by `python` and by gradiometer, in real processes, and compares the two."""

import os
import py_compile
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gradiometer.errors import ScriptError
from gradiometer.launching.script import Target, run_target

LAUNCHER = """
import sys
from gradiometer.launching.script import Target, run_target
def told():
    print("torch was imported", file=sys.stderr)
arguments = sys.argv[1:]
is_module = arguments[0] == "-m"
target = Target(None, arguments[1], tuple(arguments[2:])) if is_module else Target(arguments[0], None, tuple(arguments[1:]))
ending = run_target(target, when_torch_is_imported=told)
raise SystemExit(ending.exit_code)
"""  # noqa: E501


@pytest.fixture
def launcher(tmp_path_factory):
    path = tmp_path_factory.mktemp("launcher") / "launcher.py"
    path.write_text(LAUNCHER)
    return path


def run(command, cwd, **more):
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=100, **more)


@pytest.fixture
def both(launcher, tmp_path):
    """Run by python and by gradiometer; return the two results after checking that they are the same."""

    def compare(*arguments, **more):
        bare = run([sys.executable, *arguments], tmp_path, **more)
        ours = run([sys.executable, launcher, *arguments], tmp_path, **more)
        assert ours.stdout == bare.stdout
        assert without_runpy(ours.stderr) == without_runpy(bare.stderr)
        assert ours.returncode == bare.returncode
        return ours

    return compare


def without_runpy(stderr):
    """Python shows the frames of runpy above those of a module; they are not the script's."""
    return "".join(line for line in stderr.splitlines(keepends=True) if "frozen runpy" not in line)


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


NAMESPACE = """
import sys, __main__
print(sys.argv, sys.path[0], __name__, __file__, __package__, repr(__builtins__)[:30])
print(__spec__ and __spec__.name, type(__loader__).__name__, __main__.__dict__ is globals())
print(sorted(n for n in globals() if n.startswith("__")))
"""


def test_gives_a_script_the_arguments_path_and_main_module_of_python(both, tmp_path):
    write(tmp_path, "deep/train.py", NAMESPACE + "import sibling\n")
    write(tmp_path, "deep/sibling.py", "print('sibling', __name__)\n")
    result = both("deep/../deep/train.py", "--steps", "3", "a b")
    assert "sibling" in result.stdout


def test_follows_a_link_to_the_folder_of_the_script_behind_it(both, tmp_path):
    write(tmp_path, "real/train.py", NAMESPACE + "import sibling\n")
    write(tmp_path, "real/sibling.py", "print('sibling')\n")
    (tmp_path / "link.py").symlink_to("real/train.py")
    both("link.py")


def test_runs_a_module_a_package_and_a_module_inside_one(both, tmp_path):
    write(tmp_path, "package/__init__.py", "print('init', __name__)\n")
    write(tmp_path, "package/__main__.py", NAMESPACE + "from . import part\n")
    write(tmp_path, "package/part.py", NAMESPACE)
    both("-m", "package", "--steps", "3")
    both("-m", "package.part", "x")
    both("-m", "package.__main__")


def test_shows_the_traceback_of_a_failing_module(both, tmp_path):
    write(tmp_path, "package/__init__.py", "")
    write(tmp_path, "package/part.py", "import package\n1 / 0\n")
    write(tmp_path, "broken/__init__.py", "import not_there_at_all\n")
    write(tmp_path, "broken/part.py", "")
    assert "ZeroDivisionError" in both("-m", "package.part").stderr


def test_runs_a_folder_and_a_zip_archive(both, tmp_path):
    write(tmp_path, "app/__main__.py", NAMESPACE + "import inside\nraise ValueError(inside.word)\n")
    write(tmp_path, "app/inside.py", "word = 'wörd'\n")
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as archive:
        archive.write(tmp_path / "app/__main__.py", "__main__.py")
        archive.write(tmp_path / "app/inside.py", "inside.py")
    both("app", "1")
    assert "wörd" in both("app.zip", "1").stderr


def test_runs_a_compiled_file(both, tmp_path):
    source = write(tmp_path, "source.py", NAMESPACE)
    py_compile.compile(str(source), cfile=str(tmp_path / "train.pyc"))
    both("train.pyc")


def test_reads_a_script_in_its_own_encoding(both, tmp_path):
    write(tmp_path, "train.py", "# -*- coding: latin-1 -*-\nprint('é', len('é'))\nraise ValueError('ü')\n", "latin-1")
    both("train.py")
    write(tmp_path, "marked.py", "print('é')\n", "utf-8-sig")
    both("marked.py")


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "raise SystemExit",
        "raise SystemExit(None)",
        "raise SystemExit(7)",
        "raise SystemExit(-1)",
        "raise SystemExit(True)",
        "raise SystemExit('no data')",
        "raise SystemExit(('a', 1))",
        "raise SystemExit(2.5)",
        "import os; os._exit(9)",
        "import atexit; atexit.register(print, 'at exit'); print('before')",
    ],
)
def test_ends_with_the_exit_code_and_words_of_the_script(both, tmp_path, ending):
    write(tmp_path, "train.py", ending + "\n")
    both("train.py")


@pytest.mark.parametrize(
    "fault",
    [
        "def inner():\n    raise ValueError('inner')\ninner()",
        "try:\n    1 / 0\nexcept ZeroDivisionError as fault:\n    raise KeyError('second') from fault",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    open('/not/there')",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError('alone') from None",
        "raise ExceptionGroup('many', [ValueError(1), TypeError(2)])",
        "import not_there_at_all",
        "x = = 1",
        "def f():\n  x\n y",
        "import sys\nsys.excepthook = lambda kind, value, trace: print('hook', kind, trace.tb_lineno)\n1 / 0",
        "import sys\ndef hook(*all):\n    raise OSError('in the hook')\nsys.excepthook = hook\n1 / 0",
        "import sys\ndef hook(*all):\n    sys.exit(5)\nsys.excepthook = hook\n1 / 0",
        "error = ValueError('noted')\nerror.add_note('a note')\nraise error",
    ],
)
def test_prints_the_traceback_that_python_prints(both, tmp_path, fault):
    write(tmp_path, "train.py", "import os\n" + fault + "\n")
    assert both("train.py").returncode in (1, 5)


def test_calls_a_script_that_is_not_utf8_a_syntax_error(launcher, tmp_path):
    write(tmp_path, "train.py", "print('é')\n", "latin-1")
    result = run([sys.executable, launcher, "train.py"], tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("SyntaxError: (unicode error)")


def test_leaves_standard_input_to_the_script(both, tmp_path):
    write(tmp_path, "train.py", "import sys\nprint(sys.stdin.read().upper())\n")
    assert both("train.py", input="words").stdout == "WORDS\n"


MULTIPROCESSING = """
import multiprocessing, pickle
class Thing:
    def __init__(self, value): self.value = value
def double(thing): return Thing(thing.value * 2)
if __name__ == "__main__":
    assert pickle.loads(pickle.dumps(Thing(3))).value == 3
    for method in ("spawn", "fork"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, [t.value for t in pool.map(double, [Thing(1), Thing(2)])])
"""


def test_lets_a_script_pickle_its_classes_and_spawn_processes(both, tmp_path):
    write(tmp_path, "train.py", MULTIPROCESSING)
    assert "spawn [2, 4]" in both("train.py").stdout


def test_keeps_a_process_forked_by_hand_away_from_the_caller(launcher, tmp_path):
    write(tmp_path, "train.py", "import os, sys\nif os.fork() == 0: sys.exit(3)\nprint(os.wait()[1] >> 8)\n")
    launcher.write_text(LAUNCHER.replace("raise SystemExit", "print('after')\nraise SystemExit"))
    result = run([sys.executable, launcher, "train.py"], tmp_path)
    assert result.stdout.split() == ["3", "after"]


def test_ends_with_130_and_a_traceback_after_ctrl_c(launcher, tmp_path):
    write(tmp_path, "train.py", "import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, launcher, "train.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert "gradiometer" not in stderr


STOPPING = "from gradiometer.launching.limits import TrainingStopped\n"


@pytest.mark.parametrize(
    "script",
    [
        "raise TrainingStopped",
        "try:\n    raise TrainingStopped\nexcept Exception:\n    print('swallowed')",
        "try:\n    raise TrainingStopped\nfinally:\n    [][100]",
        "import sys\ntry:\n    raise TrainingStopped\nexcept BaseException:\n    sys.exit(1)",
    ],
)
def test_ends_quietly_at_the_step_limit(launcher, tmp_path, script):
    write(tmp_path, "train.py", STOPPING + script + "\n")
    result = run([sys.executable, launcher, "train.py"], tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_never_loads_torch_for_a_script_without_it(launcher, tmp_path):
    write(tmp_path, "train.py", "import sys\nprint('torch' in sys.modules)\n")
    result = run([sys.executable, launcher, "train.py"], tmp_path)
    assert (result.stdout, result.stderr) == ("False\n", "")


TORCH = """
import sys, importlib, importlib.util
before = [type(finder) for finder in sys.meta_path]
assert importlib.util.find_spec("torch") is not None and "torch" not in sys.modules
import torch
print("next line", file=sys.stderr)
print(type(torch.__spec__.loader).__name__, torch.__loader__ is torch.__spec__.loader)
print(torch.__spec__.loader.get_filename() == torch.__file__, len(sys.meta_path) == len(before) - {removed})
import torch.nn
importlib.reload(torch.utils)
print(importlib.util.find_spec("torch").loader.name)
"""


@pytest.mark.slow
def test_tells_once_that_torch_is_imported_and_leaves_its_loader_as_it_was(launcher, tmp_path):
    write(tmp_path, "train.py", TORCH.format(removed=1))
    write(tmp_path, "bare.py", TORCH.format(removed=0))
    ours = run([sys.executable, launcher, "train.py"], tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"})
    bare = run([sys.executable, "bare.py"], tmp_path)
    assert ours.stderr.splitlines() == ["torch was imported", *bare.stderr.splitlines()]
    assert ours.stdout == bare.stdout
    assert ours.stdout.splitlines()[0] == "SourceFileLoader True"


def test_tells_at_once_where_torch_is_loaded_already(launcher, tmp_path):
    launcher.write_text("import torch\n" + LAUNCHER)
    write(tmp_path, "train.py", "import sys\nprint('script', file=sys.stderr)\n")
    result = run([sys.executable, launcher, "train.py"], tmp_path)
    assert result.stderr.splitlines() == ["torch was imported", "script"]


def test_strips_its_frames_from_the_middle_of_a_traceback(launcher, tmp_path):
    write(
        tmp_path,
        "train.py",
        "from gradiometer.launching.package_import import _TellingLoader\n"
        "class Loader:\n    def exec_module(self, module):\n        1 / 0\n"
        "class Module:\n    __spec__ = None\n"
        "_TellingLoader(Loader(), print).exec_module(Module())\n",
    )
    result = run([sys.executable, launcher, "train.py"], tmp_path)
    assert "package_import.py" not in result.stderr
    assert result.stderr.count("File ") == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.py", None, "There is no script 'missing.py' in .*check the path"),
        ("weights.pt", b"PK\0\1", "is not Python .*name a training script"),
        ("book.ipynb", b"{}", "is a notebook.*nbconvert"),
    ],
)
def test_says_what_to_do_where_there_is_no_script(tmp_path, monkeypatch, name, content, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ScriptError, match=words):
        run_target(Target(name, None), when_torch_is_imported=lambda: None)


def test_says_what_to_do_where_a_folder_or_module_cannot_be_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty_folder_here").mkdir()
    saved_path, saved_main, saved_argv = list(sys.path), sys.modules["__main__"], list(sys.argv)
    try:
        for target, words in [
            (Target("empty_folder_here", None), "holds no __main__.py"),
            (Target(None, "no_such_module_here"), "There is no module 'no_such_module_here'"),
            (Target(None, "no_such_package_here.part"), "There is no module"),
            (Target(None, "json"), "has no __main__.py"),
            (Target(None, "math"), "has no Python code"),
            (Target(None, None), "either a script or a module"),
        ]:
            with pytest.raises(ScriptError, match=words):
                run_target(target, when_torch_is_imported=lambda: None)
    finally:
        sys.path[:], sys.modules["__main__"], sys.argv[:] = saved_path, saved_main, saved_argv
        assert Path.cwd() == tmp_path
