"""Operations of the merged view are played at random on an overlay and, for real, on a copy of the tree."""

import os
import random
import shutil

import pytest

from gradiometer.launching.guard import FileGuard

NAMES = ("a", "b", "c", "link")


def make_tree(folder):
    (folder / "a/b").mkdir(parents=True)
    (folder / "b").mkdir()
    (folder / "a/c").write_text("a/c")
    (folder / "c").write_text("c")
    (folder / "link").symlink_to("a")
    (folder / "b/link").symlink_to("../c")
    return folder


def look(folder, depth=0):
    """Describe a tree with the functions that a script would use."""
    found = []
    for name in sorted(os.listdir(folder)):  # noqa: PTH208
        path = os.path.join(folder, name)  # noqa: PTH118 - the guard is asked through plain os
        if os.path.islink(path):  # noqa: PTH114
            found.append((name, "link", os.readlink(path), os.path.exists(path)))  # noqa: PTH110, PTH115
        elif os.path.isdir(path):  # noqa: PTH112
            found.append((name, "folder", look(path, depth + 1)))
        else:
            with open(path) as file:
                found.append((name, "file", file.read()))
    return found


def act(folder, choose):
    """Do one operation at random; returns the class of the error that it met, or None."""
    one, two = (folder.joinpath(*choose.choices(NAMES, k=choose.randint(1, 3))) for _ in range(2))
    word = str(choose.random())
    actions = [
        lambda: one.write_text(word),
        lambda: one.open("a").close(),
        lambda: one.open("x").close(),
        lambda: one.unlink(),
        lambda: one.rmdir(),
        lambda: one.mkdir(),
        lambda: one.mkdir(parents=True),
        lambda: one.rename(two),
        lambda: one.replace(two),
        lambda: one.symlink_to(choose.choice(NAMES)),
        lambda: shutil.rmtree(one),
        lambda: shutil.copyfile(one, two),
        lambda: one.hardlink_to(two),
        lambda: os.truncate(one, 1),
    ]
    try:
        choose.choice(actions)()
    except (OSError, RuntimeError) as fault:  # pathlib answers a loop of links with the latter
        return type(fault).__name__
    return None


@pytest.mark.parametrize("seed", range(40))
def test_does_to_its_layer_what_the_system_does_to_a_real_tree(tmp_path, seed):
    real, guarded = make_tree(tmp_path / "bare/tree"), make_tree(tmp_path / "safe/tree")
    untouched = look(guarded)
    history = []
    expected, found = random.Random(seed), random.Random(seed)
    for _ in range(60):
        history.append((act(real, expected) is None, look(real)))
    with FileGuard(tmp_path / "trial"):
        for number, (succeeded, tree) in enumerate(history):
            assert (act(guarded, found) is None, look(guarded)) == (succeeded, tree), f"operation {number}"
    assert look(guarded) == untouched
