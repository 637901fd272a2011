"""One of several processes that train a run: ``torchrun -m transferkit.studies.engines.together``."""

import json
import os
import sys

from ...core.errors import TransferkitError
from ...core.workspace import Workspace
from ...protocols.place import Place
from ...protocols.pretraining.pretrain import pretrain
from ...protocols.pretraining.settings import Machinery, PretrainSettings
from ..performing import settings_of


def main() -> int:
    """Train the run that the environment describes; 0 if that went well."""
    what = json.loads(os.environ["TRANSFERKIT_TASK"])
    machinery = Machinery(device=what["device"], devices=what["devices"])
    settings = settings_of(PretrainSettings, what["settings"])
    try:
        pretrain(settings, place=Place(Workspace.at()), name=what["run"], machinery=machinery)
    except TransferkitError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
