"""Keys of cache entries, which contain everything that affects the features."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..core.errors import UsageError
from ..core.files import digest_of
from ..core.json_dataclass import JsonDataclass

FORMAT = 2
"""Version of the format on disk; entries of another version are never read."""

DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class EntryKey(JsonDataclass):
    """One encoder × dataset × split × view, with the settings of the extraction.

    The division of the rows into shards and batches is not part of the key: an entry keeps the numbers with
    which it was created.

    Attributes:
        model, weights, architecture: spec of the encoder, digest of its weights, description of its network.
        data, fingerprint, split: spec of the data set, digest of the split's content, name of the split.
        transform: ``Preprocessing.to_json()``.
        pooling: pooling of a map to a vector.
        dtype: type of the stored features, ``float16`` or ``float32``.
        precision: precision of the forward pass, ``fp32`` or ``bf16``.
        view: ``test``, or the name of an augmentation with its index.
        format: version of the format on disk.
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
            raise UsageError(f"Features cannot be stored as {self.dtype!r}. Choose from: {', '.join(DTYPES)}.")

    @cached_property
    def digest(self) -> str:
        """Hex digest, 64 characters, which is the name of the entry's folder."""
        return digest_of(self.to_json())

    @cached_property
    def extraction_settings(self) -> Mapping[str, Any]:
        """Extraction settings that affect the features, besides weights, images, layer and pooling."""
        names = ("transform", "view", "dtype", "precision", "architecture")
        return {name: value for name, value in self.to_json().items() if name in names}

    def differences(self, other: "EntryKey") -> list[tuple[str, Any, Any]]:
        """Return the fields in which two keys differ as ``(name, own value, other value)``.

        A field of the transform has a name such as ``transform.crop``; a missing value is None.
        """
        own, others = dict(_flat(self.to_json())), dict(_flat(other.to_json()))
        names = [*own, *(name for name in others if name not in own)]
        values = [(name, own.get(name), others.get(name)) for name in names]
        return [triple for triple in values if triple[1] != triple[2]]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item
