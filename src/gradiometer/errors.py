"""What gradiometer raises, and nothing else does.

    GradiometerError          the user can mend it; the message says what, where, and what to do next
    ├── RunFileError          a run file can't be read or written
    │   ├── NotARunFileError  the file is something else, or damaged
    │   └── NewerRunFileError the file was written by a later version
    ├── ScriptError           the script can't be run: not there, not Python, or it fails before it trains
    ├── NoTrainingError       no optimizer step was seen; the message lists what was looked for
    ├── CureRefusedError      a cure doesn't fit this network or this moment; the message says why
    ├── DataError             a data set of the lab is not at hand; the message says how to get it
    └── SettingsError         a setting or an option has a value that is not allowed

The command line prints a GradiometerError as one sentence and ends with exit code 2; every other exception that
leaves gradiometer's own code is a defect and keeps its traceback.
"""


class GradiometerError(Exception):
    """Something that the user can mend; the message says what, where, and what to do next."""


class RunFileError(GradiometerError):
    """A run file can't be read or written."""


class NotARunFileError(RunFileError):
    """The file is not a run file, or is damaged."""


class NewerRunFileError(RunFileError):
    """The run file was written by a later version of gradiometer."""


class ScriptError(GradiometerError):
    """The script can't be run."""


class NoTrainingError(GradiometerError):
    """No training was seen where one was expected."""


class CureRefusedError(GradiometerError):
    """A cure does not fit this network, or can't be applied at this moment."""


class DataError(GradiometerError):
    """A data set of the lab can't be loaded."""


class SettingsError(GradiometerError):
    """A setting or an option has a value that is not allowed."""
