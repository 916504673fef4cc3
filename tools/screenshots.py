"""Make the pictures of pages that the docs show: `python tools/screenshots.py docs/screenshots`.

Pages are written, or served, by the command line as for anyone; the system's Chromium looks at them through playwright.
The report is that of the run file which `make demo` leaves, or of the one that --run names.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 300_000
"""Size of a picture at most: the repository keeps each of its versions for good."""

SETTLING_MS = 1500
"""Time in which a page settles after its figures are there: fonts, and what a server still answers."""

READY: dict[str, str] = {
    "report": "body[data-drawn]",
    "lab": "body[data-drawn]",
    "theory": "body[data-drawn]",
    "dashboard": ".main-svg",
    "explorer": "body[data-busy='false']",
}
"""Page to what is there once it is drawn."""

IN_PLACE = ".moments { position: static !important; }"
"""Style while a part is taken: what stays in view while one scrolls would cover it."""

DEMO_RUN = Path(".gradiometer/demo/ten_sigmoids.db")

WRITTEN_PAGES: dict[str, tuple[str, ...]] = {
    "report": ("report", "RUN", "--output", "PAGE"),
    "lab": ("lab", "product", "--quick", "--folder", "FOLDER", "--output", "PAGE"),
    "theory": ("theory", "tanh", "--sigma-w", "1.3", "--sigma-b", "0.22", "--output", "PAGE"),
}
"""Page to the command that writes it as a file; words in capitals are filled in."""

SERVED_PAGES: dict[str, tuple[str, ...]] = {
    "dashboard": ("live", "RUN", "--no-browser"),
    "explorer": ("lab", "explorer", "--no-browser"),
}
"""Page to the command that serves it and says its address; words in capitals are filled in."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture.

    Attributes:
        page: Page that it shows.
        width: Of the window, pixels.
        height: Of the window, pixels.
        scheme: `light` or `dark`.
        part: CSS selector of the part that it shows; the top of the page if empty.
    """

    page: str
    width: int = 1280
    height: int = 1000
    scheme: str = "light"
    part: str = ""


SHOTS: dict[str, Shot] = {
    "report": Shot("report"),
    "report_dark": Shot("report", scheme="dark"),
    "report_phone": Shot("report", width=390, height=1500),
    "gain_ladder": Shot("report", part="section:has(#gain_ladder)"),
    "gain_ladder_phone_dark": Shot("report", width=390, scheme="dark", part="section:has(#gain_ladder)"),
    "lab": Shot("lab", height=1400),
    "theory": Shot("theory"),
    "dashboard": Shot("dashboard", part="#moment-section"),
    "dashboard_phone_dark": Shot("dashboard", width=390, scheme="dark", part="#moment-section"),
    "explorer": Shot("explorer", height=1400),
    "explorer_phone": Shot("explorer", width=390, height=1500),
}
"""Name of each picture's file to what it shows."""


def main() -> int:
    """Make the pictures that are asked for, all by default; 1 where one is too large to be kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--run", type=Path, default=DEMO_RUN, help=f"run file of the report; {DEMO_RUN} if not given")
    parser.add_argument("--only", choices=SHOTS, action="append", help="a picture; may be given several times")
    arguments = parser.parse_args()
    chosen = {name: SHOTS[name] for name in arguments.only or SHOTS}
    if any(shot.page == "report" for shot in chosen.values()) and not arguments.run.is_file():
        parser.error(f"there is no run file {arguments.run}: make demo leaves one, --run names another")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    sizes = take_shots(chosen, arguments.folder, arguments.run)
    for path, size in sizes.items():
        print(f"{path}  {size / 1000:.0f} kB{'  TOO LARGE' if size > MOST_BYTES else ''}")
    return int(any(size > MOST_BYTES for size in sizes.values()))


def take_shots(shots: dict[str, Shot], folder: Path, run: Path) -> dict[Path, int]:
    """Make each page once and take its pictures; gives the size of each file, bytes."""
    from playwright.sync_api import sync_playwright

    sizes = {}
    with tempfile.TemporaryDirectory() as work, sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for page in dict.fromkeys(shot.page for shot in shots.values()):
            with opened(page, Path(work), run) as address:
                for name, shot in shots.items():
                    if shot.page == page:
                        path = folder / f"{name}.png"
                        sizes[path] = take_shot(browser, address, shot, path)
        browser.close()
    return sizes


@contextmanager
def opened(page: str, folder: Path, run: Path) -> Iterator[str]:
    """Write or serve a page; gives its address."""
    target = folder / f"{page}.html"
    filled = {"RUN": str(run), "PAGE": str(target), "FOLDER": str(folder)}
    is_served = page in SERVED_PAGES
    words = [filled.get(word, word) for word in (SERVED_PAGES if is_served else WRITTEN_PAGES)[page]]
    command = [sys.executable, "-m", "gradiometer", *words]
    if not is_served:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield target.as_uri()
        return
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            said = iter(server.stdout or ())
            yield next(found.group() for line in said if (found := re.search(r"http://\S+", line)))
        finally:
            server.terminate()


def take_shot(browser: Any, address: str, shot: Shot, path: Path) -> int:
    """Take one picture; gives its size, bytes."""
    page = browser.new_page(viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme)
    page.goto(address, timeout=120_000)
    shown = page.locator(shot.part or "body").first
    # Served pages draw a figure only once it is scrolled into view.
    shown.scroll_into_view_if_needed(timeout=120_000)
    page.wait_for_selector(READY[shot.page], timeout=120_000)
    page.add_style_tag(content=IN_PLACE)
    page.wait_for_timeout(SETTLING_MS)
    (shown if shot.part else page).screenshot(path=path)
    page.close()
    return path.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
