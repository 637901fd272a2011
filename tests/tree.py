"""The project's own source files, for the tests that read code instead of running it."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"transferkit": ROOT / "transferkit", "transferkit_cli": ROOT / "cli"}


def modules() -> dict[str, Path]:
    """Every module that is installed, ``transferkit.core.files`` for example, and its file."""
    return {
        _module_name(package, path.relative_to(folder)): path
        for package, folder in PACKAGES.items()
        for path in sorted(folder.rglob("*.py"))
    }


def _module_name(package: str, path: Path) -> str:
    parts = [part for part in path.with_suffix("").parts if part != "__init__"]
    return ".".join([package, *parts])
