"""Registries: mappings that are filled by decorators and plug-ins, refuse duplicates, and suggest a name on typos."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint
from inspect import getdoc
from typing import TypeVar, cast

from .errors import PluginError, UnknownNameError
from .plugins import import_plugin_files, installed_plugins, load_installed

T = TypeVar("T")


def unknown_name(kind: str, name: str, known: list[str]) -> UnknownNameError:
    """Return an error for an unknown name that suggests the nearest known name, or lists all."""
    near = get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Choose from: {', '.join(known)}."
    return UnknownNameError(f"No {kind} named {name!r}. {hint}")


def summary_line(entry: object) -> str:
    """Return the first line of an entry's docstring without its full stop, for lists of entries."""
    return (getdoc(entry) or "").partition("\n")[0].rstrip(".")


class Registry(Mapping[str, T]):
    """A mapping from names to registered objects, filled by decorators and by plug-ins.

    Entries register themselves when their modules are imported; those in ``builtin`` are imported when they are first
    used, so that listing their names takes no time. Plug-ins are loaded when the registry is listed, or asked for a
    name that is not built in.

    Args:
        kind: word for one entry in the message "No {kind} named …".
        group: group of the entry points by which installed packages add entries.
        builtin: name → ``module:object`` of each built-in entry that is imported when it is first used.
    """

    def __init__(self, kind: str, *, group: str = "", builtin: Mapping[str, str] | None = None) -> None:
        self._kind = kind
        self._group = group
        self._builtin = dict(builtin or {})
        self._entries: dict[str, T] = {}
        self._plugins_loaded = False

    @property
    def builtin(self) -> tuple[str, ...]:
        """Names of the built-in entries that are imported when they are first used."""
        return tuple(self._builtin)

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers an object as ``name``.

        Raises: ValueError: if the name is already registered.
        """

        def add(entry: T) -> T:
            if name in self._entries or name in self._builtin:
                raise ValueError(f"There is already a {self._kind} named {name!r}: choose another name.")
            self._entries[name] = entry
            return entry

        return add

    def _load_plugins(self) -> None:
        """Add the entries of plug-ins.

        Raises: PluginError: if a plug-in cannot be imported.
        """
        if not self._plugins_loaded:
            self._plugins_loaded = True  # first, because plug-ins may read the registry while they are imported
            try:
                import_plugin_files()
                plugins = installed_plugins(self._group) if self._group else ()
                entries = [(plugin, load_installed(plugin)) for plugin in plugins]  # of all, before one is added
                for plugin, entry in entries:
                    self._register_installed(plugin, cast("T", entry))
            except BaseException:
                self._plugins_loaded = False
                raise

    def _register_installed(self, plugin: EntryPoint, entry: T) -> None:
        try:
            self.register(plugin.name)(entry)
        except ValueError as error:
            raise PluginError(f"{error} {plugin.value} of an installed package registers it again.") from error

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise unknown_name(self._kind, name, list(self))
        if name not in self._entries:
            module, _, attribute = self._builtin[name].partition(":")
            self._entries[name] = getattr(import_module(module), attribute)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        if name in self._builtin or name in self._entries:
            return True
        self._load_plugins()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load_plugins()
        return iter(dict.fromkeys((*self._builtin, *self._entries)))

    def __len__(self) -> int:
        return len(list(iter(self)))
