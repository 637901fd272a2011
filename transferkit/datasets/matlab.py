"""Reader of variables in MATLAB files, which contain the labels of several data sets."""

from typing import Any

from ..core.errors import DataError
from .contents import Contents


def read_matlab(contents: Contents, name: str, key: str) -> Any:
    """Read one variable of a MATLAB file.

    Raises: DataError: If the file or variable is missing, or cannot be read.
    """
    from scipy.io import loadmat

    path = contents.folder / contents.file(name)
    try:
        return loadmat(path, variable_names=[key], squeeze_me=True)[key]
    except Exception as error:  # its parser raises many types of errors
        reason = f"it has no {key}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read: {reason}. Take it from the published archive.") from error
