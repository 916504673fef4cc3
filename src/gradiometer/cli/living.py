"""What `live` does: finds the run files of a place and serves the dashboard on them until Ctrl-C."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gradiometer.cli.kept import RUN_FILE, SPEC_FILE, is_database
from gradiometer.cli.opened_page import PageOptions, announcing
from gradiometer.errors import RunFileError
from gradiometer.settings import load_settings
from gradiometer.showing.serving import require_packages, serve

if TYPE_CHECKING:
    from gradiometer.showing.dashboard.shelf import Found

DEFAULT_PLACE = Path(".gradiometer")
"""Where `run` and `cure` keep what they record, relative to the working directory."""

MOST_DEPTH = 6
"""Folders below the place that are looked into: a trial of a case of `cure` lies five below `.gradiometer`."""

TRIALS_FOLDER = "trials"


def show_live(place: Path | None, options: PageOptions) -> None:
    """Serve the dashboard until Ctrl-C or SIGTERM.

    Args:
        place: Run file or folder; None for the usual folder, which need not be there yet.
        options: Where it is served.

    Raises:
        RunFileError: The place is not there.
        SettingsError: The address can't be listened on, or a package is missing.
    """
    require_packages()
    if place is not None and not place.exists():
        raise RunFileError(f"There is no file or folder {place}: 'gradiometer runs' lists the run files.")
    serve_dashboard(place or DEFAULT_PLACE, on_ready=announcing("dashboard", options), options=options)


def serve_dashboard(place: Path, *, on_ready: Callable[[str], None], options: PageOptions | None = None) -> None:
    """Serve the dashboard on a place; errors are those of `serve`.

    Args:
        place: Run file or folder.
        on_ready: Called with the address once it is served: that of the run's own page where the place is a run file.
        options: Where it is served; this machine alone, on any free port, if not given.
    """
    from gradiometer.diagnosing import diagnose
    from gradiometer.showing.dashboard.application import dashboard_application
    from gradiometer.showing.dashboard.shelf import Shelf, key_of
    from gradiometer.showing.served_frame import script_hashes

    options = options or PageOptions()
    ignore = load_settings().ignore
    is_folder = place.is_dir() or place == DEFAULT_PLACE
    shelf = Shelf(lambda: run_files(place, is_folder=is_folder), lambda run: diagnose(run, ignore=ignore))
    application = dashboard_application(shelf, str(place))
    page = "" if is_folder else f"run/{key_of(place)}"

    def say(url: str) -> None:
        on_ready(paged(url, page))

    serve(
        application.server,
        host=options.host,
        port=options.port,
        token=options.token,
        script_hashes=script_hashes(application),
        on_ready=say,
    )


def paged(url: str, page: str) -> str:
    """The address of a page below that of the server, before its token.

    Example:
        >>> paged("http://127.0.0.1:8050/?token=a", "run/1"), paged("http://127.0.0.1:8050/", "")
        ('http://127.0.0.1:8050/run/1?token=a', 'http://127.0.0.1:8050/')
    """
    home, mark, query = url.partition("?")
    return f"{home}{page}{mark}{query}"


def run_files(place: Path, *, is_folder: bool) -> list["Found"]:
    """The run files of a place.

    Args:
        place: A folder, which need not be there yet, or a run file, which likewise need not.
        is_folder: It is a folder.
    """
    from gradiometer.showing.dashboard.shelf import Found

    if not is_folder:
        trials = sorted(place.parent.glob(f"{TRIALS_FOLDER}/*/{RUN_FILE}")) if place.name == RUN_FILE else []
        return [Found(place), *(Found(path, place) for path in trials)]
    return [Found(path, case_of(path)) for path in databases_below(place)]


def databases_below(folder: Path) -> Iterator[Path]:
    """Files that are run files by their first bytes, or by the ending that `run` gives them; links are not followed."""
    depth = len(folder.parts)
    for root, folders, files in os.walk(folder):
        below = Path(root)
        folders[:] = sorted(folders) if len(below.parts) - depth < MOST_DEPTH else []
        for name in sorted(files):
            path = below / name
            if not path.is_symlink() and (path.suffix == ".db" or is_database(path)):
                yield path


def case_of(path: Path) -> Path | None:
    """The diagnosed run file of the case of `cure` that a run file is a trial of; None where it is none."""
    is_trial = path.name == RUN_FILE and path.parent.parent.name == TRIALS_FOLDER
    return path.parents[2] / RUN_FILE if is_trial and (path.parent / SPEC_FILE).is_file() else None
