"""A folder of two layers, listed: what a trial wrote lies over what the user has."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradiometer.launching.guard import FileGuard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    (folder / "kept.txt").write_text("user")
    (folder / "removed.txt").write_text("user")
    (folder / "changed.txt").write_text("user")
    (folder / "link").symlink_to("kept.txt")
    (folder / "dangling").symlink_to("nowhere")
    return folder


@pytest.fixture
def guarded(folder: Path, tmp_path: Path) -> Iterator[Path]:
    trial = tmp_path / "trial"
    trial.mkdir()
    with FileGuard(trial):
        (folder / "new.txt").write_text("trial")
        (folder / "changed.txt").write_text("longer text")
        (folder / "removed.txt").unlink()
        yield folder


def test_a_scan_lists_both_layers_once_and_not_what_was_removed(guarded: Path) -> None:
    with os.scandir(guarded) as entries:
        names = [entry.name for entry in entries]
    assert sorted(names) == ["changed.txt", "dangling", "data", "kept.txt", "link", "new.txt"]


def test_each_entry_tells_of_its_file_as_the_functions_of_os_do(guarded: Path) -> None:
    entries = {entry.name: entry for entry in os.scandir(guarded)}
    for name, entry in entries.items():
        path = str(guarded / name)
        assert os.fspath(entry) == entry.path == path
        assert entry.is_dir() == Path(path).is_dir(), name
        assert entry.is_file() == Path(path).is_file(), name
        assert entry.is_symlink() == Path(path).is_symlink(), name
        assert entry.inode() == os.lstat(path).st_ino, name
        assert not entry.is_junction()
    assert entries["changed.txt"].stat().st_size == len("longer text")
    assert entries["link"].stat().st_size == len("user")
    assert entries["link"].stat(follow_symlinks=False).st_size == len("kept.txt")


def test_a_folder_given_as_bytes_gives_bytes(guarded: Path) -> None:
    names = {entry.name for entry in os.scandir(os.fsencode(guarded))}
    assert b"new.txt" in names
    assert all(isinstance(name, bytes) for name in names)


def test_a_scan_that_is_closed_has_no_more_entries(guarded: Path) -> None:
    scan = os.scandir(guarded)
    next(scan)
    scan.close()
    assert list(scan) == []
