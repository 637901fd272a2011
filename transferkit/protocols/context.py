"""The context of a run: workspace, seed and reporter."""

from dataclasses import dataclass

from ..core.progress import SILENT, Reporter
from ..core.workspace import Workspace
from ..data.dataset import Dataset
from .dataset_catalog import open_dataset


@dataclass(frozen=True)
class RunContext:
    """Workspace, seed and reporter of a run.

    Attributes:
        workspace: folders of data, features and results.
        seed: seed of splits and random sampling.
        reporter: receives progress and notes.
    """

    workspace: Workspace
    seed: int = 0
    reporter: Reporter = SILENT

    def open(self, spec: str) -> Dataset:
        """Open the data set ``spec``; without official splits, it is split by the seed."""
        return open_dataset(spec, root=self.workspace.data, seed=self.seed, reporter=self.reporter)
