"""Fewer labelled images: ``eurosat@limit=1000``, ``@limit=0.1``, ``@shots=5``, ``@vtab1k``.

A budget limits all labels that are used: it is drawn from train, and from val if the data set has one, so that
hyperparameters are also chosen with labels of the budget. With ``shots``, all drawn images are train. Test stays
complete, so that scores are comparable, and keeps its cached features.

Rows are drawn per class in the order of a hash of the seed and the id. A smaller budget is therefore a subset of
a larger one, and another seed draws other images. Images with several labels are drawn in that order without
regard to their labels, and only for ``limit``, because a number per class is not defined for them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import UsageError
from ..core.labels import is_multilabel, require_one_label, stratify_labels
from ..core.progress import SILENT, Reporter
from ..core.splitting import hashed_order, hashed_split, shares
from ..core.wording import counted
from .dataset import Dataset, Split
from .subset import chosen_rows

VTAB = {"train": 800, "val": 200}
"""Number of images per split as in VTAB-1k [1]; the images are drawn per class and are not those of VTAB-1k.

[1] Zhai et al., A large-scale study of representation learning with the visual task adaptation benchmark,
arXiv 1910.04867, 2019.
"""

FORMS = "@limit=1000, @limit=0.1, @shots=5, @vtab1k"


@dataclass(frozen=True)
class Budget:
    """A limit on the number of labelled images.

    Attributes:
        kind: ``limit`` is a number of images, ``fraction`` a fraction of them, ``shots`` a number of images per
            class; ``vtab1k`` is 800 images for training and 200 for validation.
        amount: Number of images, fraction, or number of images per class; 0 for ``vtab1k``.
    """

    kind: Literal["limit", "fraction", "shots", "vtab1k"]
    amount: float = 0

    def __str__(self) -> str:
        if self.kind == "vtab1k":
            return self.kind
        if self.kind == "fraction":
            digits = f"{self.amount:.12f}".rstrip("0")
            return f"limit={digits}0" if digits.endswith(".") else f"limit={digits}"
        return f"{self.kind}={int(self.amount)}"


def parse_budget(text: str) -> Budget:
    """Parse the budget after the ``@`` of a spec.

    >>> parse_budget("limit=0.10"), str(parse_budget("limit=1000")), str(parse_budget("limit=0.10"))
    (Budget(kind='fraction', amount=0.1), 'limit=1000', 'limit=0.1')

    Raises: UsageError: If the text is not a budget.
    """
    if text == "vtab1k":
        return Budget("vtab1k")
    if match := re.fullmatch(r"(limit|shots)=(\d+)", text):
        if int(match[2]) >= 1:
            return Budget("limit" if match[1] == "limit" else "shots", int(match[2]))
    elif (match := re.fullmatch(r"limit=(\d*\.\d+)", text)) and 0 < float(match[1]) <= 1:
        return Budget("fraction", float(match[1]))
    raise UsageError(f"@{text} is not a budget. Use one of {FORMS}: whole numbers from 1, or fractions up to 1.0.")


def split_spec(spec: str) -> tuple[str, str]:
    """Split a spec into the data set and the budget after the ``@``; the budget is empty if there is none.

    >>> split_spec("dtd:3@shots=5"), split_spec("folder:a@b")
    (('dtd:3', 'shots=5'), ('folder:a@b', ''))
    """
    match = re.fullmatch(r"(.+)@((?:limit|shots)=[^@/]*|vtab1k)", spec)
    return (match[1], match[2]) if match else (spec, "")


def budgeted(dataset: Dataset, budget: Budget, *, seed: int, reporter: Reporter = SILENT) -> Dataset:
    """Reduce a data set to the labelled images of a budget.

    Args:
        dataset: Complete data set.
        budget: Number of labelled images to keep.
        seed: Seed of the random selection.
        reporter: Receives the number of classes that have fewer images than the requested shots.

    Raises:
        UsageError: If the budget has fewer images than classes, or vtab1k needs more images than the data set has.
        DataError: If the budget is a number of images per class, and the images have several labels.
    """
    if budget.kind in ("shots", "vtab1k"):
        for split in dataset.splits.values():
            require_one_label(split.labels, data=dataset.spec, what=f"@{budget}", instead="Use @limit=N (--limit N).")
    spec = f"{dataset.spec}@{budget}"
    labelled = {name: split for name, split in dataset.splits.items() if name != "test"}
    drawn = _drawn(labelled, budget, spec=spec, seed=seed)
    if budget.kind == "shots" and (few := np.count_nonzero(_counts(drawn["train"]) < budget.amount)):
        reporter.note(
            f"{spec}: {few} of {len(dataset.classes)} classes have fewer than "
            f"{counted(int(budget.amount), 'image')} in train; all images of these classes are used."
        )
    splits = {name: replace(split, dataset=spec) for name, split in drawn.items()}
    splits |= {name: split for name, split in dataset.splits.items() if name == "test"}
    return replace(dataset, spec=spec, splits=splits)


def _drawn(labelled: dict[str, Split], budget: Budget, *, spec: str, seed: int) -> dict[str, Split]:
    train, val = labelled["train"], labelled.get("val")
    if budget.kind == "shots":
        per_class = np.minimum(_counts(train), int(budget.amount))
        return {"train": _taken(train, per_class, seed)}
    if budget.kind == "vtab1k":
        return _vtab(train, val, spec=spec, seed=seed)
    present = [len(split) for split in labelled.values()]
    total = sum(present)
    requested = round(budget.amount * total) if budget.kind == "fraction" else min(int(budget.amount), total)
    sizes = shares(requested, [count / total for count in present])
    _require_each_class(train, sizes[0], spec)
    return {
        name: _taken(split, _allocated(split, size), seed)
        for (name, split), size in zip(labelled.items(), sizes, strict=True)
        if size
    }


def _vtab(train: Split, val: Split | None, *, spec: str, seed: int) -> dict[str, Split]:
    """Draw 800 images of train, and 200 of val or of the remaining images of train."""
    needed = VTAB if val is not None else {"train": sum(VTAB.values())}
    for split in (train, val):
        if split is not None and len(split) < needed[split.name]:
            raise UsageError(
                f"{spec} needs {counted(needed[split.name], 'image')} of {split.name}, but there are {len(split)}. "
                "Use @limit=N or @shots=N."
            )
    _require_each_class(train, VTAB["train"], spec)
    if val is None and train.groups is not None:
        train, val = _disjoint(train, spec, seed)
    first = _rows(train, _allocated(train, VTAB["train"]), seed)
    if val is not None:
        second, source = _rows(val, _allocated(val, VTAB["val"]), seed), val
    else:
        rest = np.setdiff1d(np.arange(len(train)), first)
        remaining = chosen_rows(train, rest, name="train")
        second, source = rest[_rows(remaining, _allocated(remaining, VTAB["val"]), seed)], train
    return {
        "train": chosen_rows(train, first, name="train"),
        "val": chosen_rows(source, second, name="val"),
    }


def _disjoint(train: Split, spec: str, seed: int) -> tuple[Split, Split]:
    """Divide train into two parts without common groups, from which train and val are drawn.

    Raises: UsageError: If a part has too few images.
    """
    fractions = [count / sum(VTAB.values()) for count in VTAB.values()]
    cut = hashed_split(train.ids, stratify_labels(train.labels), fractions, name=f"budget/{seed}", groups=train.groups)
    for rows, (name, count) in zip(cut, VTAB.items(), strict=True):
        if len(rows) < count:
            raise UsageError(
                f"{spec} needs {counted(count, 'image')} of {name}, but the groups of {train.dataset} leave "
                f"{len(rows)}, because no group may be in train and in val. Use @limit=N or @shots=N."
            )
    kept, held = (chosen_rows(train, rows, name="train") for rows in cut)
    return kept, held


def _allocated(split: Split, size: int) -> NDArray[np.int64]:
    """Allocate ``size`` images to the strata in proportion to their numbers of images."""
    counts = _counts(split)
    present = np.flatnonzero(counts)
    sizes = np.zeros_like(counts)
    sizes[present] = shares(size, (counts[present] / counts.sum()).tolist())
    return np.minimum(sizes, counts)


def _taken(split: Split, per_class: Iterable[int], seed: int) -> Split:
    return chosen_rows(split, _rows(split, per_class, seed), name=split.name)


def _rows(split: Split, per_class: Iterable[int], seed: int) -> NDArray[np.int64]:
    """Select the first rows of each class by the hash of seed and id; return ascending row numbers."""
    order = hashed_order(split.ids, f"budget/{seed}")
    by_class = np.argsort(stratify_labels(split.labels)[order], kind="stable")
    ranked = order[by_class]  # grouped by class, in hash order within each class
    ends = np.cumsum(_counts(split))
    starts = ends - _counts(split)
    chosen = [ranked[start : start + size] for start, size in zip(starts, per_class, strict=True)]
    return np.sort(np.concatenate(chosen))


def _counts(split: Split) -> NDArray[np.int64]:
    """Count the images per class; for images with several labels, count all images in one entry."""
    return np.bincount(
        stratify_labels(split.labels), minlength=1 if is_multilabel(split.labels) else len(split.classes)
    )


def _require_each_class(split: Split, size: int, spec: str) -> None:
    classes = int(np.count_nonzero(_counts(split)))
    if size < classes:
        raise UsageError(
            f"{spec} leaves {counted(size, 'image')} of {split.name} for {classes} classes. "
            "Use at least one image per class."
        )
