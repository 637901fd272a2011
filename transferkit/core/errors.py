"""All exceptions that transferkit raises deliberately.

::

    TransferkitError                 exit 1: expected failure, the message is written for users
    ├── UsageError                   exit 2: the request itself is invalid
    │   └── UnknownNameError         a name that is not in a registry
    ├── DataError                    a data set that is absent, empty or malformed
    │   └── UnreadableImageError     one file that cannot be decoded
    ├── ModelError                   a network that cannot be built, or a layer that it does not have
    │   └── CheckpointError          weights that do not fit, or cannot be read safely
    ├── CacheError                   the feature cache cannot fulfil the request
    │   └── DamagedError             bytes on disk differ from the bytes that were written
    │       └── OutdatedError        a result record of an earlier format
    ├── ShapeError                   an array of the wrong shape or type (also a ValueError)
    ├── NonFiniteError               NaN or infinity in an array (also a ValueError)
    ├── StudyError                   failed tasks of a study, or machines that are not available
    ├── DiskSpaceError               not enough disk space, or a path that cannot be written
    ├── PluginError                  a plug-in that cannot be imported
    └── MissingExtraError            an optional package is not installed (also an ImportError)

A message names the value, the limit and the remedy. The command line catches
``TransferkitError`` once, in its root command; any other exception is a bug and keeps its traceback.
"""


class TransferkitError(Exception):
    """An expected failure whose message is written for users."""

    exit_code = 1


class UsageError(TransferkitError):
    """The request itself is invalid: a bad option value, a malformed spec."""

    exit_code = 2


class UnknownNameError(UsageError, KeyError):
    """A name that is not in a registry."""

    __str__ = Exception.__str__  # KeyError would print the repr, with quotes around the sentence


class DataError(TransferkitError):
    """A data set that is absent, empty or malformed."""


class UnreadableImageError(DataError):
    """One file that cannot be decoded; the message is the reason, without the file's name."""


class ModelError(TransferkitError):
    """A network that cannot be built, or does not have a requested layer."""


class CheckpointError(ModelError):
    """Weights that do not fit the architecture, or cannot be read safely."""


class CacheError(TransferkitError):
    """The feature cache cannot fulfil the request."""


class DamagedError(CacheError):
    """Bytes on disk differ from the bytes that were written."""


class OutdatedError(DamagedError):
    """A result record that an earlier version wrote in another format."""


class ShapeError(TransferkitError, ValueError):
    """An array of the wrong shape or type."""


class NonFiniteError(TransferkitError, ValueError):
    """An array contains NaN or infinity."""


class StudyError(TransferkitError):
    """Tasks of a study failed, or the machines that should run them are not available."""


class DiskSpaceError(TransferkitError):
    """The disk has not enough space, or does not allow a path to be written."""


class PluginError(TransferkitError):
    """A plug-in that cannot be imported, or that registers an invalid entry."""


class MissingExtraError(TransferkitError, ImportError):
    """An optional package is needed and not installed.

    Args:
        package: name of the package.
        extra: extra of transferkit that installs it.
        purpose: end of the sentence "… is needed …", such as "to write .parquet files".
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{package} is needed {purpose}. Install it with: pip install 'transferkit[{extra}]'")
