"""The description of a study: models, data sets, protocols and analyses, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..core.settings import Settings
from ..protocols.finetuning.settings import FinetuneSettings
from ..protocols.pretraining.settings import PretrainSettings


@dataclass(frozen=True)
class Scope:
    """Models, data sets, layers and seeds of a part of a study.

    Attributes:
        models: specs of encoders.
        data: specs of single data sets.
        layers: ``last``, ``stages``, ``all`` or module-name patterns.
        seeds: seeds of splits and random sampling.
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    layers: tuple[str, ...] = ("last",)
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Pretraining:
    """A pretraining run of a study; its model is ``run:NAME``.

    Attributes:
        run: name of the run.
        settings: settings that determine the weights.
        devices: number of processes of one machine that train it, one per GPU.
    """

    run: str
    settings: PretrainSettings
    devices: int = 1


@dataclass(frozen=True)
class Probing:
    """A probe protocol.

    Attributes:
        protocol: name in ``PROBES``.
        settings: settings of that probe; several if they are evaluated together.
        scope: models, data sets, layers and seeds.
    """

    protocol: str
    settings: tuple[Settings, ...]
    scope: Scope


@dataclass(frozen=True)
class Finetuning:
    """Fine-tuning of whole networks.

    Attributes:
        settings: the grid, and the settings that its points share.
        scope: models, data sets and seeds of the training.
    """

    settings: FinetuneSettings
    scope: Scope


@dataclass(frozen=True)
class Analyzing:
    """An analysis of representations.

    Attributes:
        kind: name in ``ANALYSES``.
        settings: settings of the analysis; None if it has none.
        scope: models, data sets, layers and seeds.
    """

    kind: str
    settings: Settings | None
    scope: Scope


@dataclass(frozen=True)
class Study:
    """A grid of cells, as a study file describes it.

    Attributes:
        name: name of the study and of its folder in the workspace.
        scope: default scope of the tables.
        sizes: model spec or pattern → input size in pixels per side.
        precision: ``auto``, ``fp32`` or ``bf16`` of the forward passes.
        workers_per_entry: number of tasks that extract the features of one model and data set in parallel.
        pretrain: pretraining runs.
        probe: probes of cached features.
        finetune: fine-tuning of whole networks.
        analyze: analyses of representations.
    """

    name: str
    scope: Scope
    sizes: Mapping[str, int] = field(default_factory=dict)
    precision: str = "auto"
    workers_per_entry: int = 1
    pretrain: tuple[Pretraining, ...] = ()
    probe: tuple[Probing, ...] = ()
    finetune: tuple[Finetuning, ...] = ()
    analyze: tuple[Analyzing, ...] = ()

    @property
    def asked(self) -> tuple[Probing | Finetuning | Analyzing, ...]:
        """All probes, fine-tunings and analyses."""
        return (*self.probe, *self.finetune, *self.analyze)

    def size(self, model: str) -> int | None:
        """Return the input size of ``model``; None for its own. Exact specs take precedence over patterns."""
        if model in self.sizes:
            return self.sizes[model]
        return next((size for name, size in self.sizes.items() if fnmatchcase(model, name)), None)
