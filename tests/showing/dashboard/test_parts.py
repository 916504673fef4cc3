"""What the dashboard says and shows of a run, without a browser."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from gradiometer.diagnosing import diagnose
from gradiometer.schema import Diagnosis, Run
from gradiometer.showing.dashboard.application import dashboard_application
from gradiometer.showing.dashboard.drawn import TURN_NAMES, drawn_ladder, drawn_over_steps, drawn_turns
from gradiometer.showing.dashboard.run_answers import moment_after, moment_at, moment_at_first
from gradiometer.showing.dashboard.shelf import Found, Seen, Shelf, key_of
from gradiometer.showing.dashboard.tree import Openness, open_names, tree_table
from gradiometer.showing.dashboard.words import commands_of, head_of, status_line, trials_of
from showing.dashboard.made_files import write_run
from showing.dashboard.test_elements import texts_in
from showing.made_run import made_diagnosis, made_run
from showing.made_turns import measured_fully


def seen_of(run: Run, diagnosis: Diagnosis | None = None) -> Seen:
    return Seen("0", Path("runs/train.db"), "1", run, diagnosis or made_diagnosis())


def rows_in(table) -> list[list[str]]:
    """Texts of each row of a table."""
    return [["".join(texts_in(cell)) for cell in row.children] for row in table.children[2].children]


def test_lists_layers_from_the_output_with_their_numbers() -> None:
    rows = rows_in(tree_table(seen_of(made_run()), 3, Openness({})))
    assert [row[0].strip() for row in rows] == ["▾ all layers", "▾ body", *(str(rank) for rank in range(20, -1, -1))]
    level_of_first = -10 * (12.6 + 1.5) - 20 * 0.02 * math.log2(5)
    assert rows[-1][2] == f"{level_of_first:.1f} dB"


def test_opens_and_closes_blocks_as_the_reader_wants() -> None:
    seen = seen_of(made_run(50))
    usual = open_names(seen, Openness({}))
    closed = next(row[0] for row in rows_in(tree_table(seen, 0, Openness({}))) if row[0].startswith("▸"))
    name = f"body.{closed.removeprefix('▸ ')}"
    assert name not in usual
    assert open_names(seen, Openness({name: True})) == usual | {name}
    assert len(rows_in(tree_table(seen, 0, Openness({"*": False})))) == 1


def test_finds_layers_by_letters_of_their_names() -> None:
    rows = rows_in(tree_table(seen_of(made_run(50)), 0, Openness({}, "BODY.77")))
    assert rows[-1][0] == "77"
    assert all(row[0][0] in "▾7" for row in rows)
    assert rows_in(tree_table(seen_of(made_run()), 0, Openness({}, "nowhere"))) == []


@pytest.mark.parametrize(
    ("steps", "before", "value", "expected"),
    [
        ([0, 1, 2], [0, 1], 1, 2),  # at the end: it follows
        ([0, 1, 2], [0, 1], 0, 0),  # elsewhere: it stays
        ([0, 2, 8], [0, 1, 2, 4], 1, 0),  # its measurement was thinned out: the one before
        ([0, 2, 8], [0, 1, 2, 4], "2", 1),  # a browser may send text
        ([0, 2, 8], [0, 2, 8], "nonsense", 2),
        ([], [], None, 0),
    ],
)
def test_leaves_the_slider_where_the_reader_put_it(steps, before, value, expected) -> None:
    assert moment_after(seen_of(Run()), steps, before, value) == expected


def test_begins_at_the_step_of_the_worst_finding_once_a_run_is_over() -> None:
    seen = seen_of(made_run())
    assert seen.run.snapshot_steps[moment_at_first(seen, 10)] == seen.diagnosis.findings[0].step
    growing = seen_of(made_run(status="running"))
    assert moment_at_first(growing, 10) == 9


def test_shows_the_measurement_that_the_slider_names() -> None:
    run = made_run()
    assert moment_at(run, [0, 4, 256], "1") == run.snapshot_steps.tolist().index(4)
    assert moment_at(run, [], 3) == run.snapshot_count - 1
    assert moment_at(Run(), [], 0) is None


def test_describes_only_what_a_run_has() -> None:
    bare, full = drawn_turns(seen_of(made_run())), drawn_turns(seen_of(measured_fully(made_run())))
    assert set(bare) == set(full) == set(TURN_NAMES)
    assert bare["unit_map"] is None
    assert full["unit_map"]["parts"]["data"]
    assert drawn_over_steps(seen_of(made_run(is_cured=False)))["trial_pairs"] is None
    assert drawn_over_steps(seen_of(made_run()))["trial_pairs"]["words"].startswith("Trials.")


def test_hands_the_browser_nothing_that_json_cannot_hold() -> None:
    seen = seen_of(made_run(cut_at=8))
    ladder = drawn_ladder(seen, 3, open_names(seen, Openness({})))
    for figure in (ladder, *drawn_over_steps(seen).values()):
        json.dumps(figure, allow_nan=False)


def test_offers_the_commands_that_fit() -> None:
    def lines(run: Run) -> str:
        return " ".join(texts_in(commands_of(seen_of(run))))

    assert "gradiometer cure train.py --epochs 3" in lines(made_run(is_cured=False))
    assert "gradiometer cure" not in lines(made_run())
    assert "gradiometer replay runs/train.db" in lines(made_run())
    assert "gradiometer replay" not in lines(made_run(script="interactive"))
    assert commands_of(replace(seen_of(Run()), diagnosis=None, fault="damaged")) == []


def test_says_how_far_a_run_came() -> None:
    assert "It is finished. 300 steps, 10 full measurements" in status_line(seen_of(made_run()))
    assert "not finite" in status_line(seen_of(replace(made_run(), losses=(nan_loss(),))))


def nan_loss():
    loss = made_run().losses[0]
    return replace(loss, values=loss.values * math.nan)


def test_shows_the_trials_of_a_case_with_the_way_to_each() -> None:
    case, trial = Path("case/run.db"), Path("case/trials/trial-seed0-0/run.db")
    found = {key_of(case): Found(case), key_of(trial): Found(trial, case)}
    parts = trials_of(replace(seen_of(made_run()), path=case), found)
    assert f"/run/{key_of(trial)}" in str(parts)
    assert trials_of(seen_of(made_run()), found) == []


def test_says_why_a_file_has_nothing_to_show() -> None:
    seen = replace(seen_of(Run()), diagnosis=None, fault="train.db is damaged: record it again.")
    assert "train.db is damaged: record it again." in texts_in(head_of(seen))
    assert status_line(seen) == ""


def test_answers_over_http_by_keys_alone(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.db", step_count=4)
    client = dashboard_application(Shelf(lambda: [Found(path)], diagnose), "runs").server.test_client()
    answer = client.get(f"/marks/{key_of(path)}").get_json()
    assert answer["mark"]
    assert "4 steps" in answer["status"]
    for keys in ("0", "run.db", f"{key_of(path)}x", f"..%2f{path.name}", str(path).lstrip("/")):
        assert client.get(f"/marks/{keys}").get_json() == {"mark": "", "status": ""}
    assert client.get("/report.css").mimetype == "text/css"
    assert "--ground" in client.get("/report.css").text
    assert "max-age" in client.get("/plotly.js").headers["Cache-Control"]
