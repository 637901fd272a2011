"""Pretraining runs by name: the files from which the encoder of a run is loaded.

A run is a folder ``runs/NAME``. ``run.json`` describes it; ``encoder.safetensors`` contains the newest weights
under the network's own names, and ``best.safetensors`` those with the best accuracy of the k-NN monitor. Files
are replaced atomically. The folder also contains the training state, which this package does not use.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..core.errors import CheckpointError, UnknownNameError, UsageError
from ..core.files import write_json
from ..core.json_dataclass import JsonDataclass
from ..core.preprocessing import Preprocessing
from .checkpoints import file_encoder
from .encoder import Encoder

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


@dataclass(frozen=True)
class Description(JsonDataclass):
    """The content of ``run.json``.

    Attributes:
        architecture: Name from which the network can be rebuilt.
        preprocessing: Preprocessing of images for the trained encoder.
        source: Description of model and training data, for users.
        classes: Names of the classes of the training data.
        identity: Settings on which the weights depend, field → plain value; a resumed run must have the same.
        finished: Time when the run finished, ISO 8601 in UTC; empty while it is unfinished.
        trained_on: Specs of the data sets that the weights were trained on, in order.
    """

    architecture: str
    preprocessing: Preprocessing
    source: str
    classes: tuple[str, ...] = ()
    identity: Mapping[str, Any] = field(default_factory=dict)
    finished: str = ""
    trained_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """The folder of a run, which need not exist yet."""

    folder: Path

    @classmethod
    def named(cls, name: str, runs: Path) -> "Run":
        """Return the run ``name`` in the folder ``runs``.

        Raises: UsageError: if the name is invalid in a spec or a path.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"A run cannot be named {name[:120]!r}: use at most 100 letters, digits and, later, . _ + -"
            )
        return cls(runs / name)

    @property
    def name(self) -> str:
        """NAME in ``run:NAME``."""
        return self.folder.name

    @property
    def begun(self) -> bool:
        """True if the run has a description."""
        return (self.folder / "run.json").exists()

    @property
    def newest(self) -> Path:
        """Path of the encoder at the last checkpoint."""
        return self.folder / "encoder.safetensors"

    @property
    def best(self) -> Path:
        """Path of the encoder at the checkpoint with the best accuracy of the k-NN monitor."""
        return self.folder / "best.safetensors"

    def read(self) -> Description:
        """Read the description of the run.

        Raises: CheckpointError: if the description is missing or damaged.
        """
        path = self.folder / "run.json"
        try:
            return Description.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, UsageError) as error:
            raise CheckpointError(
                f"{path} does not describe a run ({error}). Name another run, or remove this folder."
            ) from error

    def describe(self, description: Description) -> None:
        """Write the description of the run."""
        write_json(self.folder / "run.json", description.to_json())


def known_runs(runs: Path) -> list[Run]:
    """Return all runs of a workspace, sorted by name."""
    return [run for folder in sorted(runs.iterdir()) if (run := Run(folder)).begun] if runs.is_dir() else []


def finished_runs(runs: Path) -> list[Run]:
    """Return the finished runs, the oldest first, without unreadable ones."""
    found = []
    for run in known_runs(runs):
        try:
            if run.newest.exists() and (finished := run.read().finished):
                found.append((finished, run.name, run))
        except CheckpointError:
            continue
    return [run for *_, run in sorted(found, key=lambda each: each[:2])]


def run_encoder(spec: str, runs: Path | None) -> Encoder:
    """Return the encoder of ``latest``, ``run:NAME`` or ``run:NAME@best``.

    ``latest`` is the run that finished last. ``run:NAME`` is its newest checkpoint, even if training has not
    finished; ``@best`` selects the checkpoint with the best k-NN accuracy on held-out images of its source.

    Raises:
        UsageError: if there is no such run, with the names of all runs.
        CheckpointError: if its files are damaged.
    """
    path, description = run_weights(spec, runs)
    encoder = file_encoder(f"{path}#{description.architecture}")
    name = f"run:{path.parent.name}" + ("@best" if path.stem == "best" else "")
    encoder = replace(encoder.at(description.preprocessing.crop), preprocessing=description.preprocessing, note="")
    return replace(encoder, spec=name, source=description.source, trained_on=description.trained_on)


def run_weights(spec: str, runs: Path | None) -> tuple[Path, Description]:
    """Return the file of weights that ``spec`` names, and its description; raises the errors of ``run_encoder``."""
    run, weights = _found(spec, runs)
    path = run.best if weights == "best" else run.newest
    description = run.read()
    if not path.exists() and weights and run.newest.exists():
        raise UsageError(f"{spec}: the run has not been watched yet, and has no best. Use run:{run.name}.")
    if not path.exists():
        raise UsageError(f"{spec} has kept no weights yet. Go on with: transferkit pretrain --name {run.name}")
    return path, description


def _found(spec: str, runs: Path | None) -> tuple[Run, str]:
    """Return the run that ``spec`` names, and ``best`` or an empty string for the newest weights."""
    finished = finished_runs(runs) if runs else []
    place = f" in {runs}" if runs else ""
    if spec == "latest":
        if not finished:
            raise UsageError(
                f"latest: there is no finished pretraining run{place}. "
                "Make one with transferkit pretrain, or name another model, such as imagenet-lite0."
            )
        return finished[-1], ""
    scheme, _, rest = spec.partition(":")
    name, mark, weights = rest.partition("@")
    if scheme == "latest" or not name or (mark and weights != "best"):
        raise UsageError(f"{spec} is no run: write latest, run:NAME or run:NAME@best.")
    if runs is None or not Run.named(name, runs).begun:
        names = [run.name for run in known_runs(runs)] if runs else []
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean 'run:{near[0]}'?" if near else f"There are: {', '.join(names) or 'none'}."
        raise UnknownNameError(f"No run named {name!r}{place}. {hint}")
    return Run.named(name, runs), weights
