"""What a study is: models, data, and what is asked of them. Values only; nothing is opened here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..probes.probe import Settings as ProbeSettings
from ..protocols.analyses.robustness_settings import RobustnessSettings
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.pretraining.settings import PretrainSettings

ANALYSES = ("cka", "separation", "transferability", "robustness")
"""Analyses that leave records."""


@dataclass(frozen=True)
class Scope:
    """What a question is put to.

    Attributes:
        models: specs of encoders.
        data: specs of single data sets.
        layers: ``last``, ``stages``, ``all`` or module-name patterns.
        seeds: of splits and draws.
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    layers: tuple[str, ...] = ("last",)
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Pretraining:
    """A run to make first; its model is ``run:NAME``.

    Attributes:
        run: its name.
        settings: everything that its weights depend on.
        devices: processes of one machine that train it together, one a GPU.
    """

    run: str
    settings: PretrainSettings
    devices: int = 1


@dataclass(frozen=True)
class Probing:
    """One probe protocol.

    Attributes:
        protocol: a name in ``PROBES``.
        settings: of that probe; several where they are answered together.
        scope: what is asked.
    """

    protocol: str
    settings: tuple[ProbeSettings, ...]
    scope: Scope


@dataclass(frozen=True)
class Finetuning:
    """Fine-tuning of whole networks.

    Attributes:
        settings: the grid, and what its settings have in common.
        scope: models and data; the seeds are of the training.
    """

    settings: FinetuneSettings
    scope: Scope


@dataclass(frozen=True)
class Analysis:
    """A look inside representations.

    Attributes:
        kind: one of ``ANALYSES``.
        settings: what test images suffer, of ``robustness``.
        scope: what is looked at.
    """

    kind: str
    settings: RobustnessSettings | None
    scope: Scope


@dataclass(frozen=True)
class Study:
    """A grid of cells, as a study file describes it.

    Attributes:
        name: of the study, and of its folder in the workspace.
        scope: what is asked where a table does not say otherwise.
        shown: model spec or pattern → pixels of the square that the model is shown.
        precision: ``auto``, ``fp32`` or ``bf16`` of the forward passes.
        workers_per_entry: tasks that fill the features of one model and data set together.
        pretrain: runs to make first.
        probe: questions to cached features.
        finetune: trainings of the whole network.
        analyze: looks inside representations.
    """

    name: str
    scope: Scope
    shown: Mapping[str, int] = field(default_factory=dict)
    precision: str = "auto"
    workers_per_entry: int = 1
    pretrain: tuple[Pretraining, ...] = ()
    probe: tuple[Probing, ...] = ()
    finetune: tuple[Finetuning, ...] = ()
    analyze: tuple[Analysis, ...] = ()

    @property
    def asked(self) -> tuple[Probing | Finetuning | Analysis, ...]:
        """Every question, whatever its kind."""
        return (*self.probe, *self.finetune, *self.analyze)

    def size(self, model: str) -> int | None:
        """Pixels of the square that ``model`` is shown; None for its own. Exact specs win over patterns."""
        if model in self.shown:
            return self.shown[model]
        return next((size for name, size in self.shown.items() if fnmatchcase(model, name)), None)
