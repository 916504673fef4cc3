"""What is handed out: a wheel and a source distribution that hold what they should, install and work."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

from gradiometer import __version__

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/gradiometer"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = ("benchmarks", "docs", "examples", "src", "tests", "tools")
FILES = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "pyproject.toml",
)
LITTER = ("__pycache__", "*.pyc", "*.egg-info", ".*", "*.db", "*.db-shm", "*.db-wal")
"""What trainings and tests leave behind in a checkout."""


def files_below(folder: Path) -> set[str]:
    """Every file of a folder that is no litter, relative to it."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not any(fnmatch(part, one) for part in path.parts for one in LITTER)}


def test_packs_every_file_that_is_no_module():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["gradiometer"]
    others = {name for name in files_below(PACKAGE) if not name.endswith(".py")}
    assert {"py.typed", "recording/tables.sql", "showing/report.html"} <= others
    assert {name for name in others if not any(fnmatch(name, pattern) for pattern in patterns)} == set()


def test_packs_every_module():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").is_file()} == set()


def test_has_extras_for_all_that_a_user_may_want():
    extras = PROJECT["project"]["optional-dependencies"]
    of_developers = {"all", "dev", "docs", "gpu", "peers"}
    wanted = {name for words in extras["all"] for name in words.partition("[")[2].strip("]").split(",")}
    assert wanted == set(extras) - of_developers


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of the tree, and `dist` in it with both distributions: the source's is made first, the wheel from it."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns(*LITTER))
    for file in FILES:
        shutil.copy(ROOT / file, tree)
    build = [sys.executable, "-m", "build", "--no-isolation", str(tree)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return tree


@pytest.fixture(scope="module")
def wheel(built):
    return built / f"dist/gradiometer-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def source(built):
    return built / f"dist/gradiometer-{__version__}.tar.gz"


def installed(distribution: Path, folder: Path) -> Path:
    """Install into a clean environment, which sees the packages of this one but not its gradiometer; its programs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    packages = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    ).strip()
    # Only a path: what lies in its .pth files, this checkout among them, is not followed. pip comes from there, too.
    Path(packages, "packages.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    install = [
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--ignore-installed",
        "--no-build-isolation",
        str(distribution),
    ]
    done = subprocess.run([python, "-m", "pip", *install], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    return installed(wheel, tmp_path_factory.mktemp("clean") / "venv")


def call(program: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [program, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=800
    )


@pytest.mark.slow
def test_has_a_wheel_with_the_package_and_nothing_else(built, wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"gradiometer-{__version__}.dist-info/METADATA").decode()
    inside = {name.removeprefix("gradiometer/") for name in names if name.startswith("gradiometer/")}
    assert inside == files_below(built / "src/gradiometer")
    others = {name.partition("/")[0] for name in names if not name.startswith("gradiometer/")}
    assert others == {f"gradiometer-{__version__}.dist-info"}
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata


@pytest.mark.slow
def test_has_a_source_distribution_with_all_that_its_checks_need(built, source):
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    made = {name for name in names if name == "PKG-INFO" or name == "setup.cfg" or ".egg-info/" in name}
    expected = {f"{folder}/{name}" for folder in FOLDERS for name in files_below(built / folder)}
    assert names - made - {"properdocs.yml"} == expected | set(FILES)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_works_from_a_wheel_in_a_clean_environment(programs, tmp_path):
    script = tmp_path / "elsewhere/ten_sigmoids.py"
    script.parent.mkdir()
    shutil.copy(ROOT / "examples/ten_sigmoids.py", script)
    folder = tmp_path / "empty"
    folder.mkdir()
    gradiometer = programs / "gradiometer"
    assert call(gradiometer, "--version", cwd=folder).stdout.startswith(f"gradiometer {__version__} (")
    home = call(programs / "python", "-c", "import gradiometer; print(gradiometer.__file__)", cwd=folder).stdout
    assert Path(home.strip()).is_relative_to(programs.parent)
    run = call(gradiometer, "run", "--quiet", "--steps", "200", "--file", "run.db", str(script), cwd=folder)
    assert run.returncode == 0, run.stderr
    check = call(gradiometer, "check", "--fail-on", "critical", str(script), cwd=folder)
    assert check.returncode == 3, check.stderr
    diagnosis = call(gradiometer, "diagnose", "run.db", cwd=folder)
    assert diagnosis.returncode == 0
    assert "BROKEN" in diagnosis.stdout
    report = call(gradiometer, "report", "run.db", cwd=folder)
    assert report.stdout == "run.html\n"
    assert "<html" in (folder / "run.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_starts_trials_from_a_wheel_in_a_clean_environment(programs, tmp_path):
    script = tmp_path / "ten_sigmoids.py"
    shutil.copy(ROOT / "examples/ten_sigmoids.py", script)
    folder = tmp_path / "empty"
    folder.mkdir()
    # What is proved so quickly is of no interest here, where it is whether trials can start and come home.
    words = ("--steps", "40", "--seeds", "1", "--seconds", "60", "--try", "clip_gradients:1.0", str(script))
    cure = call(programs / "gradiometer", "cure", "--json", *words, cwd=folder)
    assert cure.returncode in {0, 3}, cure.stderr
    told = json.loads(cure.stdout)
    assert {"", "clip_gradients:1.0"} <= {trial["cure"] for trial in told["trials"] if trial["status"] == "done"}
    assert (told["outcome"] == "better") == (cure.returncode == 0)


@pytest.mark.slow
def test_has_no_unmet_requirement_in_a_clean_environment(programs, tmp_path):
    checked = call(programs / "python", "-m", "pip", "check", cwd=tmp_path)
    # Of the packages of this environment, others may disagree among themselves.
    assert checked.stdout
    assert [line for line in checked.stdout.splitlines() if line.startswith("gradiometer ")] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_works_from_its_source_distribution(source, tmp_path):
    programs = installed(source, tmp_path / "venv")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    tree = tmp_path / f"gradiometer-{__version__}"
    files = ("tests/test_public_names.py", "tests/packaging")
    tests = call(programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, cwd=tree)
    assert tests.returncode == 0, tests.stdout
    assert " passed" in tests.stdout
