"""Plug-ins: files and installed packages that add entries to the registries.

A file ``my_probe.py`` that is named with ``--plugin`` or in ``$TRANSFERKIT_PLUGINS`` becomes the module
``transferkit.core.plugins.my_probe``. Processes that this one starts inherit the variable, so that they can import
the module too, for example to unpickle its classes. An installed package adds entries through an entry point in the
group of a registry, such as ``transferkit.probes``: the name of the entry point is the name of the entry.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from .errors import PluginError, TransferkitError, UsageError

VARIABLE = "TRANSFERKIT_PLUGINS"
"""Environment variable with the paths of plug-in files, separated as in ``$PATH``."""

__path__: list[str] = []  # makes this module a package, whose modules the finder below finds


def add_plugins(paths: Iterable[str]) -> None:
    """Add plug-in files to ``$TRANSFERKIT_PLUGINS`` of this process and of the processes that it starts.

    They are imported when a registry is read for the first time.

    Raises: UsageError: if a file does not exist, cannot be the name of a module, or has the name of another one.
    """
    found = dict.fromkeys((*plugin_files(), *(Path(path).expanduser().absolute() for path in paths)))
    os.environ[VARIABLE] = os.pathsep.join(map(str, found))
    plugin_files()  # checks them


def plugin_files() -> tuple[Path, ...]:
    """Return the files that ``$TRANSFERKIT_PLUGINS`` names.

    Raises: UsageError: as ``add_plugins``.
    """
    return _checked_files(os.environ.get(VARIABLE, ""))


@cache
def _checked_files(value: str) -> tuple[Path, ...]:
    files = tuple(dict.fromkeys(Path(part).expanduser().absolute() for part in value.split(os.pathsep) if part))
    by_name: dict[str, Path] = {}
    for file in files:
        if file.suffix != ".py" or not file.stem.isidentifier():
            raise UsageError(f"The plug-in {file} is not a Python file such as my_probe.py. Rename it.")
        if not file.is_file():
            raise UsageError(f"The plug-in {file} does not exist. Correct --plugin or ${VARIABLE}.")
        if file.stem in by_name:
            raise UsageError(f"Two plug-ins have the same name: {by_name[file.stem]} and {file}. Rename one of them.")
        by_name[file.stem] = file
    return files


@cache
def import_plugin_files() -> tuple[ModuleType, ...]:
    """Import all plug-in files once, which registers their entries.

    Raises:
        UsageError: as ``add_plugins``.
        PluginError: if a file raises an error; the message names its line.
    """
    modules = []
    for file in plugin_files():
        try:
            modules.append(importlib.import_module(f"{__name__}.{file.stem}"))
        except TransferkitError:
            raise
        except Exception as error:
            raise PluginError(f"The plug-in {file} failed{_line_in(error, file)}: {_text(error)}") from error
    return tuple(modules)


def installed_plugins(group: str) -> Sequence[EntryPoint]:
    """Return the entry points of installed packages in a group such as ``transferkit.probes``, sorted by name."""
    return sorted(entry_points(group=group), key=lambda one: one.name)


def load_installed(plugin: EntryPoint) -> object:
    """Return the object of an entry point.

    Raises: PluginError: if it cannot be imported.
    """
    try:
        return plugin.load()
    except Exception as error:
        origin = plugin.dist.name if plugin.dist else plugin.value
        raise PluginError(
            f"The entry {plugin.name!r} of the installed package {origin} failed: {_text(error)}. "
            f"Update or uninstall {origin}."
        ) from error


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _line_in(error: Exception, file: Path) -> str:
    """Return the last line of ``file`` in the traceback of an error, as ``" in line 12"``."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f" in line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f" in line {lines[-1]}" if lines else ""


class _PluginFinder(MetaPathFinder):
    """Finds ``transferkit.core.plugins.NAME`` in the plug-in file ``NAME.py``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a plug-in's module; None for other modules."""
        parent, _, name = fullname.rpartition(".")
        if parent != __name__:
            return None
        return next((spec_from_file_location(fullname, file) for file in plugin_files() if file.stem == name), None)


sys.meta_path.append(_PluginFinder())
