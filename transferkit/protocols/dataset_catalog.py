"""Opening and listing of data sets by their specs."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..core.progress import SILENT, Reporter
from ..core.registry import summary_line, unknown_name
from ..data import folder as _folder  # noqa: F401  (registers itself)
from ..data import hugging, webdataset  # noqa: F401  (register themselves)
from ..data.budgets import budgeted, parse_budget, split_spec
from ..data.dataset import DATASETS, Dataset
from ..data.detection import DETECTION
from ..data.detection.boxed import DetectionOpener
from ..data.published import PUBLISHED, Published
from ..datasets import KORNBLITH12, PAPER12
from ..download.publication import state_of
from ..mini import boxes as _boxes  # noqa: F401  (registers itself)
from ..mini.suite import DOWNSTREAM, MEMBERS, Member

GROUPS: dict[str, tuple[str, ...]] = {"mini": DOWNSTREAM, "paper12": PAPER12, "kornblith12": KORNBLITH12}
"""Group name → specs of its members."""


def open_dataset(spec: str, *, root: Path, seed: int = 0, reporter: Reporter = SILENT) -> Dataset:
    """Open the data set that ``spec`` names.

    Args:
        spec: Registered name such as ``mini/digits``, or ``folder:PATH``; optionally followed by a budget, such as
            ``eurosat@shots=5``.
        root: Data folder, which stores prepared data sets and caches.
        seed: Seed of budgets, and of the split of data sets without an official split.
        reporter: Receives the progress of long work.

    Raises:
        UsageError: If the spec is a group or a bare path, or its budget is invalid.
        UnknownNameError: If no data set has this name.
        DataError: If the data set is absent or malformed.
    """
    whole, budget = split_spec(spec)
    if whole in GROUPS:
        raise UsageError(f"{whole} is a group of data sets. Choose one of them: {', '.join(GROUPS[whole])}.")
    name, rest = _parsed(whole)
    drawn = parse_budget(budget) if budget else None
    dataset = DATASETS[name](rest, root=root, seed=seed, reporter=reporter)
    return budgeted(dataset, drawn, seed=seed, reporter=reporter) if drawn else dataset


def expand_datasets(specs: Iterable[str], *, boxed: bool = False) -> list[str]:
    """Expand specs, comma-separated lists and groups to specs of single data sets without repetitions.

    Args:
        specs: Specs as users write them.
        boxed: Whether detection sets are allowed.

    Raises:
        UsageError: If there is no spec, or one is a bare path, or a detection set that is not allowed or has a budget.
        UnknownNameError: If no data set or group has the name.
    """
    expanded: dict[str, None] = {}
    for part in (part for spec in specs for part in _listed(spec)):
        members = group_members(part)
        if not members:
            whole, budget = split_spec(part)
            if boxed and is_boxed(whole):
                if budget:
                    raise UsageError(f"{whole} is a detection set and cannot have the budget {budget}. Remove it.")
            else:
                _parsed(whole, boxed=boxed)
            members = [f"{whole}@{parse_budget(budget)}" if budget else whole]
        expanded |= dict.fromkeys(members)
    if not expanded:
        raise UsageError(f"No data set is named. Choose from: {', '.join(_known_names(boxed=boxed))}.")
    return list(expanded)


def is_boxed(spec: str) -> bool:
    """Return whether a spec names a detection set."""
    return spec.partition(":")[0] in DETECTION


def group_members(spec: str) -> list[str]:
    """Return the specs of the members of a group, each with the budget of the group; empty if it is not a group.

    Raises: UsageError: If the budget is invalid.
    """
    name, budget = split_spec(spec)
    suffix = f"@{parse_budget(budget)}" if budget and name in GROUPS else ""
    return [f"{member}{suffix}" for member in GROUPS.get(name, ())]


def with_budget(specs: Iterable[str], budget: str) -> list[str]:
    """Add a budget to each data set and group in ``specs``.

    Raises: UsageError: If the budget is invalid, or a spec already has one.
    """
    parsed = parse_budget(budget)
    parts = [part for spec in specs for part in _listed(spec)]
    if twice := [part for part in parts if split_spec(part)[1]]:
        raise UsageError(f"{twice[0]} already has a budget. Remove one of the two.")
    return [f"{part}@{parsed}" for part in parts]


@dataclass(frozen=True)
class DatasetInfo:
    """Description of a value of ``--data``, without opening it.

    Attributes:
        name: Name on the command line.
        domain: Domain, see ``Dataset``.
        classes: Number of classes; None for groups and paths.
        images: Number of images in all splits; None for groups and paths.
        state: ``embedded``, ``ready``, ``partial`` or ``absent``; empty for groups and paths.
        size_bytes: Size on disk if present, else the approximate published size; None if unknown.
        licence: Licence of the images; empty for groups and paths.
        description: Description for users.
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
    "folder:PATH": "your own images, in one folder per class",
    "imagenet:PATH": "ImageNet as class folders, or as the archives of ILSVRC2012",
    "miniimagenet:PATH": "mini-ImageNet's base classes; PATH#val and PATH#test are the novel ones",
    "wds:PATH": "WebDataset tar shards, also by URL; braces stand for ranges, as in photos-{000..012}.tar",
    "hf:PATH": "a data set of Hugging Face, by its name or the folder that save_to_disk wrote",
}
"""Prefix of a path → description of the supported contents."""


def known_datasets(root: Path | None = None) -> list[DatasetInfo]:
    """List groups, prefixes of paths, embedded and published data sets, and data sets of plug-ins.

    Args:
        root: Data folder; without it, all published data sets are reported as ``absent``.
    """
    groups = {name: f"{len(members)} data sets" for name, members in GROUPS.items()}
    unopened = [
        DatasetInfo(name, "", None, None, "", None, "", description) for name, description in (groups | PATHS).items()
    ]
    names = dict.fromkeys((*PAPER12, *KORNBLITH12, *PUBLISHED))
    published = [_known_published(PUBLISHED[name], root) for name in names if name in DATASETS]
    listed = [*unopened, *map(_known_member, MEMBERS), *published]
    known = {one.name.partition(":")[0] for one in listed}
    added = [
        DatasetInfo(name, "", None, None, "", None, "", summary_line(opener))
        for name, opener in DATASETS.items()
        if name not in known
    ]
    return listed + added


def known_detection(root: Path | None = None) -> list[DatasetInfo]:
    """List the detection sets.

    Args:
        root: Data folder; without it, all published data sets are reported as ``absent``.
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


def _size_bytes(folder_path: Path) -> int | None:
    """Sum the sizes of all files in a folder; None if there are too many files for a quick answer."""
    total = count = 0
    for folder, _, names in os.walk(folder_path):
        count += len(names)
        if count > _MAX_FILES:
            return None
        with suppress(OSError):
            total += sum(os.lstat(f"{folder}/{name}").st_size for name in names)
    return total


_MAX_FILES = 10_000


def _listed(spec: str) -> list[str]:
    """Split a comma-separated list; an existing folder whose path has commas is one part."""
    scheme, colon, path = spec.partition(":")
    if colon and (scheme in DATASETS or scheme in DETECTION) and Path(path).is_dir():
        return [spec]
    return [part for part in map(str.strip, _COMMA.split(spec)) if part]


_COMMA = re.compile(r",(?![^{}]*\})")  # but not between braces, which name shards


def _parsed(spec: str, *, boxed: bool = False) -> tuple[str, str]:
    """Split a spec into the registered name and the part after the colon.

    Raises:
        UsageError: If the spec is a detection set or a bare path.
        UnknownNameError: If the name is not registered; with ``boxed`` the message also suggests detection sets.
    """
    name, _, rest = spec.partition(":")
    if name in DATASETS:
        return name, rest
    if is_boxed(spec):
        raise UsageError(
            f"{spec} is a detection set: its images have boxes instead of class labels. Choose a classification set."
        )
    if Path(spec).exists():
        raise UsageError(f"{spec} is a path. To use the images in it, write folder:{spec}.")
    known = [one.replace("PATH", rest or "PATH") for one in _known_names(boxed=boxed)]
    raise unknown_name("data set", spec, known)


def _known_names(*, boxed: bool) -> list[str]:
    return [*(one.name for one in known_datasets()), *(DETECTION if boxed else ())]
