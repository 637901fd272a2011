"""From specs to data sets."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..core.progress import SILENT, Reporter
from ..core.registry import unknown_name
from . import folder as _folder  # noqa: F401  (registers itself)
from . import hugging, sources, webdataset  # noqa: F401  (register themselves)
from .budgets import budgeted, parse_budget, split_spec
from .dataset import DATASETS, Dataset
from .detection import DETECTION
from .detection.boxed import DetectionOpener
from .downstream import PAPER12, PUBLISHED
from .downstream.published import Published, state_of
from .kornblith import KORNBLITH12
from .mini.suite import DOWNSTREAM, MEMBERS, Member

GROUPS: dict[str, tuple[str, ...]] = {"mini": DOWNSTREAM, "paper12": PAPER12, "kornblith12": KORNBLITH12}
"""Name of a group → specs of its members."""


def open_dataset(spec: str, *, root: Path, seed: int = 0, reporter: Reporter = SILENT) -> Dataset:
    """The data set that ``spec`` names.

    Args:
        spec: a registered name such as ``mini/digits``, or ``folder:PATH``; perhaps with a budget behind it,
            such as ``eurosat@shots=5``.
        root: the data folder, for sets that are kept there and for what is remembered of folders.
        seed: of the split, where the set has no official one, and of what a budget draws.
        reporter: told how far long work has come.

    Raises:
        UsageError: if the spec is a group or a bare path, or its budget cannot be meant.
        UnknownNameError: if no data set has this name.
        DataError: if the data set is absent or malformed.
    """
    whole, budget = split_spec(spec)
    if whole in GROUPS:
        raise UsageError(f"{whole} is a group of data sets. Open one of it: {', '.join(GROUPS[whole])}.")
    name, rest = _parsed(whole)
    drawn = parse_budget(budget) if budget else None
    dataset = DATASETS[name](rest, root=root, seed=seed, reporter=reporter)
    return budgeted(dataset, drawn, seed=seed, reporter=reporter) if drawn else dataset


def expand_datasets(specs: Iterable[str], *, boxed: bool = False) -> list[str]:
    """The specs of single data sets that specs, comma lists and groups name, each once, in their order.

    Args:
        specs: as people write them.
        boxed: whether detection sets may be among them.

    Raises:
        UsageError: if there is none, or a bare path, or a detection set that may not be or has a budget.
        UnknownNameError: if no data set or group has a name.
    """
    expanded: dict[str, None] = {}
    for part in (part for spec in specs for part in _listed(spec)):
        members = group_members(part)
        if not members:
            whole, budget = split_spec(part)
            if boxed and is_boxed(whole):
                if budget:
                    raise UsageError(f"{whole} is a detection set, and {budget} a budget of labels. Leave it out.")
            else:
                _parsed(whole, boxed=boxed)
            members = [f"{whole}@{parse_budget(budget)}" if budget else whole]
        expanded |= dict.fromkeys(members)
    if not expanded:
        raise UsageError(f"No data set is named. Choose from: {', '.join(_known_names(boxed=boxed))}.")
    return list(expanded)


def is_boxed(spec: str) -> bool:
    """Whether a spec names a detection set."""
    return spec.partition(":")[0] in DETECTION


def group_members(spec: str) -> list[str]:
    """The specs of a group's members, each with the budget behind the group's name; none if it is no group.

    Raises: UsageError: if the budget cannot be meant.
    """
    name, budget = split_spec(spec)
    suffix = f"@{parse_budget(budget)}" if budget and name in GROUPS else ""
    return [f"{member}{suffix}" for member in GROUPS.get(name, ())]


def with_budget(specs: Iterable[str], budget: str) -> list[str]:
    """Every data set and group that ``specs`` name, each with this budget.

    Raises: UsageError: if the budget cannot be meant, or a spec has one of its own.
    """
    parsed = parse_budget(budget)
    parts = [part for spec in specs for part in _listed(spec)]
    if twice := [part for part in parts if split_spec(part)[1]]:
        raise UsageError(f"{twice[0]} has a budget of its own: leave out one of the two.")
    return [f"{part}@{parsed}" for part in parts]


@dataclass(frozen=True)
class DatasetInfo:
    """What ``--data`` takes, without opening it.

    Attributes:
        name: as it is written.
        domain: as of ``Dataset``.
        classes: how many; None where that depends.
        images: in all splits; None where that depends.
        state: ``embedded``, ``ready``, ``partial`` or ``absent``; empty of groups and paths.
        size_bytes: on the disk of what is there, else as published, about; None where nobody says.
        licence: under which the images may be used; empty of groups and paths.
        description: for people.
    """

    name: str
    domain: str
    classes: int | None
    images: int | None
    state: str
    size_bytes: int | None
    licence: str
    description: str


PATHS = {
    "folder:PATH": "your own images, in one folder a class",
    "imagenet:PATH": "ImageNet as class folders, or as the archives of ILSVRC2012",
    "miniimagenet:PATH": "mini-ImageNet's base classes; PATH#val and PATH#test are the novel ones",
    "wds:PATH": "WebDataset tar shards, also by URL; braces stand for ranges, as in photos-{000..012}.tar",
    "hf:PATH": "a data set of Hugging Face, by its name or the folder that save_to_disk wrote",
}
"""Names that stand before a path → what lies there."""


def known_datasets(root: Path | None = None) -> list[DatasetInfo]:
    """Groups, names that stand before a path, embedded sets, published sets.

    Args:
        root: the data folder; without it no published set is looked for, and all are ``absent``.
    """
    groups = {name: f"{len(members)} data sets" for name, members in GROUPS.items()}
    unopened = [DatasetInfo(name, "", None, None, "", None, "", words) for name, words in (groups | PATHS).items()]
    names = dict.fromkeys((*PAPER12, *KORNBLITH12, *PUBLISHED))
    published = [_known_published(PUBLISHED[name], root) for name in names if name in DATASETS]
    return [*unopened, *map(_known_member, MEMBERS), *published]


def known_detection(root: Path | None = None) -> list[DatasetInfo]:
    """The sets of images with boxes.

    Args:
        root: the data folder; without it no published set is looked for, and all are ``absent``.
    """
    return [_known_boxed(name, opener, root) for name, opener in DETECTION.items()]


def _known_boxed(name: str, opener: DetectionOpener, root: Path | None) -> DatasetInfo:
    published = opener.published
    state = "embedded" if published is None else state_of(published, root / name) if root else "absent"
    measured = None if root is None or state in ("absent", "embedded") else _size_bytes(root / name)
    return DatasetInfo(
        name=name,
        domain="detection",
        classes=opener.class_count,
        images=opener.image_count,
        state=state,
        size_bytes=published.size_bytes if published and measured is None else measured,
        licence=opener.licence,
        description=opener.description,
    )


def _known_member(member: Member) -> DatasetInfo:
    classes = member.plan.classes
    return DatasetInfo(
        name=member.spec,
        domain=member.domain,
        classes=len(classes),
        images=len(member.plan.ids()),
        state="embedded",
        size_bytes=None,
        licence=member.licence,
        description=f"{', '.join(classes)}; {member.source}",
    )


def _known_published(published: Published, root: Path | None) -> DatasetInfo:
    state = "absent" if root is None else state_of(published, root / published.name)
    measured = None if root is None or state == "absent" else _size_bytes(root / published.name)
    return DatasetInfo(
        name=published.name,
        domain=published.domain,
        classes=published.n_classes,
        images=sum(published.counts.values()),
        state=state,
        size_bytes=published.size_bytes if measured is None else measured,
        licence=published.licence,
        description=f"{published.layout}; {published.split_rule}",
    )


def _size_bytes(place: Path) -> int | None:
    """Of all files in a folder; None where there are too many to ask for, in a list that should be quick."""
    total = count = 0
    for folder, _, names in os.walk(place):
        count += len(names)
        if count > _MOST_FILES:
            return None
        with suppress(OSError):
            total += sum(os.lstat(f"{folder}/{name}").st_size for name in names)
    return total


_MOST_FILES = 10_000


def _listed(spec: str) -> list[str]:
    """The parts of a comma list; a folder whose path has commas is one."""
    scheme, colon, path = spec.partition(":")
    if colon and (scheme in DATASETS or scheme in DETECTION) and Path(path).is_dir():
        return [spec]
    return [part for part in map(str.strip, _COMMA.split(spec)) if part]


_COMMA = re.compile(r",(?![^{}]*\})")  # not between braces, which name shards


def _parsed(spec: str, *, boxed: bool = False) -> tuple[str, str]:
    """The registered name in a spec, and what stands behind its colon.

    Raises:
        UsageError: if it is a detection set, or a bare path.
        UnknownNameError: else; with ``boxed`` a detection set may have been meant.
    """
    name, _, rest = spec.partition(":")
    if name in DATASETS:
        return name, rest
    if is_boxed(spec):
        raise UsageError(f"{spec} is a detection set: its images have boxes, and no label of their own.")
    if Path(spec).exists():
        raise UsageError(f"{spec} is a path. To use the images in it, write folder:{spec}.")
    known = [one.replace("PATH", rest or "PATH") for one in _known_names(boxed=boxed)]
    raise unknown_name("data set", spec, known)


def _known_names(*, boxed: bool) -> list[str]:
    return [*(one.name for one in known_datasets()), *(DETECTION if boxed else ())]
