"""gradiometer, where it keeps files beside a run ..."""

from pathlib import Path

import pytest

from gradiometer.errors import SettingsError
from gradiometer.recording.keeping import (
    Bounds,
    KeptFiles,
    batches_folder,
    bounds_from,
    kept_files,
    weights_folder,
)


def writing(size_bytes: int):
    """Writes a file of this size."""
    return lambda path: path.write_bytes(b"x" * size_bytes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", Bounds(4, 64 * 2**20)),
        ("0", Bounds(0, 64 * 2**20)),
        ("200MB", Bounds(1000, 200_000_000)),
        (" 1.5 GiB ", Bounds(1000, 3 * 2**29)),
        ("0MB", Bounds(0, 0)),
    ],
)
def test_reads_a_number_of_files_or_a_size(text: str, expected: Bounds) -> None:
    assert bounds_from(text, "--keep-batches") == expected


@pytest.mark.parametrize("text", ["", "-1", "1.5", "many", "3 apples", "nan"])
def test_refuses_what_is_neither_with_an_example(text: str) -> None:
    with pytest.raises(SettingsError, match=r"--keep-weights.*200MB"):
        bounds_from(text, "--keep-weights")


def test_keeps_the_newest_files_within_their_number(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path / "run.batches", Bounds(2))
    assert [kept.keep(step, 10, writing(10)) for step in (3, 7, 20)] == ["", "", ""]
    assert list(kept_files(tmp_path / "run.batches")) == [7, 20]
    assert (kept.file_count, kept.size_bytes) == (2, 20)


def test_keeps_the_newest_files_within_their_size(tmp_path: Path) -> None:
    kept = KeptFiles(tmp_path, Bounds(100, 1000))
    for step in range(10):
        assert kept.keep(step, 300, writing(300)) == ""
    assert list(kept_files(tmp_path)) == [7, 8, 9]


def test_says_why_a_file_is_too_large(tmp_path: Path) -> None:
    reason = KeptFiles(tmp_path / "folder", Bounds(4, 1000)).keep(1, 5000, writing(5000))
    assert "allowed" in reason
    assert not (tmp_path / "folder").exists()


def test_says_why_a_folder_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = KeptFiles(tmp_path / "file", Bounds(4))
    assert "can't be written" in kept.keep(1, 10, writing(10))
    assert kept.room_for(10) != ""


def test_leaves_no_unfinished_file_behind(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    assert "No space left" in KeptFiles(tmp_path, Bounds(4)).keep(1, 10, fail)
    assert list(tmp_path.iterdir()) == []


def test_names_its_folders_after_the_run_file(tmp_path: Path) -> None:
    assert batches_folder(tmp_path / "a.db") == tmp_path / "a.batches"
    assert weights_folder(tmp_path / "a.db") == tmp_path / "a.weights"
    (tmp_path / "a.batches").mkdir()
    (tmp_path / "a.batches" / "notes.txt").write_text("mine")
    assert kept_files(tmp_path / "a.batches") == {}
