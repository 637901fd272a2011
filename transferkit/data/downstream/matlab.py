"""Variables of MATLAB files, in which several sets keep their labels."""

from typing import Any

from ...core.errors import DataError
from .contents import Contents


def matlab(contents: Contents, name: str, key: str) -> Any:
    """One variable of a MATLAB file.

    Raises: DataError: if there is no such file or variable, or it cannot be read.
    """
    from scipy.io import loadmat

    path = contents.folder / contents.file(name)
    try:
        return loadmat(path, variable_names=[key], squeeze_me=True)[key]
    except Exception as error:  # its parser raises whatever it stumbles over
        reason = f"it has no {key}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise DataError(f"{path} cannot be read: {reason}. Take it from the published archive.") from error
