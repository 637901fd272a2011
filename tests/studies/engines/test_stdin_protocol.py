"""Messages to a worker process, which ends when its parent ends."""

import os
import subprocess
import sys

import pytest

LISTENS = """
import sys, time
from transferkit.studies.engines.stdin_protocol import orders
lines = orders()
print(lines.get(), lines.get(), repr(sys.stdin.read()), flush=True)
time.sleep(60)
"""


@pytest.fixture
def process():
    with subprocess.Popen([sys.executable, "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_lines_come_whole_and_the_end_of_the_input_is_the_end_of_the_process(process):
    for part in (b"one\ntw", b"o\n"):
        os.write(process.stdin.fileno(), part)
    assert process.stdout.readline() == b"one two ''\n"
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=10) == 1
