"""The folder that holds runs, features, results and reports."""

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

DEFAULT_NAME = "transferkit-workspace"


@dataclass(frozen=True)
class Workspace:
    """Folders of the workspace; they are created when a file is first written to them.

    Attributes:
        root: folder of the workspace.
        data: folder of the data sets: ``$TRANSFERKIT_DATA``, else ``data`` inside the workspace.
    """

    root: Path
    data: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str] | None = None) -> "Workspace":
        """Return the workspace at ``path``, else ``$TRANSFERKIT_WORKSPACE``, else ``./transferkit-workspace``."""
        root = Path(path or os.environ.get("TRANSFERKIT_WORKSPACE") or DEFAULT_NAME).expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file, but a workspace is a folder. Name a folder with --workspace.")
        data = os.environ.get("TRANSFERKIT_DATA")
        return cls(root, Path(data).expanduser().absolute() if data else root / "data")

    @property
    def features(self) -> Path:
        """Folder with one folder per cache entry."""
        return self.root / "features"

    @property
    def results(self) -> Path:
        """Folder with one JSON file per finished cell."""
        return self.root / "results"

    @property
    def episodes(self) -> Path:
        """Folder with one file per set of few-shot episodes."""
        return self.root / "episodes"

    @property
    def runs(self) -> Path:
        """Folder with one folder per pretraining run."""
        return self.root / "runs"

    @property
    def finetuned(self) -> Path:
        """Folder of unfinished fine-tuning runs and of the weights that are kept."""
        return self.root / "finetuned"

    @property
    def studies(self) -> Path:
        """Folder with the state of each study and the records of its finished tasks."""
        return self.root / "studies"

    @property
    def reports(self) -> Path:
        """Folder of report pages, tables and figures."""
        return self.root / "reports"
