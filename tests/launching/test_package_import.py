import importlib
import sys

import pytest

from gradiometer.launching.package_import import ImportWatch


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "watched_package").mkdir()
    (tmp_path / "watched_package/__init__.py").write_text("value = 1\n")
    (tmp_path / "watched_package/part.py").write_text("value = 2\n")
    (tmp_path / "failing_package.py").write_text("raise ZeroDivisionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "watched_package"
    for name in ("watched_package", "watched_package.part", "failing_package"):
        sys.modules.pop(name, None)


def test_tells_each_of_several_watches_once(package):
    told = []
    finders = list(sys.meta_path)
    with ImportWatch(package, lambda: told.append("outer")), ImportWatch(package, lambda: told.append("inner")):
        assert told == []
        module = importlib.import_module(package)
        assert sorted(told) == ["inner", "outer"]
        importlib.reload(module)
    assert len(told) == 2
    assert sys.meta_path == finders
    assert module.__loader__ is module.__spec__.loader
    assert type(module.__loader__).__name__ == "SourceFileLoader"


def test_tells_at_once_what_is_imported_already(package):
    importlib.import_module(package)
    told = []
    with ImportWatch(package, lambda: told.append(sys.modules[package].value)):
        assert told == [1]


def test_watches_a_module_inside_a_package(package):
    told = []
    with ImportWatch(f"{package}.part", lambda: told.append("part")):
        importlib.import_module(package)
        assert told == []
        importlib.import_module(f"{package}.part")
    assert told == ["part"]


def test_tells_nothing_of_a_package_that_fails_or_is_not_there(package):
    told = []
    with ImportWatch("failing_package", lambda: told.append("failed")), pytest.raises(ZeroDivisionError):
        importlib.import_module("failing_package")
    with ImportWatch("no_such_package_at_all", lambda: told.append("missing")), pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_package_at_all")
    assert told == []


def test_stops_watching_with_its_block(package):
    told = []
    with ImportWatch(package, lambda: told.append("late")):
        assert importlib.util.find_spec(package) is not None
    importlib.import_module(package)
    assert told == []
