"""A region at the bottom of a terminal that is redrawn in place, while a script prints above it.

The script's own output is never changed: it goes to its stream as it is written, after the region was taken away, and
the region comes back at the next redraw. While the script has written half a line (a progress bar of its own), the
region waits, since it could not be drawn without breaking that line.
"""

import sys
import threading
from typing import Any, TextIO


class PassingStream:
    """Stands in for `sys.stdout` or `sys.stderr`: takes the region away, then writes to the stream itself.

    Everything but writing is the stream's own, so `isatty`, `fileno`, `buffer`, `encoding` answer as before.
    """

    def __init__(self, stream: TextIO, region: "LiveRegion") -> None:
        self._stream = stream
        self._region = region

    def write(self, text: str) -> int:
        """Write text of the script."""
        with self._region.lock:
            self._region.erase()
            if text:
                self._region.is_line_open = not text.endswith("\n")
            count = self._stream.write(text)
            self._stream.flush()
        return count

    def writelines(self, lines: Any) -> None:
        """Write lines of the script."""
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class LiveRegion:
    """The lines at the bottom of a terminal.

    Args:
        stream: The terminal's stream.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lock = threading.RLock()
        self.line_count = 0
        self.is_line_open = False
        self.replaced: dict[str, tuple[TextIO, PassingStream]] = {}

    def open(self) -> None:
        """Let the script's output to this terminal pass through the region."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                passing = PassingStream(stream, self)
                self.replaced[name] = (stream, passing)
                setattr(sys, name, passing)

    def close(self) -> None:
        """Leave the last drawing where it is and put the script's streams back, unless the script exchanged them."""
        with self.lock:
            self.line_count = 0
            for name, (stream, passing) in self.replaced.items():
                if getattr(sys, name) is passing:
                    setattr(sys, name, stream)
            self.replaced.clear()

    def draw(self, text: str) -> None:
        """Draw the region anew; nothing while the script is amid a line."""
        with self.lock:
            if self.is_line_open:
                return
            lead = self.erasing()
            self.stream.write(lead + text)
            self.stream.flush()
            self.line_count = text.count("\n")

    def erase(self) -> None:
        """Take the region away, if it is there."""
        if self.line_count:
            self.stream.write(self.erasing())
            self.stream.flush()
            self.line_count = 0

    def erasing(self) -> str:
        """The control sequence that goes up to the region's first line and clears from there on."""
        return f"\x1b[{self.line_count}A\r\x1b[J" if self.line_count else ""
