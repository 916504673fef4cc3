import io
import os
import pty
import subprocess
import sys

from gradiometer.showing.live_region import LiveRegion, PassingStream

SCRIPT = """
import sys
from gradiometer.showing.live_region import LiveRegion
before = sys.stdout, sys.stderr
region = LiveRegion(sys.stderr)
region.open()
region.draw("one\\ntwo\\n")
print("printed by the script")
print(sys.stdout.isatty(), sys.stdout.fileno(), sys.stdout.encoding)
region.draw("three\\n")
region.close()
print((sys.stdout, sys.stderr) == before)
"""


def test_takes_the_region_away_before_the_script_writes() -> None:
    stream = io.StringIO()
    region = LiveRegion(stream)
    region.draw("one\ntwo\n")
    PassingStream(stream, region).write("hello\n")
    region.draw("three\n")
    assert stream.getvalue() == "one\ntwo\n\x1b[2A\r\x1b[Jhello\nthree\n"


def test_waits_while_the_script_is_amid_a_line() -> None:
    stream = io.StringIO()
    region = LiveRegion(stream)
    passing = PassingStream(stream, region)
    passing.write("\r 10 %")
    region.draw("one\n")
    passing.writelines(["\r 100 %", "\n"])
    region.draw("two\n")
    assert stream.getvalue() == "\r 10 %\r 100 %\ntwo\n"


def test_passes_the_script_s_output_on_and_puts_the_streams_back() -> None:
    ours, its = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait() == 0
    text = shown.decode().replace("\r\n", "\n")
    assert text.startswith("one\ntwo\n\x1b[2A\r\x1b[Jprinted by the script\nTrue 1 utf-8\n"), text
    assert text.endswith("three\nTrue\n")
