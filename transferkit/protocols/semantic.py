"""The semantic protocol: targets from pixels, tasks from changed images, and the floors they stand against.

A score says how much of a target stands in a layer. That a layer is wide, or near the pixels, is worth
something by itself; so every score stands beside its floors: that of ``pixels``, and that of the same layer
of the same network untrained. Normalised, -1 is knowing nothing, 0 what the better floor knows, and 1 all.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, UnknownNameError
from ..core.features import Features
from ..core.files import digest_of
from ..core.registry import Registry
from ..core.results import Score
from ..data.dataset import Dataset
from ..data.variants import GRID, PLAIN
from ..models.catalog import load_encoder
from ..models.encoder import Encoder
from ..probes.semantic import SemanticSettings, TargetScore, summary, target_scores
from ..semantics import TARGETS
from ..semantics.factors import PREFIX, factor_targets
from .extract import Extractor
from .place import Place
from .targets import measured, targets_of, with_targets

MOST_ROWS = 2400
"""Of a split that a task stacks, all views together; of larger splits an even selection takes part."""

PIXELS, UNTRAINED = "pixels", "random"


@dataclass(frozen=True)
class Task:
    """A question about changed images.

    Attributes:
        variants: the views that it takes.
        stacked: from the features of each view to those of the task, with its targets.
    """

    variants: tuple[str, ...]
    stacked: Callable[[Mapping[str, Features]], Features]


TASKS: Registry[Task] = Registry("transform")


def _rows(views: Mapping[str, Features], pairs: Sequence[tuple[str, ...]], **targets: Any) -> Features:
    """For each of ``pairs`` the features of its views side by side, one stack after another.

    Args:
        views: of the same rows.
        pairs: names of views.
        targets: of each pair, by name.
    """
    first = next(iter(views.values()))
    n, k = len(first), len(pairs)
    blocks = [np.concatenate([np.asarray(views[name].x) for name in pair], axis=1) for pair in pairs]
    return replace(
        first,
        x=np.concatenate(blocks),
        labels=np.tile(first.labels, k),
        ids=[f"{one}@{'+'.join(pair)}" for pair in pairs for one in first.ids],
        targets={name: np.repeat(np.asarray(values), n, axis=0) for name, values in targets.items()},
    )


_TURNS = (PLAIN, "rotate:90", "rotate:180", "rotate:270")
TASKS.register("rotation")(
    Task(_TURNS, lambda views: _rows(views, [(turn,) for turn in _TURNS], rotation=np.arange(4)))
)

_MIDDLE = f"patch:{GRID * GRID // 2}"
_AROUND = tuple(f"patch:{place}" for place in range(GRID * GRID) if f"patch:{place}" != _MIDDLE)
TASKS.register("patch")(
    Task(
        (_MIDDLE, *_AROUND),
        lambda views: _rows(views, [(_MIDDLE, other) for other in _AROUND], patch=np.arange(len(_AROUND))),
    )
)

_DAMAGED = tuple(
    f"{kind}:{severity}" for kind in ("noise", "blur", "contrast", "jpeg") for severity in (1, 3, 5)
)
TASKS.register("corruption")(
    Task(
        _DAMAGED,
        lambda views: _rows(
            views,
            [(view,) for view in _DAMAGED],
            corruption=np.arange(len(_DAMAGED)) // 3,
            severity=np.tile([[1.0], [3.0], [5.0]], (4, 1)),
        ),
    )
)


CLASS = "class"
"""The target of level ``high``."""

FACTORS = "factors"
"""The level of what was recorded when images were drawn."""

Known = dict[str, tuple[dict[str, TargetScore], tuple[str, ...]]]
"""What was scored → scores by target, and the targets that are constant."""


@dataclass(eq=False)
class Semantics:
    """Semantic questions about one encoder on one data set.

    Attributes:
        extractor: of the encoder; its layers are asked about.
        dataset: whose images.
        place: where, by which seed, and who is told.
        levels: that will be asked about; a layer's targets of all of them are scored together, from one
            decomposition of its features.
        known: filled here, and shared by the questions about several encoders: their floors are the same.
    """

    extractor: Extractor
    dataset: Dataset
    place: Place
    levels: tuple[str, ...] = ()
    known: Known = field(default_factory=dict)
    _extractors: dict[str, Extractor] = field(default_factory=dict)

    def score(self, layer: str, settings: SemanticSettings) -> Score:
        """What ``layer`` says of the targets of a level, and what the floors say.

        Raises: UnknownNameError, DataError: for an unknown transform, or if nothing varies.
        """
        started = time.perf_counter()
        asked = [name for name in settings.transforms if name != "none"] if settings.level == "mid" else []
        tasks = {name: TASKS[name] for name in asked}
        scores, constant = self._scores(self.extractor.encoder.spec, layer, settings, tasks)
        floors = {name: self._floor(name, layer, settings, tasks) for name in self._floors()}
        score = summary(scores, constant, seed=self.place.seed, seconds=time.perf_counter() - started)
        targets: dict[str, dict[str, Any]] = {
            name: {**value, **_against(value["value"], {f: known[name].value for f, known in floors.items()})}
            for name, value in score.also["targets"].items()
        }
        normalised = [value["normalised"] for value in targets.values() if "normalised" in value]
        mean = {"normalised": float(np.mean(normalised))} if normalised else {}
        return replace(score, also={**score.also, **mean, "targets": targets})

    def _floors(self) -> tuple[str, ...]:
        """Those that the encoder is not itself."""
        spec = self.extractor.encoder.spec
        if spec == PIXELS:
            return ()
        if spec.startswith("random:") or self._untrained is None:
            return (PIXELS,)
        return PIXELS, UNTRAINED

    @cached_property
    def _untrained(self) -> Encoder | None:
        """The same network before training, shown what the encoder is shown; None if nobody can build it."""
        encoder = self.extractor.encoder
        try:
            return replace(load_encoder(f"random:{encoder.architecture}"), view=encoder.view)
        except UnknownNameError:
            return None

    def _floor(
        self, name: str, layer: str, settings: SemanticSettings, tasks: Mapping[str, Task]
    ) -> dict[str, TargetScore]:
        spec = PIXELS if name == PIXELS else f"random:{self.extractor.encoder.architecture}"
        return self._scores(spec, PIXELS if name == PIXELS else layer, settings, tasks)[0]

    def _scores(
        self, spec: str, layer: str, settings: SemanticSettings, tasks: Mapping[str, Task]
    ) -> tuple[dict[str, TargetScore], tuple[str, ...]]:
        """The score by one layer of one encoder of every target of the level and of the tasks."""
        names = self.dataset.splits
        others = (level for level in self.levels if level != FACTORS or self._factors)
        levels = sorted({settings.level, *others})
        scores, constant = self._once(
            (spec, layer, levels, settings.grid),
            lambda: {name: self._with_targets(spec, layer, levels, name) for name in names},
            settings,
        )
        scores = {name: score for name, score in scores.items() if _level_of(name) == settings.level}
        constant = tuple(name for name in constant if _level_of(name) == settings.level)
        for title, task in tasks.items():
            stacks = partial(self._stacks, spec, layer, task)
            more, never = self._once((spec, layer, title, settings.grid), stacks, settings)
            scores, constant = scores | more, constant + never
        return scores, constant

    def _once(
        self, asked: tuple[Any, ...], splits: Callable[[], dict[str, Features]], settings: SemanticSettings
    ) -> tuple[dict[str, TargetScore], tuple[str, ...]]:
        """What is known of features with targets, else scored now."""
        of = self._extractor(asked[0])
        entries = [of.open(split).entry.key.to_json() for split in self.dataset.splits.values()]
        key = digest_of([*asked, entries, self.place.seed])
        if key not in self.known:
            self.known[key] = target_scores(splits(), settings.grid, seed=self.place.seed)
        return self.known[key]

    def _with_targets(self, spec: str, layer: str, levels: Sequence[str], split: str) -> Features:
        features = self._features(spec, layer, PLAIN, split)
        targets: dict[str, NDArray] = {}
        for level in levels:
            if level == "high":
                targets[CLASS] = features.labels
            elif level == FACTORS:
                targets |= self._recorded(features.ids, split)
            else:
                targets |= self._measured(features, targets_of(level), split)
        return replace(features, targets=targets)

    def _recorded(self, ids: Sequence[str], split: str) -> dict[str, NDArray]:
        """Of the rows ``ids`` of a split, what was chosen when they were drawn.

        Raises: DataError: if nothing was recorded.
        """
        if not self._factors:
            raise DataError(f"{self.dataset.spec} records no factors: leave out the level {FACTORS}.")
        place = {one: row for row, one in enumerate(self.dataset.split(split).ids)}
        rows = [place[one] for one in ids]
        return {name: values[rows] for name, values in self._factors[split].items()}

    @cached_property
    def _factors(self) -> dict[str, dict[str, NDArray]]:
        """Targets by split; empty where nothing was recorded."""
        found = factor_targets({name: split.factors for name, split in self.dataset.splits.items()})
        return found if any(found.values()) else {}

    def _measured(self, features: Features, names: Sequence[str], split: str) -> Mapping[str, NDArray]:
        entry = measured(
            self.dataset.split(split),
            self.extractor.encoder.view,
            names,
            store=self.extractor.store,
            reporter=self.place.reporter,
        )
        return with_targets(features, entry, names).targets

    def _stacks(self, spec: str, layer: str, task: Task) -> dict[str, Features]:
        return {name: self._stacked(spec, layer, task, name) for name in self.dataset.splits}

    def _stacked(self, spec: str, layer: str, task: Task, split: str) -> Features:
        views = {view: self._features(spec, layer, view, split) for view in task.variants}
        rows = len(next(iter(views.values())))
        most = max(1, MOST_ROWS // len(task.variants))
        if rows > most:
            chosen = np.linspace(0, rows - 1, most).astype(np.int64)
            views = {view: features.rows(chosen) for view, features in views.items()}
        return task.stacked(views)

    def _features(self, spec: str, layer: str, view: str, split: str) -> Features:
        extractor = self._extractor(spec).looking(view)
        return extractor.open(self.dataset.split(split)).run(self.place.reporter).features(layer)

    def _extractor(self, spec: str) -> Extractor:
        """Of the encoder, or of a floor; built once."""
        own = self.extractor
        if spec == own.encoder.spec:
            return own
        if spec not in self._extractors:
            settings = own.settings
            if spec == PIXELS:
                encoder = load_encoder(PIXELS)
                settings = replace(settings, layers=("last",), size=None, pooling=None)
            else:
                assert self._untrained is not None  # or it is no floor
                encoder = self._untrained
            self._extractors[spec] = Extractor(encoder, settings, store=own.store)
        return self._extractors[spec]


def _level_of(target: str) -> str:
    """The level that a target belongs to, from its name."""
    if target == CLASS:
        return "high"
    return FACTORS if target.startswith(PREFIX) else TARGETS[target].level


def _against(value: float, floors: Mapping[str, float]) -> dict[str, Any]:
    """The floors, and where ``value`` lies: -1 knows nothing, 0 what the better floor knows, 1 all."""
    if not floors:
        return {}
    known, floor = max(0.0, value), min(1.0, max(0.0, *floors.values()))
    if known >= floor:
        normalised = (known - floor) / (1 - floor) if floor < 1 else 0.0
    else:
        normalised = known / floor - 1
    return {"floors": dict(floors), "normalised": normalised}
