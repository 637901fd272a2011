"""Seconds of the demo's three protocols on twelve sets, at five layers of a network, from the cache."""

import tempfile
import time
from pathlib import Path

from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.settings import ExtractSettings

MODEL, SIZE = "imagenet-lite0", 128


def main() -> None:
    """Print the table; the first pass fills the cache."""
    with tempfile.TemporaryDirectory() as folder:
        context = RunContext(Workspace(Path(folder, "w"), data=Path(folder, "data")))
        settings = ExtractSettings(layers=("stages",), size=SIZE)
        asked = [eval_request("linear", penalties=8), eval_request("knn"), eval_request("fewshot", shots=5)]
        Evaluator(context, settings).run([MODEL], ["mini"], asked[1:2])
        started = time.perf_counter()
        records = Evaluator(context, settings, force=True).run([MODEL], ["mini"], asked)
        layers = len({record.layer for record in records})
        print(
            f"{layers} layers of {MODEL} on twelve sets by {len(asked)} protocols, {len(records)} cells: "
            f"{time.perf_counter() - started:.1f} s"
        )
