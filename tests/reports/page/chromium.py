"""The browser that opens the page: one that is there, or one that is installed for the tests, once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
REMEDY = "Install one with apt-get install chromium, or python -m playwright install --with-deps chromium."

INSTALL_SECONDS = 600  # an offline machine is noticed within seconds
_APT = ("apt-get", "-qq", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=10")


def chromium(bundled: Path) -> Path | None:
    """Its program, installed where there is none; None where none can be had.

    Args:
        bundled: where Playwright keeps its own.
    """
    installations = _installations()
    while not (found := _found(bundled)):
        command = next(installations, None)
        if command is None:
            return None
        with suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                timeout=INSTALL_SECONDS,
            )
    return found


def _found(bundled: Path) -> Path | None:
    if bundled.exists():
        return bundled
    return next((Path(path) for path in map(shutil.which, NAMES) if path), None)


def _installations() -> Iterator[tuple[str, ...]]:
    """Commands that may install it, one after another: the system's if it is ours, then Playwright's."""
    if os.getuid() == 0 and shutil.which("apt-get"):
        yield (*_APT, "update")
        yield (*_APT, "install", "-y", "--no-install-recommends", "chromium")
    yield (sys.executable, "-m", "playwright", "install", "chromium")
