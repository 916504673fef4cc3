"""A project with files of many kinds, what a tree holds, and how a script is run in it."""

import os
import subprocess


def make_project(folder):
    (folder / "data/deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "best.pt").write_bytes(b"the user's best")
    (folder / "data/a.csv").write_text("1,2\n3,4\n")
    (folder / "data/b.csv").write_text("5,6\n")
    (folder / "data/deep/c.txt").write_text("c\n")
    (folder / "log.txt").write_text("first\n")
    (folder / "read_only.txt").write_text("kept\n")
    (folder / "latest.pt").symlink_to("best.pt")
    (folder / "weights").symlink_to("data")
    os.utime(folder / "log.txt", (1_000_000, 1_000_000))
    return folder


def contents(folder):
    """All of a tree: what each path is and holds."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("folder",)
        else:
            status = path.stat()
            found[name] = ("file", path.read_bytes(), status.st_mode, status.st_mtime_ns)
    return found


def run(command, cwd):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=120, env=environment
    )
