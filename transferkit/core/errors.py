"""Everything transferkit raises on purpose.

::

    TransferkitError                 exit 1: expected failure, the message is fit for a user
    ├── UsageError                   exit 2: the request itself cannot be meant
    │   └── UnknownNameError         a name that no registry knows
    ├── DataError                    a data set that is absent, empty or malformed
    │   └── UnreadableImageError     one file that cannot be decoded
    ├── ModelError                   a network that cannot be built or tapped
    │   └── CheckpointError          weights that do not fit, or cannot be read safely
    ├── CacheError                   the feature cache cannot do what was asked
    │   └── DamagedError             bytes on disk are not the bytes that were written
    ├── ShapeError                   an array of the wrong shape or type (also a ValueError)
    ├── NonFiniteError               NaN or infinity where numbers belong (also a ValueError)
    ├── StudyError                   tasks of a study that failed, or machines that cannot be had
    ├── DiskSpaceError               not enough room for what is about to be written
    └── MissingExtraError            an optional package is not installed (also an ImportError)

A message names the value, the limit and the remedy. The command line catches
``TransferkitError`` once, at its root; anything else is a bug and keeps its traceback.
"""


class TransferkitError(Exception):
    """An expected failure whose message is fit for a user."""

    exit_code = 1


class UsageError(TransferkitError):
    """The request itself cannot be meant: a bad option value, a malformed spec."""

    exit_code = 2


class UnknownNameError(UsageError, KeyError):
    """A name that no registry knows."""

    __str__ = Exception.__str__  # KeyError would print the repr, with quotes around the sentence


class DataError(TransferkitError):
    """A data set that is absent, empty or malformed."""


class UnreadableImageError(DataError):
    """One file that cannot be decoded; the message is the reason, without the file's name."""


class ModelError(TransferkitError):
    """A network that cannot be built or tapped as asked."""


class CheckpointError(ModelError):
    """Weights that do not fit the architecture, or cannot be read safely."""


class CacheError(TransferkitError):
    """The feature cache cannot do what was asked."""


class DamagedError(CacheError):
    """Bytes on disk are not the bytes that were written."""


class ShapeError(TransferkitError, ValueError):
    """An array of the wrong shape or type."""


class NonFiniteError(TransferkitError, ValueError):
    """NaN or infinity where numbers belong."""


class StudyError(TransferkitError):
    """Tasks of a study failed, or the machines that should carry them out cannot be had."""


class DiskSpaceError(TransferkitError):
    """Not enough room on the disk for what is about to be written."""


class MissingExtraError(TransferkitError, ImportError):
    """An optional package is needed and not installed.

    Args:
        package: what could not be imported.
        extra: the extra of transferkit that brings it.
        purpose: what it is needed for, to end the sentence "… is needed …".
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(f"{package} is needed {purpose}. Install it with: pip install 'transferkit[{extra}]'")
