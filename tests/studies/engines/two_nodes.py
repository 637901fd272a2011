"""A Ray cluster of two nodes on this machine, of which one is killed in the middle of a study.

Run: python -m tests.studies.engines.two_nodes FOLDER
"""

import json
import sys
import threading
import time
import warnings
from pathlib import Path

from ray.cluster_utils import Cluster

from tests.studies.studies import place_at, plain_study
from transferkit.studies.engines.cluster import RayEngine
from transferkit.studies.run import run_study


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    victim = cluster.add_node(**node)
    context = place_at(folder / "workspace")
    study = plain_study(folder)
    killed: list[int] = []

    def kill() -> None:
        """Remove the node once a task is finished and others are running."""
        receipts = context.workspace.studies / "finished"
        while not list(receipts.glob("*.json")):
            time.sleep(0.05)
        killed.append(len(list(receipts.glob("*.json"))))
        cluster.remove_node(victim, allow_graceful=False)

    threading.Thread(target=kill, daemon=True).start()
    run = run_study(study, context=context, engine=lambda: RayEngine(context.workspace, address=cluster.address))
    cluster.shutdown()
    values = {result.cell: result.value for result in run.results(context)}
    sys.stdout.write(json.dumps({"killed_after": killed, "tasks": run.to_json()["tasks"], "values": values}))


if __name__ == "__main__":
    main()
