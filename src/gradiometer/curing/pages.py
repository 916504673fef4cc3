"""A cure's page: what it changes, when it helps, what it costs; the words stand in the docstring of the cure's file."""

import inspect
import sys
from difflib import get_close_matches

from gradiometer.curing import CURES
from gradiometer.diagnosing import CONDITIONS
from gradiometer.diagnosing.pages import Page, sections_of
from gradiometer.errors import SettingsError
from gradiometer.prescribing import PRESCRIPTIONS, cure_names


def cure_page_of(name: str) -> Page:
    """The page of one cure.

    Args:
        name: A key of `CURES`, also written with a hyphen, a space, or with a setting behind it.

    Raises:
        SettingsError: There is no such cure; the message names the nearest cure or condition, or all.

    Example:
        >>> cure_page_of("clip-gradients").sections[0][0]
        'What it changes'
    """
    key = name.strip().lower().partition(":")[0].replace("-", "_").replace(" ", "_")
    if key not in CURES:
        near = get_close_matches(key, [*CONDITIONS, *CURES], n=1)
        listed = f"there are the conditions {', '.join(CONDITIONS)} and the cures {', '.join(CURES)}"
        raise SettingsError(
            f"there is no condition or cure called {name!r}; {f'did you mean {near[0]}?' if near else listed}"
        )
    title, _, rest = (inspect.getdoc(sys.modules[CURES[key].__module__]) or "").partition("\n\n")
    causes = [cause for cause, labels in PRESCRIPTIONS.items() if any(key in cure_names(label) for label in labels)]
    tried = (("Tried for", ", ".join(cause.replace("_", " ") for cause in causes)),) if causes else ()
    return Page(key, " ".join(title.split()), (*sections_of(rest), *tried))
