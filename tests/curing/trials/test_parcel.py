"""Trials as they travel: packed, run in a folder that knows nothing of home, and put where they belong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curing.trials.trial_material import SIGMOIDS, spec_for
from gradiometer.curing.trials.local import empty_folder, run_trials
from gradiometer.curing.trials.parcel import Parcel, abroad, archive_of, packed, perform_parcel, roots_of, unpacked
from gradiometer.errors import SettingsError
from gradiometer.recording.reader import read_run

READING = "import helper\nassert open('data/rate.txt').read() == '0.1'\n" + SIGMOIDS


def furnish(folder: Path) -> None:
    """What the script reads beside it, and what nobody wants to send."""
    for name in ("data", ".git", "__pycache__", ".gradiometer"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "rate.txt").write_text("0.1")
    (folder / "helper.py").write_text("x = 1\n")


@pytest.mark.slow
def test_gives_what_a_trial_at_home_gives(tmp_path: Path) -> None:
    furnish(tmp_path)
    near = spec_for(tmp_path, READING, steps=8, cures=("exchange_activation:relu",))
    run_trials([near], workers=1)
    far = replace(near, folder=str(tmp_path / "far"), case_file=str(near.run_file))
    home = perform_parcel(packed(far), archive_of(far))
    empty_folder(far)
    end = unpacked(packed(far), home)
    first, second = read_run(near.run_file), read_run(far.run_file)

    assert (end.exit_code, end.was_late) == (0, False)
    assert set(home.files) >= {"run.db", "output.log"}
    assert np.array_equal(first.losses[0].values, second.losses[0].values)
    assert first.losses[0].site == second.losses[0].site
    assert first.fingerprints == second.fingerprints
    # The run file speaks of home, so that it is known later whether a source was changed.
    assert second.facts["sources"] == first.facts["sources"]
    assert set(second.facts["sources"]) == {str(tmp_path / "train.py"), str(tmp_path / "helper.py")}
    assert second.facts["working_directory"] == str(tmp_path)
    assert second.facts["machine"]
    assert not Path(home.folder).exists()


def test_sends_the_scripts_folder_where_that_is_another(tmp_path: Path) -> None:
    furnish(tmp_path / "lab")
    (tmp_path / "work").mkdir()
    spec = spec_for(tmp_path / "lab", READING, steps=8)
    outside = replace(spec, script="../lab/train.py", working_directory=str(tmp_path / "work"))
    folder = tmp_path / "there"
    folder.mkdir()

    assert set(roots_of(outside)) == {"work", "script"}
    assert set(roots_of(replace(spec, script=str(tmp_path / "lab" / "train.py")))) == {"work"}
    assert abroad(Parcel(outside), folder).script == str(folder / "script" / "train.py")
    absolute = abroad(Parcel(replace(spec, script=str(tmp_path / "lab" / "train.py"))), tmp_path / "work")
    assert absolute.script == str(tmp_path / "work" / "work" / "train.py")


def test_leaves_behind_what_no_script_needs_and_refuses_too_much(tmp_path: Path) -> None:
    furnish(tmp_path)
    spec = spec_for(tmp_path, SIGMOIDS)
    before = len(archive_of(spec))
    (tmp_path / ".git" / "pack").write_bytes(b"x" * 3 * 2**20)
    assert len(archive_of(spec)) == before
    (tmp_path / "data" / "images").write_bytes(b"x" * 3 * 2**20)
    with pytest.raises(SettingsError, match="more than 2 MB.*absolute path"):
        archive_of(spec, most_megabytes=2)


def test_refuses_a_machine_with_another_version(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, SIGMOIDS)
    with pytest.raises(SettingsError, match=r"and 0\.0\.0 sends it"):
        perform_parcel(Parcel(spec, version="0.0.0"), archive_of(spec))
