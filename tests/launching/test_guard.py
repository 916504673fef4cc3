"""The oracle is the bare script: run for real in one copy of a project, guarded in another.

Both must print the same; after the guarded run the copy must hold the bytes it held before.
"""

import sys

import pytest

from gradiometer.launching.guard import FileGuard
from launching.guarded_project import contents, make_project, run

GUARDED = """
import runpy, sys
from pathlib import Path
from gradiometer.launching.guard import FileGuard
guard = FileGuard(Path(sys.argv[1]))
with guard:
    runpy.run_path(sys.argv[2], run_name="__main__")
for line in guard.unguarded:
    print("unguarded:", line, file=sys.stderr)
"""


@pytest.fixture
def compare(tmp_path):
    """Run a script bare and guarded; the guarded run must print the same and change nothing."""
    launcher = tmp_path / "launcher.py"
    launcher.write_text(GUARDED)

    def run_both(text):
        bare, guarded = make_project(tmp_path / "bare/project"), make_project(tmp_path / "safe/project")
        script = tmp_path / "script.py"
        script.write_text(text)
        before = contents(guarded)
        real = run([sys.executable, script], bare)
        assert real.returncode == 0, real.stderr
        ours = run([sys.executable, launcher, tmp_path / "trial", script], guarded)
        assert ours.returncode == 0, ours.stderr
        assert ours.stdout.replace("/safe/", "/bare/") == real.stdout
        assert contents(guarded) == before
        return ours

    return run_both


TREE = """
import os
def show():
    for folder, folders, files in os.walk("."):
        folders.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            print(path, os.path.islink(path), os.path.exists(path) and open(path, "rb").read())
        print(folder, sorted(folders))
"""


def test_keeps_what_a_script_writes_by_open_and_reads_it_back(compare):
    compare(
        TREE
        + """
with open("best.pt", "wb") as f: print(f.write(b"trained"), f.name)
print(open("best.pt", "rb").read(), os.path.getsize("best.pt"))
with open("log.txt", "a") as f: f.write("second\\n")
with open("data/a.csv", "r+") as f: f.write("9"); f.seek(0); print(f.read())
with open("data/b.csv", "rb+", buffering=0) as f: f.write(b"7"); print(f.name)
with open(os.path.abspath("new.txt"), "x") as f: f.write("new")
with open(b"bytes.txt", "w+") as f: f.write("b"); f.seek(0); print(f.read(), f.name)
for mode in ("x", "r"):
    try: open("new.txt" if mode == "x" else "none.txt", mode)
    except OSError as fault: print(repr(fault), fault.filename)
for path in ("data", "none/there.txt"):
    try: open(path, "w")
    except OSError as fault: print(repr(fault), fault.filename)
with open("latest.pt", "ab") as f: f.write(b" more")
print(open("best.pt").read(), os.path.islink("latest.pt"))
with open("weights/new.csv", "w") as f: f.write("through a link")
descriptor = os.open("low.bin", os.O_CREAT | os.O_RDWR, 0o600)
os.write(descriptor, b"low"); os.lseek(descriptor, 0, 0)
with open(descriptor, "rb") as f: print(f.read())
print(oct(os.stat("low.bin").st_mode))
with open(os.devnull, "w") as f: f.write("nothing")
show()
"""
    )


def test_removes_renames_and_makes_folders_without_touching_the_originals(compare):
    compare(
        TREE
        + """
os.remove("log.txt")
print(os.path.exists("log.txt"), "log.txt" in os.listdir(), os.access("log.txt", os.R_OK))
try: os.remove("log.txt")
except OSError as fault: print(repr(fault))
with open("log.txt", "w") as f: f.write("again")
os.rename("data", "moved")
print(os.path.exists("data"), os.path.exists("weights"), sorted(os.listdir("moved")))
os.makedirs("out/deep/deeper")
os.makedirs("out/deep", exist_ok=True)
with open("out/deep/best.pt.tmp", "wb") as f: f.write(b"atomic")
os.replace("out/deep/best.pt.tmp", "best.pt")
for action in (
    lambda: os.mkdir("out"), lambda: os.mkdir("none/there"), lambda: os.rmdir("out"), lambda: os.rmdir("best.pt"),
    lambda: os.remove("out"), lambda: os.rename("none", "other"), lambda: os.rename("best.pt", "out"),
    lambda: os.rename("out", "best.pt"), lambda: os.rename("empty", "moved"), lambda: os.listdir("none"),
    lambda: os.listdir("best.pt"), lambda: os.stat("none"), lambda: os.chdir("none"),
):
    try: print("no fault", action())
    except OSError as fault: print(repr(fault), fault.filename, fault.filename2)
os.rmdir("empty")
os.rename("out/deep", "empty")
os.removedirs("out")
os.symlink("moved/b.csv", "link.csv"); os.symlink("nowhere", "broken")
print(open("link.csv").read(), os.readlink("link.csv"), os.path.exists("broken"), os.path.lexists("broken"))
print(os.path.relpath(os.path.realpath("link.csv")))
os.link("best.pt", "hard.pt"); print(os.path.samefile("best.pt", "hard.pt"))
os.truncate("best.pt", 3); os.chmod("read_only.txt", 0o400); os.utime("read_only.txt", (5, 7))
print(os.stat("read_only.txt").st_mtime, oct(os.lstat("read_only.txt").st_mode))
os.rename("best.pt", "best.pt")
show()
"""
    )


def test_works_under_pathlib_shutil_glob_and_tempfile(compare):
    compare(
        TREE
        + """
import glob, shutil, tempfile
from pathlib import Path
Path("best.pt").write_bytes(b"by pathlib"); print(Path("best.pt").read_bytes(), Path("best.pt").stat().st_size)
Path("a/b").mkdir(parents=True); Path("a/b/touched").touch(); Path("log.txt").touch()
Path("a/b/x").write_text("x"); Path("a/b/x").rename("a/y"); Path("a/y").replace("a/z"); Path("data/b.csv").unlink()
print(sorted(p.name for p in Path("data").iterdir()), sorted(map(str, Path().rglob("*.csv"))), Path("a").is_dir())
print(sorted(glob.glob("*/*")), sorted(glob.glob("**/*.txt", recursive=True)))
print(shutil.copy("data/a.csv", "copied.csv"), shutil.copy2("log.txt", "a"), shutil.move("copied.csv", "empty"))
shutil.copytree("data", "data_copy"); shutil.copytree("data", "data_copy", dirs_exist_ok=True)
shutil.rmtree("data/deep"); print(os.path.exists("data/deep"), os.listdir("data"))
os.makedirs("data/deep"); print(os.listdir("data/deep"))
shutil.rmtree("weights/deep"); shutil.rmtree("data"); shutil.rmtree("none", ignore_errors=True)
shutil.make_archive("archive", "zip", "data_copy"); shutil.unpack_archive("archive.zip", "unpacked")
shutil.make_archive("archive", "gztar", "data_copy"); shutil.unpack_archive("archive.tar.gz", "untarred")
os.remove("archive.zip"); os.remove("archive.tar.gz")
with tempfile.TemporaryDirectory() as folder: Path(folder, "x").write_text("x"); print(os.listdir(folder))
with tempfile.NamedTemporaryFile(dir=".", suffix=".tmp") as f: f.write(b"t"); print(os.path.exists(f.name))
with tempfile.TemporaryFile(dir=".") as f: f.write(b"t")
with tempfile.NamedTemporaryFile("w") as f: f.write("t"); f.flush(); print(open(f.name).read())
print(list(Path().glob("*.tmp")))
with os.scandir(".") as entries:
    print(sorted((e.name, e.path, e.is_dir(), e.is_file(), e.is_symlink(), e.is_file() and e.stat().st_size) for e in entries))
print(sorted(os.listdir(b".")), sorted(e.path for e in os.scandir(b"empty")))
print(sorted(os.listdir(os.open("empty", os.O_RDONLY))))
print([(f, sorted(d), sorted(n)) for f, d, n, _ in os.fwalk("unpacked")])
show()
"""  # noqa: E501
    )


def test_follows_a_script_into_a_folder_that_it_made(compare):
    compare(
        TREE
        + """
os.makedirs("runs/1"); os.chdir("runs/1")
print(os.path.basename(os.getcwd()), os.getcwd().split("/project/")[1], os.getcwdb()[-6:])
with open("here.txt", "w") as f: f.write("here")
print(open("../../log.txt").read(), open("../1/here.txt").read(), os.path.abspath("x").split("/project/")[1])
with open("../../log.txt", "a") as f: f.write("from below")
os.chdir("../.."); print(open("log.txt").read()); os.chdir("data"); print(sorted(os.listdir())); os.chdir("..")
folder = os.open("runs", os.O_RDONLY)
with open(os.open("by_fd.txt", os.O_CREAT | os.O_WRONLY, dir_fd=folder), "w") as f: f.write("fd")
print(os.stat("by_fd.txt", dir_fd=folder).st_size); os.unlink("by_fd.txt", dir_fd=folder)
print(os.path.exists("/proc/self/fd/%d" % folder), os.stat(folder).st_mode)
show()
"""
    )


@pytest.mark.slow
def test_keeps_torch_numpy_safetensors_and_archives(compare):
    compare(
        TREE
        + """
import gzip, json, pickle, zipfile, numpy as np, torch
from torch import nn
from pathlib import Path
torch.manual_seed(0); model = nn.Linear(2, 2)
torch.save(model.state_dict(), "best.pt"); print(torch.load("best.pt")["weight"])
torch.save({"a": torch.ones(2)}, f=Path("data/a.pt")); print(torch.load(f=Path("weights/a.pt"), weights_only=True))
print(torch.load("best.pt", mmap=True)["bias"])
with open("handle.pt", "wb") as f: torch.save(model.state_dict(), f)
print(zipfile.ZipFile("best.pt").namelist()[0])
try: torch.load("none.pt")
except FileNotFoundError as fault: print(fault)
torch.jit.save(torch.jit.script(model), "scripted.pt"); print(torch.jit.load("scripted.pt")(torch.ones(2)))
from safetensors.torch import save_file, load_file, save_model
from safetensors import safe_open
save_file(model.state_dict(), "model.safetensors"); print(load_file("model.safetensors")["weight"])
save_model(model, "best.safetensors")
with safe_open("best.safetensors", "pt") as f: print(sorted(f.keys()))
np.save("x.npy", np.arange(3)); np.savez("x.npz", a=np.ones(2)); np.savetxt("data/b.csv", np.ones((2, 2)))
print(np.load("x.npy"), np.load("x.npz")["a"], np.loadtxt("data/b.csv"), np.load("x.npy", mmap_mode="r")[1])
mapped = np.memmap("data/a.csv", mode="r+", dtype=np.uint8); mapped[0] = 65; mapped.flush(); print(open("data/a.csv").read())
np.arange(4, dtype=np.uint8).tofile("raw"); print(np.fromfile("raw", np.uint8))
json.dump([1], open("a.json", "w")); pickle.dump(2, open("a.pkl", "wb")); print(json.load(open("a.json")))
with gzip.open("a.gz", "wt") as f: f.write("zipped")
print(gzip.open("a.gz").read())
import logging
logging.basicConfig(filename="train.log", level=logging.INFO); logging.info("told"); logging.shutdown()
for name in ("best.pt", "data/a.pt", "scripted.pt", "a.gz"): os.remove(name)
os.remove("a.pkl"); os.remove("x.npz"); os.remove("handle.pt")
show()
"""  # noqa: E501
    )


def test_copies_a_database_when_it_is_first_touched(tmp_path, compare):
    compare(
        """
import sqlite3, os
with sqlite3.connect("study.db") as db: db.execute("create table t (x)"); db.execute("insert into t values (1)")
with sqlite3.connect("file:study.db?mode=ro", uri=True) as db: print(db.execute("select * from t").fetchall())
with sqlite3.connect(database="study.db") as db: db.execute("insert into t values (2)")
print(sqlite3.connect("study.db").execute("select * from t").fetchall(), os.path.exists("study.db"))
print(sqlite3.connect(":memory:").execute("select 1").fetchall())
"""
    )


def test_leaves_the_users_own_database_alone(tmp_path):
    import sqlite3

    path = tmp_path / "study.db"
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table t (x)")
        db.execute("insert into t values (1)")
        db.commit()  # the rows are still in the write-ahead log
        with FileGuard(tmp_path / "trial"):
            guarded = sqlite3.connect(path)
            guarded.execute("insert into t values (2)")
            guarded.commit()
            assert guarded.execute("select x from t").fetchall() == [(1,), (2,)]
            guarded.close()
        assert db.execute("select x from t").fetchall() == [(1,)]
    db.close()


@pytest.mark.slow
def test_shares_its_files_with_forked_workers(compare):
    compare(
        """
import os, torch, warnings
from torch.utils.data import DataLoader, Dataset
class Writing(Dataset):
    def __len__(self): return 4
    def __getitem__(self, index):
        with open(f"cache_{index}.txt", "w") as f: f.write(str(index))
        if index == 3: os.remove("log.txt")
        return int(open(f"cache_{index}.txt").read())
if __name__ == "__main__":
    print([int(x) for x in DataLoader(Writing(), num_workers=2, batch_size=1)])
    print(sorted(name for name in os.listdir() if "cache" in name), os.path.exists("log.txt"))
"""
    )


def test_notes_programs_that_are_out_of_reach(compare):
    result = compare(
        """
import subprocess, os
print(subprocess.run(["echo", "hello"], capture_output=True).stdout, os.system("true"))
print(subprocess.run(["echo", "hello"], capture_output=True).stdout)
"""
    )
    lines = result.stderr.splitlines()
    assert "unguarded: subprocess.Popen: echo hello" in lines
    assert "unguarded: os.system: true" in lines
    assert len(lines) == 2


def test_imports_modules_beside_the_script_without_caching_them(tmp_path, compare):
    (tmp_path / "sibling.py").write_text("word = 'imported'\n")
    compare("import sibling\nprint(sibling.word)\n")
    assert not (tmp_path / "trial/files" / str(tmp_path)[1:] / "__pycache__").exists()


def test_keeps_its_files_for_the_next_guard_of_the_same_folder(tmp_path):
    path = tmp_path / "best.pt"
    path.write_text("the user's")
    with FileGuard(tmp_path / "trial"):
        path.write_text("trained")
        (tmp_path / "other").write_text("more")
    assert path.read_text() == "the user's"
    assert not (tmp_path / "other").exists()
    with FileGuard(tmp_path / "trial"):
        assert path.read_text() == "trained"
        path.unlink()
    with FileGuard(tmp_path / "trial"):
        assert not path.exists()
    assert path.read_text() == "the user's"


def test_writes_through_where_it_is_allowed(tmp_path):
    (tmp_path / "allowed").mkdir()
    with FileGuard(tmp_path / "trial", allowed=(tmp_path / "allowed", tmp_path / "run.gradiometer")):
        (tmp_path / "allowed/x").write_text("x")
        (tmp_path / "run.gradiometer").write_text("run")
        (tmp_path / "trial/log").write_text("log")
    assert (tmp_path / "allowed/x").read_text() == "x"
    assert (tmp_path / "run.gradiometer").read_text() == "run"
    assert (tmp_path / "trial/log").read_text() == "log"
