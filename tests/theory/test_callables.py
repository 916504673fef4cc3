import math

import numpy as np
import pytest

from gradiometer.activations import ACTIVATIONS
from gradiometer.errors import SettingsError
from gradiometer.theory.callables import named_activation


def test_looks_up_a_name():
    assert named_activation("tanh") is ACTIVATIONS["tanh"]
    with pytest.raises(SettingsError, match="known are sigmoid"):
        named_activation("tanhh")


def test_imports_a_function_of_a_module():
    assert named_activation("math:tanh").function(np.array([0.5]))[0] == math.tanh(0.5)
    assert named_activation("numpy:arctan").name == "arctan"


def test_imports_a_function_of_a_file(tmp_path):
    file = tmp_path / "own activations.py"
    file.write_text("def bent(x):\n    return max(0.1 * x, x)\n\nnumber = 3\n")
    own = named_activation(f"{file}:bent")
    assert own.slope(np.array([-2.0, 2.0])) == pytest.approx([0.1, 1.0])
    with pytest.raises(SettingsError, match="no function 'number'"):
        named_activation(f"{file}:number")


def test_says_what_it_could_not_import(tmp_path):
    with pytest.raises(SettingsError, match=r"can't be imported: ModuleNotFoundError: No module named 'nowhere'"):
        named_activation("nowhere:f")
    with pytest.raises(SettingsError, match="can't be imported"):
        named_activation(f"{tmp_path / 'missing.py'}:f")
    (tmp_path / "wrong.py").write_text("def f(x:\n")
    with pytest.raises(SettingsError, match="can't be imported: SyntaxError"):
        named_activation(f"{tmp_path / 'wrong.py'}:f")
    with pytest.raises(SettingsError, match="no function 'nothing'"):
        named_activation("math:nothing")
