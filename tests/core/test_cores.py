"""The number of cores is that of the affinity mask where the system has one."""

import os

from transferkit.core import cores


def test_the_affinity_mask_counts(monkeypatch):
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert cores.available_cores() == 3


def test_a_system_without_a_mask_counts_all_cores(monkeypatch):
    monkeypatch.delattr(cores.os, "sched_getaffinity", raising=False)
    assert cores.available_cores() == (os.cpu_count() or 1)
