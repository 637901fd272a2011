"""Registries: read-only mappings that raise on duplicate names and suggest a name on typos."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

from .errors import UnknownNameError

T = TypeVar("T")


def unknown_name(kind: str, name: str, known: list[str]) -> UnknownNameError:
    """Return an error for an unknown name that suggests the nearest known name, or lists all."""
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Choose from: {', '.join(known)}."
    return UnknownNameError(f"No {kind} named {name!r}. {hint}")


class Registry(Mapping[str, T]):
    """A mapping from names to registered objects, filled by decorators.

    Args:
        kind: word for one entry in the message "No {kind} named …".
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers an object as ``name``.

        Raises: ValueError: if the name is already registered.
        """

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"There is already a {self._kind} named {name!r}: choose another name.")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name in self._entries:
            return self._entries[name]
        raise unknown_name(self._kind, name, list(self._entries))

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
