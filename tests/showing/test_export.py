import csv
import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiometer.diagnosing import diagnose
from gradiometer.errors import RunFileError, SettingsError
from gradiometer.recording.reader import read_run
from gradiometer.schema import LAYER_COLUMNS, Run
from gradiometer.showing.export import (
    export_place,
    export_run,
    no_pictures,
    own_faults,
    write_csv,
    write_json_tables,
    write_parquet,
)
from gradiometer.showing.export_tables import TABLES, row_count, tables_of
from showing.made_run import made_diagnosis, made_run, write_made_run
from showing.made_turns import measured_fully

CELLS = st.floats() | st.none()


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def same(first: float | None, second: float | None) -> bool:
    if first is None or second is None:
        return first is second
    return first == second or (math.isnan(first) and math.isnan(second))


@settings(max_examples=30)
@given(st.lists(CELLS, min_size=1, max_size=20))
def test_writes_numbers_that_read_back_to_the_bit(tmp_path_factory: pytest.TempPathFactory, values) -> None:
    folder = tmp_path_factory.mktemp("written")
    write_csv(folder / "a.csv", {"value": values, "name": ["x"] * len(values)})
    write_json_tables(folder / "a.json", {"a": {"value": values}})
    from_csv = [None if row["value"] == "" else float(row["value"]) for row in rows_of(folder / "a.csv")]
    document = json.loads((folder / "a.json").read_text(encoding="utf-8"), parse_constant=lambda word: 1 / 0)
    from_json = [None if value is None else float(value) for value in document["tables"]["a"]["value"]]
    write_parquet(folder / "a.parquet", {"value": values})
    from_parquet = pyarrow.parquet.read_table(folder / "a.parquet").column("value").to_pylist()
    for read in (from_csv, from_json, from_parquet):
        assert len(read) == len(values)
        assert all(same(one, other) for one, other in zip(read, values, strict=True))


def test_exports_what_the_run_file_holds(tmp_path: Path) -> None:
    run = read_run(write_made_run(tmp_path / "ten.db"))
    folder = tmp_path / "tables"
    export_run(run, diagnose(run), folder, "csv")
    steps = rows_of(folder / "losses.csv")
    assert [int(row["step"]) for row in steps] == run.losses[0].steps.tolist()
    assert [float(row["loss"]) for row in steps] == run.losses[0].values.tolist()
    statistics = rows_of(folder / "layer_statistics.csv")
    assert len(statistics) == run.snapshot_count * len(run.layers)
    moments = run.snapshot_steps.tolist()
    for row in statistics:
        place = moments.index(int(row["step"])), run.layer_index(row["layer"])
        for name in LAYER_COLUMNS:
            assert same(float(row[name]), float(run.layer_columns[name][place]))


def test_gives_every_table_its_rows_and_leaves_empty_ones_out() -> None:
    run = measured_fully(made_run())
    tables = tables_of(run, made_diagnosis())
    assert set(tables) == set(TABLES) - {"not_seen"}
    assert all(len({len(column) for column in table.values()}) == 1 for table in tables.values())
    counts = {name: row_count(table) for name, table in tables.items()}
    assert counts["layers"] == 21
    assert counts["steps"] == 300
    assert counts["trials"] == 10
    assert counts["ranking"] == 4
    assert tables["findings"]["follows_from"] == ["", "vanishing", ""]
    assert tables["examples"]["data_index"][0] == 1000
    assert tables_of(Run(), diagnose(Run())) == {}


def test_leaves_out_layers_of_which_nothing_was_measured() -> None:
    run = made_run(2)
    columns = {name: np.array(grid) for name, grid in run.layer_columns.items()}
    for name, grid in columns.items():
        grid[3, 1] = 0.0 if name.endswith("nonfinite_count") else np.nan
    tables = tables_of(replace(run, layer_columns=columns), made_diagnosis())
    assert row_count(tables["layer_statistics"]) == run.snapshot_count * len(run.layers) - 1


def test_keeps_infinite_levels(tmp_path: Path) -> None:
    export_run(made_run(2, cut_at=2), made_diagnosis(), tmp_path / "a.json", "json")
    tables = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["tables"]
    assert "-inf" in tables["layer_statistics"]["level_db"]
    assert "nan" in tables["layer_statistics"]["dead_share"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_replaces_nothing_without_being_told(kind, tmp_path: Path) -> None:
    run, place = made_run(1), export_place(tmp_path / "run.db", kind, None)
    files = export_run(run, made_diagnosis(), place, kind)
    before = {file: file.read_bytes() for file in files}
    with pytest.raises(SettingsError, match="add --force"):
        export_run(Run(facts={"a": 1}), made_diagnosis(), place, kind)
    assert {file: file.read_bytes() for file in files} == before
    export_run(Run(facts={"a": 1}), made_diagnosis(), place, kind, may_replace=True)
    assert any(file.read_bytes() != before[file] for file in files)


def test_writes_facts_of_many_kinds_as_parquet(tmp_path: Path) -> None:
    export_run(made_run(1), made_diagnosis(), tmp_path, "parquet")
    facts = pyarrow.parquet.read_table(tmp_path / "facts.parquet").to_pydict()
    assert json.loads(facts["value"][facts["name"].index("arguments")]) == ["--epochs", "3"]


def test_writes_figures_as_pages_beside_one_plotly(tmp_path: Path) -> None:
    files = export_run(made_run(1), made_diagnosis(), tmp_path / "out", "csv", figures="html")
    pages = [file for file in files if file.suffix == ".html"]
    assert {file.stem for file in pages} >= {"gain_ladder", "loss_and_updates", "trial_pairs"}
    assert all(file.stat().st_size < 1_000_000 for file in pages)
    assert (tmp_path / "out" / "figures" / "plotly.min.js").is_file()
    assert all('src="plotly.min.js"' in file.read_text(encoding="utf-8") for file in pages)


def test_says_what_to_install_for_a_format(tmp_path: Path) -> None:
    program = (
        "import sys\nsys.modules[sys.argv[1]] = None\nsys.path.insert(0, sys.argv[3])\n"
        "from pathlib import Path\nfrom gradiometer.errors import SettingsError\n"
        "from gradiometer.showing.export import export_run\nfrom showing.made_run import made_diagnosis, made_run\n"
        "kind, figures = ('parquet', None) if sys.argv[1] == 'pyarrow' else ('csv', 'png')\n"
        "try:\n    export_run(made_run(1), made_diagnosis(), Path(sys.argv[2]), kind, figures=figures)\n"
        "except SettingsError as error:\n    print(error)\n"
    )
    for package, extra in (("pyarrow", "export"), ("kaleido", "images")):
        place = tmp_path / package
        words = [sys.executable, "-c", program, package, str(place), str(Path(__file__).parents[1])]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert f"needs {package}, which is not installed here" in said
        assert f"pip install 'gradiometer[{extra}]'" in said
        assert not place.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("browser", "words"), [("/nowhere", "found no Chrome"), ("/bin/true", "could not draw")])
def test_says_in_a_sentence_that_there_is_no_browser_for_pictures(browser: str, words: str, tmp_path: Path) -> None:
    pytest.importorskip("kaleido", reason="kaleido is not installed: pip install 'gradiometer[images]'")
    run_file = write_made_run(tmp_path / "a.db", hidden_count=1)
    command = [sys.executable, "-m", "gradiometer", "export", str(run_file), "--figures", "png"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "BROWSER_PATH": browser})
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "a.tables").glob("*.csv"))


def test_says_why_a_drawing_program_drew_nothing() -> None:
    class ChromeNotFoundError(Exception):
        pass

    assert "BROWSER_PATH" in no_pictures(ChromeNotFoundError())
    assert "(TimeoutError)" in no_pictures(TimeoutError())
    assert own_faults("no.such.module") == ()
    assert SettingsError in own_faults("gradiometer.errors")


def test_says_where_it_could_not_write(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(RunFileError, match="another place with --output"):
        export_run(made_run(1), made_diagnosis(), tmp_path / "taken", "csv")
