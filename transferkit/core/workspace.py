"""The folder that holds runs, features, results and reports."""

import os
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

DEFAULT_NAME = "transferkit-workspace"


@dataclass(frozen=True)
class Workspace:
    """Where everything lies; nothing is created before something is written.

    Attributes:
        root: the workspace folder.
        data: where data sets are kept: ``$TRANSFERKIT_DATA``, else ``data`` inside the workspace.
    """

    root: Path
    data: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str] | None = None) -> "Workspace":
        """The workspace at ``path``, else ``$TRANSFERKIT_WORKSPACE``, else ``./transferkit-workspace``."""
        root = Path(path or os.environ.get("TRANSFERKIT_WORKSPACE") or DEFAULT_NAME).expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file and cannot be a workspace. Name a folder with --workspace.")
        data = os.environ.get("TRANSFERKIT_DATA")
        return cls(root, Path(data).expanduser().absolute() if data else root / "data")

    @property
    def features(self) -> Path:
        """One folder a cache entry."""
        return self.root / "features"

    @property
    def results(self) -> Path:
        """One JSON file a finished cell."""
        return self.root / "results"

    @property
    def episodes(self) -> Path:
        """One file a set of few-shot episodes."""
        return self.root / "episodes"

    @property
    def runs(self) -> Path:
        """One folder a pretraining run."""
        return self.root / "runs"

    @property
    def finetuned(self) -> Path:
        """Fine-tuning under way, and weights that are kept."""
        return self.root / "finetuned"

    @property
    def studies(self) -> Path:
        """The state of each study, and the receipts of finished tasks."""
        return self.root / "studies"

    @property
    def reports(self) -> Path:
        """Pages, tables and figures."""
        return self.root / "reports"
