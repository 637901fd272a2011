"""A process of distributed training: ``torchrun -m transferkit.studies.engines.ddp_worker``."""

import json
import os
import sys

from ...core.errors import TransferkitError
from ...core.workspace import Workspace
from ...training.settings import TrainerConfig
from ..runner import train
from .stdin_protocol import orders


def main() -> int:
    """Train the run that the environment describes; return 0 on success."""
    _ = orders()  # there are none, but the end of the input terminates this process
    what = json.loads(os.environ["TRANSFERKIT_TASK"])
    try:
        train(what, Workspace.at(), TrainerConfig(device=what["device"], devices=what["devices"]))
    except TransferkitError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
