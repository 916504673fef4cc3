"""Writes a run as tables (CSV, Parquet, JSON) and its figures (HTML, PNG, SVG), and nothing over what is there."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from gradiometer.errors import RunFileError, SettingsError
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.export_tables import Columns, tables_of
from gradiometer.showing.figures.parts import FigureParts, draw
from gradiometer.showing.json_output import plain
from gradiometer.showing.report import captions_of, describe_figures

TableFormat = Literal["csv", "parquet", "json"]
FigureFormat = Literal["png", "svg", "html"]

FIGURES_FOLDER = "figures"
"""Folder of the figures, inside that of the tables, or beside the JSON file."""

IMAGE_WIDTH = 900
"""Width of a picture, pixels."""


def export_place(run_file: Path, kind: TableFormat, output: Path | None) -> Path:
    """Where the tables go: a folder for CSV and Parquet, a file for JSON; beside the run file if not said.

    Example:
        >>> export_place(Path("runs/a.db"), "csv", None).as_posix(), export_place(Path("a.db"), "json", None).as_posix()
        ('runs/a.tables', 'a.json')
    """
    if output is not None:
        return output / f"{run_file.stem}.json" if kind == "json" and output.is_dir() else output
    return run_file.with_suffix(".json" if kind == "json" else ".tables")


def export_run(
    run: Run,
    diagnosis: Diagnosis,
    place: Path,
    kind: TableFormat,
    *,
    figures: FigureFormat | None = None,
    may_replace: bool = False,
) -> tuple[Path, ...]:
    """Write a run's tables, and its figures where they are asked for.

    Args:
        run: The run.
        diagnosis: What was found in it.
        place: Folder of the tables, for JSON the file.
        kind: Format of the tables.
        figures: Format of the figures; None for none.
        may_replace: Files that are there may be replaced.

    Returns:
        The files written.

    Raises:
        SettingsError: Something is there already, or a package that the format needs is missing.
        RunFileError: A file can't be written; the message says why.
    """
    tables = tables_of(run, diagnosis)
    described = describe_figures(run, diagnosis, captions_of(run)) if figures is not None else {}
    files = [place] if kind == "json" else [place / f"{name}.{kind}" for name in tables]
    folder = (place.parent if kind == "json" else place) / FIGURES_FOLDER
    pictures = [folder / f"{name}.{figures}" for name in described]
    if not may_replace:
        refuse_replacing([*files, *pictures])
    refuse_missing(kind, figures)
    try:
        for target in [*files, *pictures]:
            target.parent.mkdir(parents=True, exist_ok=True)
        # Pictures need a browser that may be missing: where it is, no tables are left half-way.
        if figures is not None:
            write_figures(pictures, list(described.values()), figures)
        write_tables(files, tables, kind)
    except OSError as fault:
        raise RunFileError(
            f"the export can't be written to {place}: {fault.strerror or fault}; choose another place with --output"
        ) from fault
    return (*files, *pictures)


def format_named(word: str, allowed: Any, option: str) -> Any:
    """Read a format from the command line.

    Raises:
        SettingsError: There is no such format; the message lists those there are.
    """
    if word not in get_args(allowed):
        raise SettingsError(f"{option} {word} is not known: choose {', '.join(get_args(allowed))}")
    return word


def refuse_replacing(files: Sequence[Path]) -> None:
    """Refuse to write over what is there."""
    there = [file for file in files if file.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise SettingsError(f"{there[0]}{more} would be replaced: add --force, or choose another place with --output")


def refuse_missing(kind: TableFormat, figures: FigureFormat | None) -> None:
    """Refuse to begin where a package that a format needs is missing."""
    if kind == "parquet":
        needed("pyarrow.parquet", "Parquet", "export")
    if figures in {"png", "svg"}:
        needed("kaleido", f"A figure as {figures}", "images")


def needed(module: str, what: str, extra: str) -> Any:
    """Import what a format needs.

    Raises:
        SettingsError: It is not installed; the message says how to get it.
    """
    try:
        return import_module(module)
    except ImportError as missing:
        package = module.partition(".")[0]
        raise SettingsError(
            f"{what} needs {package}, which is not installed here. Install it: pip install 'gradiometer[{extra}]'"
        ) from missing


def write_tables(files: Sequence[Path], tables: Mapping[str, Columns], kind: TableFormat) -> None:
    """Write all tables: into a file each, as JSON into one."""
    if kind == "json":
        write_json_tables(files[0], tables)
        return
    for file, table in zip(files, tables.values(), strict=True):
        (write_csv if kind == "csv" else write_parquet)(file, table)


def write_csv(path: Path, table: Columns) -> None:
    """Write a table as CSV: numbers so that they read back to the bit, `nan` and `inf` by name, None as an empty cell.

    What has parts (a list of layers, a fact) stands in its cell as JSON.
    """
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(table)
        writer.writerows(zip(*(cells_of(values) for values in table.values()), strict=True))


def cells_of(values: Sequence[Any]) -> list[Any]:
    """Values that a single cell can hold: what has parts becomes JSON text."""
    return [value if value is None or isinstance(value, str | int | float) else parts_text(value) for value in values]


def parts_text(value: Any) -> str:
    """A value with parts as JSON text."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def write_parquet(path: Path, table: Columns) -> None:
    """Write a table as Parquet; a column of mixed kinds, as that of the facts, becomes JSON text."""
    arrow, parquet = needed("pyarrow", "Parquet", "export"), needed("pyarrow.parquet", "Parquet", "export")
    columns = {}
    for name, values in table.items():
        cells = cells_of(values)
        kinds = {type(value) for value in cells if value is not None}
        is_mixed = len(kinds) > 1 and kinds != {int, float}
        columns[name] = [parts_text(value) for value in values] if is_mixed else cells
    parquet.write_table(arrow.table(columns), path)


def write_json_tables(path: Path, tables: Mapping[str, Columns]) -> None:
    """Write all tables as one JSON object, each an object of columns; NaN and infinity as "nan", "inf", "-inf"."""
    written = {
        name: {column: [json_cell(value) for value in values] for column, values in table.items()}
        for name, table in tables.items()
    }
    with path.open("w", encoding="utf-8", errors="backslashreplace") as stream:
        json.dump({"tables": written}, stream, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def json_cell(value: Any) -> Any:
    """One value for JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, str | int) else plain(value)


def write_figures(files: Sequence[Path], described: Sequence[FigureParts], kind: FigureFormat) -> None:
    """Write figures; HTML pages of one folder share one plotly.js beside them.

    Raises:
        SettingsError: Pictures were asked for and kaleido, which draws them in a browser, could not.
    """
    figures = [draw(parts) for parts in described]
    if kind == "html":
        for file, figure in zip(files, figures, strict=True):
            figure.write_html(file, include_plotlyjs="directory", config={"displaylogo": False, "responsive": True})
        return
    for figure in figures:
        figure.update_layout(paper_bgcolor="#ffffff", plot_bgcolor="#ffffff")
    faults: tuple[type[Exception], ...] = (
        RuntimeError,
        ValueError,
        AttributeError,
        TimeoutError,
        BrokenPipeError,
        *own_faults("kaleido.errors"),
    )
    try:
        write_images = import_module("plotly.io").write_images
        write_images(figures, list(files), width=IMAGE_WIDTH, scale=2 if kind == "png" else 1)
    except faults as fault:
        raise SettingsError(f"{no_pictures(fault)}; --figures html does without") from fault


def own_faults(module: str) -> tuple[type[Exception], ...]:
    """The exceptions that a module names; none where it is missing, as in older versions of its package."""
    try:
        names = vars(import_module(module)).values()
    except ImportError:
        return ()
    return tuple(name for name in names if isinstance(name, type) and issubclass(name, Exception))


def no_pictures(fault: Exception) -> str:
    """Why kaleido drew nothing, and what to do about it.

    Example:
        >>> no_pictures(RuntimeError("Kaleido requires Google Chrome to be installed. Either ..."))
        'kaleido found no Chrome or Chromium to draw figures in: install one, or name it in BROWSER_PATH'
        >>> no_pictures(RuntimeError("The browser seemed to close."))
        'kaleido could not draw the figures (The browser seemed to close). It needs plotly 6.1 and a working Chrome'
    """
    words = " ".join(str(part) for part in fault.args) if fault.args else type(fault).__name__
    if "ChromeNotFound" in type(fault).__name__ or "requires Google Chrome" in words or "No browser found" in words:
        return "kaleido found no Chrome or Chromium to draw figures in: install one, or name it in BROWSER_PATH"
    reason = " ".join(words.split()).partition(". ")[0].rstrip(".")[:200]
    return f"kaleido could not draw the figures ({reason}). It needs plotly 6.1 and a working Chrome"
