"""Preset study files; each begins with its command, its cost, and its results."""

from importlib import resources

PRESETS = ("demo", "mini", "paper", "kornblith12")


def preset_text(name: str) -> str:
    """Return the text of the preset ``name``."""
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")


def preset_notes() -> list[dict[str, str]]:
    """Return the first three lines of every preset: command, cost and results."""
    found = []
    for name in PRESETS:
        command, takes, gives = (line.lstrip("# ") for line in preset_text(name).splitlines()[:3])
        found.append({"study": name, "command": command, "takes": takes, "gives": gives})
    return found
