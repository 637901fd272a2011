"""From specs to data sets."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UsageError
from ..core.progress import SILENT, Reporter
from ..core.registry import unknown_name
from . import folder  # noqa: F401  (registers itself)
from .dataset import DATASETS, Dataset
from .mini.suite import DOWNSTREAM, MEMBERS, Member

GROUPS: dict[str, tuple[str, ...]] = {"mini": DOWNSTREAM}
"""Name of a group → specs of its members."""


def open_dataset(spec: str, *, root: Path, seed: int = 0, reporter: Reporter = SILENT) -> Dataset:
    """The data set that ``spec`` names.

    Args:
        spec: a registered name such as ``mini/digits``, or ``folder:PATH``.
        root: the data folder, for sets that are kept there and for what is remembered of folders.
        seed: of the split, where the set has no official one.
        reporter: told how far long work has come.

    Raises:
        UsageError: if the spec is a group or a bare path.
        UnknownNameError: if no data set has this name.
        DataError: if the data set is absent or malformed.
    """
    if spec in GROUPS:
        raise UsageError(f"{spec} is a group of data sets. Open one of it: {', '.join(GROUPS[spec])}.")
    name, rest = _parsed(spec)
    return DATASETS[name](rest, root=root, seed=seed, reporter=reporter)


def expand_datasets(specs: Iterable[str]) -> list[str]:
    """The specs of single data sets that specs, comma lists and groups name, each once, in their order.

    Raises:
        UsageError: if there is none, or a bare path.
        UnknownNameError: if no data set or group has a name.
    """
    expanded: dict[str, None] = {}
    for part in (part for spec in specs for part in _listed(spec)):
        if part not in GROUPS:
            _parsed(part)
        expanded |= dict.fromkeys(GROUPS.get(part, (part,)))
    if not expanded:
        known = ", ".join(one.name for one in known_datasets())
        raise UsageError(f"No data set is named. Choose from: {known}.")
    return list(expanded)


@dataclass(frozen=True)
class Known:
    """What ``--data`` takes, without opening it.

    Attributes:
        name: as it is written.
        domain: as of ``Dataset``.
        classes: how many; None where that depends.
        description: for people.
    """

    name: str
    domain: str
    classes: int | None
    description: str


def known_datasets() -> list[Known]:
    """Groups, then ``folder:PATH``, then the registered names."""
    groups = [Known(name, "", None, f"{len(members)} data sets") for name, members in GROUPS.items()]
    folders = Known("folder:PATH", "", None, "your own images, in one folder a class")
    return [*groups, folders, *map(_known_member, MEMBERS)]


def _known_member(member: Member) -> Known:
    classes = member.plan.classes
    return Known(member.spec, member.domain, len(classes), f"{', '.join(classes)}; {member.source}")


def _listed(spec: str) -> list[str]:
    """The parts of a comma list; a folder whose path has commas is one."""
    scheme, colon, path = spec.partition(":")
    if colon and scheme in DATASETS and Path(path).is_dir():
        return [spec]
    return [part for part in map(str.strip, spec.split(",")) if part]


def _parsed(spec: str) -> tuple[str, str]:
    """The registered name in a spec, and what stands behind its colon."""
    name, _, rest = spec.partition(":")
    if name in DATASETS:
        return name, rest
    if Path(spec).exists():
        raise UsageError(f"{spec} is a path. To use the images in it, write folder:{spec}.")
    known = [one.name.replace("PATH", rest or "PATH") for one in known_datasets()]
    raise unknown_name("data set", spec, known)
