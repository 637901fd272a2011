"""Where work is done."""

from dataclasses import dataclass

from ..core.progress import SILENT, Reporter
from ..core.workspace import Workspace
from ..data.catalog import open_dataset
from ..data.dataset import Dataset


@dataclass(frozen=True)
class RunContext:
    """Where work is done, by which seed, and who is told.

    Attributes:
        workspace: where data, features and results lie.
        seed: of splits and draws.
        reporter: receives progress and notes.
    """

    workspace: Workspace
    seed: int = 0
    reporter: Reporter = SILENT

    def open(self, spec: str) -> Dataset:
        """The data set that ``spec`` names, split by this seed where it has no official split."""
        return open_dataset(spec, root=self.workspace.data, seed=self.seed, reporter=self.reporter)
