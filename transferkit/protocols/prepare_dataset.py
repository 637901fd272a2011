"""Preparation of a data set by its spec."""

from pathlib import Path

from ..core.errors import UsageError
from ..core.progress import SILENT, Reporter
from ..data.budgets import split_spec
from ..data.detection import DETECTION, open_detection
from ..data.published import PUBLISHED
from ..download.preparing import Prepared, Request, prepare
from ..download.publication import Publication
from .dataset_catalog import is_boxed, open_dataset


def prepare_named(spec: str, root: Path, request: Request | None = None, *, reporter: Reporter = SILENT) -> Prepared:
    """Prepare the data set ``spec``: published data sets are fetched, embedded ones are drawn.

    Args:
        spec: Spec of one data set, as ``expand_datasets`` returns it; options and budgets have no effect.
        root: Data folder.
        request: Source of a published data set.
        reporter: Receives the progress.

    Raises:
        UsageError: If the spec is a path, or a source is given for an embedded data set.
        DataError, DiskSpaceError: See ``prepare``.
    """
    request = request or Request()
    whole, _ = split_spec(spec)
    name, colon, _ = whole.partition(":")
    published = _published(name)
    if published is not None and not (colon and is_boxed(name)):
        return prepare(published, root, request, reporter=reporter)
    if colon:
        raise UsageError(f"{whole} is a path and needs no preparation. Use it with --data {whole}.")
    if request.sources or request.urls:
        raise UsageError(f"{name} is embedded and has no other source. Remove --from and --url.")
    drawn = open_detection if is_boxed(name) else open_dataset
    dataset = drawn(whole, root=root, reporter=reporter)
    images = sum(map(len, dataset.splits.values()))
    return Prepared(name, "drawn", str(root), images, images, len(dataset.classes))


def _published(name: str) -> Publication | None:
    """Return the publication of a name; None for embedded data sets and paths."""
    return DETECTION[name].published if is_boxed(name) else PUBLISHED.get(name)
