"""Check of protocols that need one label per image: refuse data sets with several before computing."""

from collections.abc import Sequence

from ..core.labels import is_multilabel, require_one_label
from ..data.dataset import Dataset

PROBED = "Use transferkit probe --protocol linear or knn"


def require_one_label_each(datasets: Sequence[Dataset], *, what: str, instead: str = PROBED) -> None:
    """Refuse data sets whose images have several labels.

    Args:
        datasets: requested data sets.
        what: subject that needs one label per image, for the message.
        instead: alternative to suggest, without a full stop.

    Raises: DataError: for such data sets, with the remaining ones as a suggestion.
    """
    labels = {one.spec: [split.labels for split in one.splits.values()] for one in datasets}
    refused = [spec for spec, parts in labels.items() if any(map(is_multilabel, parts))]
    others = ",".join(spec for spec in labels if spec not in refused)
    rest = f" Leave it out here: --data {others}." if others else ""
    for part in (part for spec in refused for part in labels[spec]):
        require_one_label(part, data=", ".join(refused), what=what, instead=f"{instead}.{rest}")
