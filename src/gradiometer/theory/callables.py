"""An activation by its name, or a Python function as `module:function` or `file.py:function`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from gradiometer.activations import Activation, activation_of
from gradiometer.errors import SettingsError
from gradiometer.theory.moments import as_activation


def named_activation(text: str) -> Activation:
    """Look an activation up, or import it.

    Args:
        text: A name in `gradiometer.activations`, `module:function` or `file.py:function`. A module is looked for in
            the working folder, too.

    Returns:
        The activation.

    Raises:
        SettingsError: There is no such activation, module or function, or it is no function of a number.

    Example:
        >>> named_activation("numpy:arctan").greatest_slope.__round__(6)
        1.0
    """
    place, separator, name = text.rpartition(":")
    if not separator:
        return activation_of(text)
    function = getattr(_module_at(place), name, None)
    if not callable(function):
        raise SettingsError(f"there is no function {name!r} in {place}")
    return as_activation(function)


def _module_at(place: str) -> ModuleType:
    """Import a module by its name, or a file by its path."""
    try:
        if not place.endswith(".py"):
            if "" not in sys.path:
                sys.path.insert(0, "")
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        if spec is None or spec.loader is None:
            raise ImportError("it is not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except Exception as fault:
        raise SettingsError(f"{place} can't be imported: {type(fault).__name__}: {fault}") from fault
    return module
