"""Resources that tasks declare."""

import pytest

from transferkit.studies.engines.engine import PROCESS_BYTES, ROW_BYTES, cores_of, resource_request, runs_networks
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
        (task("probe", protocol="linear", settings=[{"views": 2, "solver": "sgd"}]), True),
        (task("probe", protocol="semantic", settings=[{}]), True),
        (task("probe", protocol="knn", settings=[{}]), False),
        (task("analyze", analysis="cka"), False),
        (task("analyze", analysis="robustness"), True),
        (task("analyze", analysis="transferability"), True),
    ],
)
def test_what_shows_images_to_a_network_wants_a_gpu(one, wanted):
    assert runs_networks(one) is wanted
    assert resource_request(one, rows=0).gpus == int(wanted)


def test_memory_grows_with_rows_that_are_probed_and_with_devices():
    probe = resource_request(task("probe", protocol="knn", settings=[{}]), rows=1000)
    assert probe.memory_bytes == PROCESS_BYTES + 1000 * ROW_BYTES
    run = resource_request(task("pretrain", devices=8), rows=1000)
    assert (run.cpus, run.gpus, run.memory_bytes) == (8, 8, 8 * PROCESS_BYTES)


@pytest.mark.parametrize(
    ("cores", "gpus", "workers", "each"),
    [
        (2, 0, 1, (1, 2)),
        (8, 0, 4, (1, 2)),
        (2, 1, 1, (2, 1)),
        (16, 1, 1, (16, 1)),
        (16, 1, 3, (12, 2)),
        (128, 8, 24, (12, 2)),
        (128, 8, 8, (16, 1)),
        (128, 8, 2, (64, 1)),
        (4, 8, 9, (1, 1)),
    ],
)
def test_a_gpu_has_the_cores_that_feed_it_and_the_rest_is_left_to_others(cores, gpus, workers, each):
    owners = min(gpus, workers)
    feeding, reading = cores_of(cores, gpus, workers)
    assert (feeding, reading) == each
    if cores >= workers:
        assert owners * feeding + (workers - owners) * reading <= cores
