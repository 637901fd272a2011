"""Preparing whatever a user can name."""

from pathlib import Path

from ...core.errors import UsageError
from ...core.progress import SILENT, Reporter
from ..budgets import split_spec
from ..catalog import is_boxed, open_dataset
from ..detection import DETECTION, open_detection
from ..downstream.published import PUBLISHED, Publication
from .preparing import Prepared, Request, prepare


def prepare_named(spec: str, root: Path, request: Request | None = None, *, reporter: Reporter = SILENT) -> Prepared:
    """Have the data set that ``spec`` names: a published one is prepared, an embedded one is drawn.

    Args:
        spec: of one data set, as ``expand_datasets`` gives it; options and budgets behind it change nothing.
        root: the data folder.
        request: where a published set comes from.
        reporter: told how far it has come.

    Raises:
        UsageError: if the set is a path of the user's, or an embedded one shall come from somewhere.
        DataError, DiskSpaceError: as of ``prepare``.
    """
    request = request or Request()
    whole, _ = split_spec(spec)
    name, colon, _ = whole.partition(":")
    published = _published(name)
    if published is not None and not (colon and is_boxed(name)):
        return prepare(published, root, request, reporter=reporter)
    if colon:
        raise UsageError(f"{whole} is your own and needs no preparing. Use it with --data {whole}.")
    if request.sources or request.urls:
        raise UsageError(f"{name} is embedded and comes from nowhere else. Leave out --from and --url.")
    drawn = open_detection if is_boxed(name) else open_dataset
    dataset = drawn(whole, root=root, reporter=reporter)
    images = sum(map(len, dataset.splits.values()))
    return Prepared(name, "drawn", str(root), images, images, len(dataset.classes))


def _published(name: str) -> Publication | None:
    """What stands behind a name; None for what is drawn, or a path."""
    return DETECTION[name].published if is_boxed(name) else PUBLISHED.get(name)
