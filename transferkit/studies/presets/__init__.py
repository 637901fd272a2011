"""Study files that come with the package; each begins with its command, what it takes, and what it gives."""

from importlib import resources

PRESETS = ("demo", "mini", "paper", "kornblith12")


def preset_text(name: str) -> str:
    """The study file that comes with the package under ``name``."""
    return resources.files(__name__).joinpath(f"{name}.toml").read_text("utf-8")


def preset_notes() -> list[dict[str, str]]:
    """The first three lines of every preset."""
    found = []
    for name in PRESETS:
        command, takes, gives = (line.lstrip("# ") for line in preset_text(name).splitlines()[:3])
        found.append({"study": name, "command": command, "takes": takes, "gives": gives})
    return found
