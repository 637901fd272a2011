"""The Ray engine: a cluster of two nodes that loses one, and what cannot be had."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.studies.studies import carried_out, place_at, plain_study
from tests.tree import ROOT
from transferkit.core.errors import MissingExtraError, StudyError, UsageError
from transferkit.core.workspace import Workspace
from transferkit.studies.engines.cluster import RayEngine, carry_out, feeding_cores
from transferkit.studies.engines.engine import ResourceRequest, resource_request
from transferkit.studies.grid import Task, grid_of

ray = pytest.importorskip("ray")


@pytest.mark.slow
def test_a_node_that_dies_does_not_change_the_table(tmp_path):
    calm, _ = carried_out(plain_study(tmp_path), place_at(tmp_path / "calm"))
    expected = {one.cell: one.value for one in calm.results(place_at(tmp_path / "calm"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.studies.engines.two_nodes", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_memory_monitor_refresh_ms": "0"},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tasks"] == {"done": 10, "failed": 0, "blocked": 0, "waiting": 0, "running": 0}
    assert found["killed_after"][0] < 10, "the node was killed in the middle"
    assert found["values"] == pytest.approx(expected, abs=1e-6)
    assert len(set(expected.values())) > 2, "numbers that could differ"


def test_an_address_that_does_not_answer_is_said_within_seconds(tmp_path):
    engine = RayEngine(Workspace.at(tmp_path), address="127.0.0.1:1")
    with (
        pytest.raises(StudyError, match=r"No Ray cluster answers at 127\.0\.0\.1:1 .*ray start --head"),
        engine,
    ):
        pass


def test_a_cluster_that_runs_has_the_workers_it_has(tmp_path):
    with pytest.raises(UsageError, match="--jobs 3 applies to a cluster that is started, not to the one at auto"):
        RayEngine(Workspace.at(tmp_path), address="auto", jobs=3)
    with pytest.raises(UsageError, match="--jobs 0 is too small"):
        RayEngine(Workspace.at(tmp_path), jobs=0)


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"transferkit\[cluster\]"):
        RayEngine(Workspace.at(tmp_path))


def test_a_node_that_does_not_see_the_workspace_says_so(tmp_path):
    task = next(iter(grid_of(plain_study(tmp_path)).values()))
    given = {
        "task": task.to_json(),
        "share": {},
        "workspace": str(tmp_path / "elsewhere"),
        "data": str(tmp_path / "data"),
        "token": "1234",
    }
    outcome = json.loads(carry_out(json.dumps(given)))
    assert outcome["task_record"] is None
    assert "has no access to the workspace" in outcome["error"]
    assert not (tmp_path / "elsewhere").exists()


class Cluster:
    """The part of Ray that a study uses; tasks run when they are submitted, or never."""

    def __init__(self, *nodes, idle=False):
        self.described = [{"Alive": True, "Resources": {"memory": 2**33, **node}} for node in nodes]
        self.idle, self.declared, self.answers = idle, [], {}

    def cluster_resources(self):
        return {name: sum(node["Resources"].get(name, 0) for node in self.described) for name in ("CPU", "GPU")}

    def nodes(self):
        return self.described

    def remote(self, function):
        self.function = function
        return SimpleNamespace(options=lambda **declared: SimpleNamespace(remote=self.begin(declared)))

    def begin(self, declared):
        def remote(text):
            self.declared.append((declared, json.loads(text)["share"]))
            number = len(self.answers)
            self.answers[number] = None if self.idle else self.function(text)
            return number

        return remote

    def wait(self, references, *, num_returns, timeout):
        return references, []

    def get(self, reference):
        return self.answers[reference]

    def cancel(self, reference, *, force):
        pass

    def shutdown(self):
        pass


@pytest.fixture
def engine_on(tmp_path, monkeypatch):
    """An engine on a cluster that is not real."""
    monkeypatch.setattr(RayEngine, "_connect", lambda self: None)

    def engine(cluster):
        engine = RayEngine(place_at(tmp_path).workspace)
        engine._ray = cluster
        return engine

    return engine


def test_two_studies_in_one_workspace_leave_each_other_alone(tmp_path, engine_on):
    first, *_ = grid_of(plain_study(tmp_path)).values()
    studies = place_at(tmp_path).workspace.studies
    with engine_on(Cluster({"CPU": 2})) as one:
        with engine_on(Cluster({"CPU": 2})) as two:
            for engine in (one, two, one):
                engine.submit(first, ResourceRequest(1, 0, 2**30), "fp32")
                (outcome,) = engine.wait(1)
                assert outcome.task_record is not None, outcome.error
        one.submit(first, ResourceRequest(1, 0, 2**30), "fp32")
        (outcome,) = one.wait(1)
        assert outcome.task_record is not None, "the end of one study must not stop the tasks of the other"
        assert len(list(studies.glob("beacon*"))) == 1
    assert not list(studies.glob("beacon*"))


@pytest.mark.parametrize(
    ("nodes", "cores"),
    [
        ([{"CPU": 16}], 1),
        ([{"CPU": 16, "GPU": 1}], 12),
        ([{"CPU": 128, "GPU": 8}, {"CPU": 64}], 12),
        ([{"CPU": 128, "GPU": 8}, {"CPU": 16, "GPU": 2}], 6),
        ([{"CPU": 2, "GPU": 4}], 1),
    ],
)
def test_a_gpu_is_declared_with_the_cores_that_feed_it(nodes, cores):
    assert feeding_cores(nodes) == cores


def network(number):
    return Task("extract", f"extract {number}", {"number": number, "sizes": {}})


def reader(number):
    return Task("probe", f"probe {number}", {"number": number, "protocol": "knn", "settings": [{}]})


def test_decoders_follow_the_cores_and_readers_leave_them(engine_on):
    cluster = Cluster({"CPU": 16, "GPU": 1}, idle=True)
    with engine_on(cluster) as engine:
        for number in range(6):
            assert engine.accepts(reader(number)), "nothing wants the GPU"
            engine.submit(reader(number), resource_request(reader(number), rows=1), "fp32")
        engine.submit(network(0), resource_request(network(0), rows=1), "fp32")
        assert not engine.accepts(reader(6)), "four of sixteen cores are not the GPU's"
        assert engine.accepts(network(1))
    declared, share = cluster.declared[0]
    assert (declared["num_cpus"], declared["num_gpus"], share["threads"], share["loaders"]) == (1, 0, 1, 0)
    declared, share = cluster.declared[-1]
    assert (declared["num_cpus"], declared["num_gpus"], share["threads"], share["loaders"]) == (12, 1, 12, 11)


class OneSmallNode:
    """The part of Ray that an engine uses before it submits a task."""

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2, "memory": 2**33}}]


def test_what_no_node_has_is_a_failure_and_not_a_wait_without_end(tmp_path):
    engine = RayEngine(Workspace.at(tmp_path))
    engine._ray, engine._gpus, engine._cpus = OneSmallNode(), 0, 2
    task = next(iter(grid_of(plain_study(tmp_path)).values()))
    engine.submit(task, ResourceRequest(8, 8, 2**30), "fp32")
    (outcome,) = engine.wait(1)
    assert "No node of the cluster has the required 8 cores" in outcome.error
