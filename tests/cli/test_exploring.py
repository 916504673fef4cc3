import signal
import subprocess
import sys
import urllib.request

import pytest
from typer.testing import CliRunner

from gradiometer.cli import app
from gradiometer.errors import SettingsError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lab", "explorer", "--quick", "--seeds", "2"], r"--quick, --seeds: no option of gradiometer lab explorer"),
        (["lab", "explorer", "--json"], "--json: no option"),
        (["lab", "product", "--port", "0"], "--port: no option of gradiometer lab but of its explorer"),
        (["lab", "--no-browser"], "--no-browser: no option"),
    ],
)
def test_refuses_options_that_it_would_ignore(words: list[str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_tells_of_the_explorer_beside_the_experiments() -> None:
    assert "gradiometer lab explorer" in CliRunner().invoke(app, ["lab"], catch_exceptions=False).stdout


@pytest.mark.slow
def test_serves_the_explorer_until_it_is_ended() -> None:
    command = [sys.executable, "-m", "gradiometer", "lab", "explorer", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as explorer:
        assert explorer.stdout is not None
        address = explorer.stdout.readline().rpartition(" ")[2].strip()
        with urllib.request.urlopen(address) as answer:
            assert answer.status == 200
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        explorer.send_signal(signal.SIGTERM)
        _, said = explorer.communicate(timeout=60)
    assert explorer.returncode == 0
    assert "Traceback" not in said


def test_serves_without_torch_on_its_side() -> None:
    code = (
        "import sys\nfrom gradiometer.cli import exploring\nfrom gradiometer.schema.explored import DigitData\n"
        "from gradiometer.showing.explorer.application import explorer_application\n"
        "explorer_application(print, DigitData('made', 8, 1, (0, 1)))\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
