"""What protocols do that need one label an image: refuse data sets with several, before they compute."""

from collections.abc import Sequence

from ..core.errors import DataError
from ..core.labels import several
from ..data.dataset import Dataset

PROBED = "Use transferkit probe --protocol linear or knn"


def require_one_label(datasets: Sequence[Dataset], *, what: str, instead: str = PROBED) -> None:
    """Refuse data sets whose images have several labels, naming the others.

    Args:
        datasets: that were asked for.
        what: needs one label, to fill "… needs one label an image".
        instead: what else can be done, without a full stop.

    Raises: DataError: then.
    """
    refused = [one.spec for one in datasets if any(several(split.labels) for split in one.splits.values())]
    if refused:
        others = [one.spec for one in datasets if one.spec not in refused]
        rest = f" Leave it out here: --data {','.join(others)}." if others else ""
        raise DataError(
            f"{', '.join(refused)} has several labels an image, and {what} needs one label an image. "
            f"{instead}.{rest}"
        )
