"""Benchmark of the time that ``transferkit --help`` takes as a whole process."""

import statistics
import subprocess
import sys
import time

REPEATS = 9


def main() -> None:
    """Print the medians."""
    script = "from transferkit_cli.main import main; main()"
    for arguments in (["--help"], ["probe", "--help"], ["results", "list", "--help"]):
        seconds = [_seconds([sys.executable, "-c", script, *arguments]) for _ in range(REPEATS)]
        print(f"transferkit {' '.join(arguments):24} {statistics.median(seconds):.3f} s")


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started
