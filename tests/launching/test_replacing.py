"""Functions are exchanged wherever modules hold them, without a word to those who listen."""

import math
import subprocess
import sys
from types import ModuleType

import pytest

from gradiometer.launching.replacing import Replacing


class Strange:
    """Answers no question about equality, and has no hash."""

    __hash__ = None

    def __eq__(self, other):
        raise RuntimeError("must not be asked")


@pytest.fixture
def holder():
    module = ModuleType("holder_of_functions")
    module.strange, module.root, module.alike, module.number = Strange(), math.sqrt, math.floor, 1.5
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_exchanges_a_function_under_any_name_and_puts_it_back(holder):
    original, strange = math.sqrt, holder.strange
    replacing = Replacing()
    replacing.replace([(original, abs)])
    found = holder.root, math.sqrt, holder.alike, holder.strange
    replacing.undo()
    assert found[:2] == (abs, abs)
    assert found[2] is math.floor
    assert found[3] is strange
    assert holder.root is math.sqrt is original


LISTENING = """
import math, sys
from gradiometer.launching.replacing import Replacing

heard = 0

def listen(event, arguments):
    global heard
    heard += event == "builtins.id"

sys.addaudithook(listen)
id(math)
Replacing().replace([(math.sqrt, abs)])
print(heard, sum(len(vars(module)) for module in list(sys.modules.values()) if hasattr(module, "__dict__")))
"""


def test_searches_thousands_of_names_without_telling_an_audit_hook_of_each():
    finished = subprocess.run([sys.executable, "-c", LISTENING], capture_output=True, text=True, check=True)
    heard, name_count = map(int, finished.stdout.split())
    assert heard == 1
    assert name_count > 2000
