"""The console that everything is printed through: a terminal shows what it is given, and obeys none of it."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gradiometer.showing.printable import printable


class GuardedConsole(Console):
    """A console whose own colours reach the terminal, and no control character of a text.

    Args:
        **options: As rich's console takes them.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Render as rich does, then take out of the texts what a terminal would obey."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Fall silent where the reader of what is printed has left; rich would end the program, and close its stdout.

        What is still buffered goes nowhere, for the interpreter takes a stream that it can't flush at its end for a
        failure of the program.
        """
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.file.fileno())
            os.close(nowhere)
