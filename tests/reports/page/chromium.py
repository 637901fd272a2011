"""The browser that opens the page: an installed one, or one that is installed once for the tests."""

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
    """Return the browser's program, and install it if it is missing; None if it cannot be installed.

    Args:
        bundled: path of Playwright's own browser.
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
    """Yield commands that may install it: the system's if this process is root, then Playwright's."""
    if os.getuid() == 0 and shutil.which("apt-get"):
        yield (*_APT, "update")
        yield (*_APT, "install", "-y", "--no-install-recommends", "chromium")
    yield (sys.executable, "-m", "playwright", "install", "chromium")
