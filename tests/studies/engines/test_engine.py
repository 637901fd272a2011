"""What tasks declare that they take."""

import pytest

from transferkit.studies.engines.engine import PROCESS_BYTES, ROW_BYTES, need_of, runs_networks
from transferkit.studies.grid import Task


def task(kind, **what):
    return Task(kind, "", what)


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (task("pretrain", devices=1), True),
        (task("extract"), True),
        (task("finetune"), True),
        (task("probe", protocol="linear", settings=[{"views": 0}]), False),
        (task("probe", protocol="linear", settings=[{"views": 2}]), True),
        (task("probe", protocol="semantic", settings=[{}]), True),
        (task("probe", protocol="knn", settings=[{}]), False),
        (task("analyze", analysis="cka"), False),
        (task("analyze", analysis="robustness"), True),
        (task("analyze", analysis="transferability"), True),
    ],
)
def test_what_shows_images_to_a_network_wants_a_gpu(one, wanted):
    assert runs_networks(one) is wanted
    assert need_of(one, rows=0).gpus == int(wanted)


def test_memory_grows_with_rows_that_are_probed_and_with_devices():
    probe = need_of(task("probe", protocol="knn", settings=[{}]), rows=1000)
    assert probe.memory_bytes == PROCESS_BYTES + 1000 * ROW_BYTES
    run = need_of(task("pretrain", devices=8), rows=1000, threads=2)
    assert (run.cpus, run.gpus, run.memory_bytes) == (16, 8, 8 * PROCESS_BYTES)
