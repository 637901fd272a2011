"""What an entry is named by: everything that would make its features wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from ..core.errors import UsageError
from ..core.files import digest_of

FORMAT = 2
"""Version of what lies on disk; entries of another version are never read."""

DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class EntryKey:
    """One encoder × dataset × split × view, and how its features were taken.

    How the rows are dealt into shards and batches is not part of it: an entry keeps the numbers it was
    begun with.

    Attributes:
        model, weights, architecture: the encoder's spec, the digest of its weights, how it is built.
        data, fingerprint, split: the data set's spec, the digest of the split's content, its name.
        transform: ``View.to_json()``.
        pooling: how a map becomes a vector.
        dtype: of the stored features, ``float16`` or ``float32``.
        precision: of the forward pass, ``fp32`` or ``bf16``.
        view: ``test``, or the name of an augmentation with its index.
        format: version of what lies on disk.
    """

    model: str
    weights: str
    architecture: str
    data: str
    fingerprint: str
    split: str
    transform: Mapping[str, Any]
    pooling: str
    dtype: str = "float16"
    precision: str = "fp32"
    view: str = "test"
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"Features are not kept as {self.dtype!r}. Choose from: {', '.join(DTYPES)}.")

    @cached_property
    def digest(self) -> str:
        """Hex digest, 64 characters; the entry's folder is named by it."""
        return digest_of(self.to_json())

    @cached_property
    def circumstances(self) -> Mapping[str, Any]:
        """What shaped the features beside the encoder's weights, the images, the layer and the pooling."""
        names = ("transform", "view", "dtype", "precision", "architecture")
        return {name: value for name, value in self.to_json().items() if name in names}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EntryKey":
        """The key that ``to_json`` wrote.

        Raises: TypeError: if a field is absent or unknown.
        """
        return cls(**value)

    def differences(self, other: "EntryKey") -> list[tuple[str, Any, Any]]:
        """Fields in which two keys differ: ``(name, own value, other value)``; none if they are equal.

        A field of the transform is named ``transform.crop``; a value that one side lacks is None.
        """
        mine, theirs = dict(_flat(self.to_json())), dict(_flat(other.to_json()))
        names = [*mine, *(name for name in theirs if name not in mine)]
        pairs = [(name, mine.get(name), theirs.get(name)) for name in names]
        return [pair for pair in pairs if pair[1] != pair[2]]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item
