"""How a script ended is told as `python` itself tells it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gradiometer.errors import ScriptError
from gradiometer.launching.ending import ending_of
from gradiometer.launching.limits import TrainingStopped

ENDINGS = {
    "returns": "x = 1",
    "leaves": "import sys; sys.exit()",
    "leaves with a number": "import sys; sys.exit(7)",
    "leaves with a negative number": "import sys; sys.exit(-1)",
    "leaves with a number too large": "import sys; sys.exit(300)",
    "leaves with words": "import sys; sys.exit('no data')",
    "fails": "1 / 0",
    "has an excepthook that leaves": "import sys\nsys.excepthook = lambda *a: sys.exit(9)\n1 / 0",
    "has an excepthook that fails": "import sys\ndef hook(*a): raise RuntimeError\nsys.excepthook = hook\n1 / 0",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_exit_code_and_words_are_those_of_python(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text(ENDINGS[name])
    alone = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    for left in ("last_type", "last_value", "last_traceback"):
        monkeypatch.setattr(sys, left, None, raising=False)
    code = compile(script.read_text(), str(script), "exec")
    ending = ending_of(lambda: exec(code, {"__name__": "__main__"}))
    assert ending.exit_code == alone.returncode
    assert last_lines(capsys.readouterr().err) == last_lines(alone.stderr)
    assert isinstance(ending.exception, ZeroDivisionError) == ("1 / 0" in ENDINGS[name])
    assert not ending.was_stopped


def last_lines(text: str) -> list[str]:
    """What is said, without the frames that lead there: those of the test itself are among them."""
    return [line for line in text.splitlines() if line and not line.startswith(" ")]


def raiser(exception: BaseException) -> Callable[[], None]:
    def execute() -> None:
        raise exception

    return execute


def test_ctrl_c_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_of(raiser(KeyboardInterrupt())).exit_code == 130
    assert "KeyboardInterrupt" in capsys.readouterr().err


def test_a_script_that_fails_as_it_is_stopped_was_stopped() -> None:
    def execute() -> None:
        try:
            raise TrainingStopped("far enough")
        finally:
            raise ValueError("its clean-up")

    ending = ending_of(execute)
    assert (ending.exit_code, ending.was_stopped, ending.exception) == (0, True, None)


def test_what_is_no_fault_of_the_script_is_raised_on() -> None:
    with pytest.raises(ScriptError, match="no such file"):
        ending_of(raiser(ScriptError("no such file")))
