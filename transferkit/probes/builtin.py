"""The built-in protocols: settings of the probes, and what each probe declares. Importing this file imports no torch.

[1] Caron et al., Emerging properties in self-supervised vision transformers, ICCV 2021 (DINO): T = 0.07.
[2] https://github.com/google-research/big_vision, evaluators/fewshot_lsr.py: ridge regression with penalty 2¹⁰.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from ..core.errors import UsageError
from ..core.faiss_library import has_faiss
from ..core.results import Score
from ..core.settings import (
    Limits,
    NonEmpty,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Settings,
    option_name,
)
from .episodes import Shape, Ways
from .probe import Probe, ProbeContext
from .solvers import Method, Metric, Normalize

Solver = Literal["lbfgs", "sgd"]
SelectBy = Literal["top1", "mean_per_class"]
Index = Literal["auto", "flat", "ivf"]
Scheme = Literal["episodes", "all-way"]
SplitChoice = Literal["all", "train", "val", "test"]

Level = Literal["low", "mid", "high", "factors"]
LEVELS: tuple[Level, ...] = ("low", "mid", "high")
"""Levels that every data set has."""

TEMPERATURE = 0.07
"""Temperature of DINO [1]."""

RIDGE_PENALTY = 2.0**10
"""Default penalty of ``ridge`` in all-way classification [2]."""


@dataclass(frozen=True)
class LinearSettings(Settings):
    """Settings of the linear probe.

    Attributes:
        penalties: Number of log-spaced L2 penalties from --penalty-min to --penalty-max, of which validation selects
            one; 1 uses --penalty-min.
        penalty_min: Weakest L2 penalty, 1/C in scikit-learn.
        penalty_max: Strongest L2 penalty, 1/C in scikit-learn.
        normalize: Normalisation of the features; ``l2`` scales the features of each image to unit length,
            ``standardize`` gives each feature mean 0 and standard deviation 1 over the training images.
        solver: Solver; ``lbfgs`` fits logistic regression. ``sgd`` trains for 50 epochs with the learning rate (0.01,
            0.001), batch size (128, 32) and weight decay (0, 1e-4, 1e-5) that validation selects; --penalties,
            --penalty-min, --penalty-max and --select-by do not apply to it.
        views: Number of augmented views per training image for --solver sgd, which the epochs use in turn; 0 disables
            augmentation. 50 gives each of the 50 epochs a new view, as in Islam et al. (2021).
        select_by: Accuracy on the validation images that selects the penalty; Kornblith et al. use ``mean_per_class``
            for the data sets for which they report it.
    """

    penalties: PositiveInt = 45
    penalty_min: PositiveFloat = 1e-6
    penalty_max: PositiveFloat = 1e5
    normalize: Normalize = "none"
    solver: Solver = "lbfgs"
    views: NonNegativeInt = 0
    select_by: SelectBy = "top1"

    def check(self) -> None:
        """Check that penalties and views belong to the solver."""
        if self.penalty_min > self.penalty_max:
            raise UsageError(
                f"--penalty-min {self.penalty_min:g} is more than --penalty-max {self.penalty_max:g}: "
                "give a smaller --penalty-min."
            )
        if self.views and self.solver != "sgd":
            raise UsageError(
                f"--views {self.views} is invalid with --solver {self.solver}. Give 1 or more with --solver "
                "sgd, the only solver that trains on augmented views, or 0 to train without augmentation."
            )
        if self.solver == "sgd" and self.select_by != "top1":
            raise UsageError(
                f"--select-by {self.select_by} selects a penalty, which --solver sgd does not have: "
                "it selects its setting by top1. Leave out --select-by, or use --solver lbfgs."
            )
        defaults = {field.name: field.default for field in fields(self)}
        for name in ("penalties", "penalty_min", "penalty_max"):
            if self.solver == "sgd" and getattr(self, name) != defaults[name]:
                raise UsageError(
                    f"--solver sgd has its own grid and no penalties: leave out {option_name(name)}, or use "
                    "--solver lbfgs."
                )

    @property
    def grid(self) -> list[float]:
        """Penalties, ascending."""
        return np.geomspace(self.penalty_min, self.penalty_max, self.penalties).tolist()


class LinearProtocol(Probe[LinearSettings]):
    """Logistic regression: selects the penalty on validation rows, refits on train + val and scores ``test``."""

    settings_type = LinearSettings

    def augmented_views(self, settings: LinearSettings) -> int:
        """Return the number of views."""
        return settings.views

    def score(self, context: ProbeContext, settings: LinearSettings) -> Score:
        """Score the features of one layer; see ``linear.linear_score``."""
        from .linear import linear_score

        return linear_score(context, settings)


@dataclass(frozen=True)
class KnnSettings(Settings):
    """Settings of the k-NN probe.

    Attributes:
        k: Candidate numbers of neighbours, of which validation selects one; a number larger than that of the training
            images uses them all.
        temperature: Candidate temperatures of the vote weights exp(similarity / temperature), for ``cosine``.
        metric: Candidate metrics: ``cosine``, or ``euclidean`` on unnormalised features with vote weights 1 / distance.
        index: Search index; ``flat`` is exact, ``ivf`` approximate with its measured recall in the results. ``auto``
            selects ivf from 10000 test images and 1000000 training images that fit in memory.
    """

    k: Annotated[tuple[PositiveInt, ...], NonEmpty()] = (1, 5, 20, 100, 200)
    temperature: Annotated[tuple[PositiveFloat, ...], NonEmpty()] = (TEMPERATURE,)
    metric: Annotated[tuple[Metric, ...], NonEmpty()] = ("cosine",)
    index: Index = "auto"

    def check(self) -> None:
        """Check that the approximate index is available."""
        if self.index == "ivf" and not has_faiss():
            raise UsageError("--index ivf needs FAISS: run pip install faiss-cpu, or use --index flat.")

    @property
    def candidates(self) -> int:
        """Number of candidate combinations; with one, there is no selection."""
        temperatures = [len(self.temperature) if metric == "cosine" else 1 for metric in self.metric]
        return len(self.k) * sum(temperatures)


class KnnProtocol(Probe[KnnSettings]):
    """Weighted k-NN: selects k, T and metric on validation rows, and scores ``test`` with train + val as the bank."""

    settings_type = KnnSettings

    def score(self, context: ProbeContext, settings: KnnSettings) -> Score:
        """Score the features of one layer; see ``knn.knn_score``."""
        from .knn import knn_score

        return knn_score(context, settings)


@dataclass(frozen=True)
class FewshotSettings(Settings):
    """Settings of the few-shot probe.

    Attributes:
        scheme: Evaluation scheme; ``episodes`` classifies among a few random classes at a time, ``all-way`` classifies
            test images among all classes, from a few images per class of train, as big_vision does.
        ways: Number of classes per episode (--scheme episodes only).
        shots: Numbers of support images per class, from which the classifier is fitted.
        queries: Number of query images per class and episode, which are classified (--scheme episodes only).
        episodes: Number of episodes (--scheme episodes only).
        repeats: Number of random draws of the support images (--scheme all-way only); big_vision uses 3, too few to
            estimate their variance.
        method: Classifier: ``lr`` (logistic regression), ``ridge`` (least squares to ±1), ``proto`` (nearest class
            mean) or ``nn`` (nearest neighbour); by default lr for episodes, ridge for all-way.
        penalty: L2 penalty of ``lr`` (1/C in scikit-learn) and ``ridge``; by default 1, and 1024 for ridge in all-way.
        episode_split: Split from which episodes are drawn (--scheme episodes only).
        min_rows_per_class: Minimum number of images of a class in episodes (--scheme episodes only); --shots plus
            --queries are needed in any case; by default as many as the largest of --shots needs, so that all values of
            --shots use the same classes.
    """

    scheme: Scheme = "episodes"
    ways: Ways = 5
    shots: PositiveInt = 1
    queries: PositiveInt = 15
    episodes: PositiveInt = 600
    repeats: PositiveInt = 5
    method: Method | None = None
    penalty: PositiveFloat | None = None
    episode_split: SplitChoice = "all"
    min_rows_per_class: NonNegativeInt | None = None

    def check(self) -> None:
        """Check that a split is chosen for episodes only."""
        if self.scheme == "all-way" and self.episode_split != "all":
            raise UsageError(
                f"--episode-split {self.episode_split} is invalid with --scheme all-way, which fits train and scores "
                "test: omit it."
            )

    @property
    def shape(self) -> Shape:
        """Shape of the episodes."""
        return Shape(self.ways, self.shots, self.queries, self.episodes)

    @property
    def effective_method(self) -> Method:
        """The method, or the default of the scheme."""
        return self.method or ("ridge" if self.scheme == "all-way" else "lr")

    @property
    def effective_penalty(self) -> float:
        """The penalty, or the default of the scheme."""
        if self.penalty is not None:
            return self.penalty
        return RIDGE_PENALTY if (self.scheme, self.effective_method) == ("all-way", "ridge") else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for records, with defaults replaced by the values in use."""
        used = {
            "method": self.effective_method,
            "penalty": self.effective_penalty,
            "min_rows_per_class": self.min_rows_per_class or 0,
        }
        return {**super().to_json(), **used}


class FewshotProtocol(Probe[FewshotSettings]):
    """Few-shot classification: mean accuracy over episodes, or over all-way draws."""

    settings_type = FewshotSettings
    lists: ClassVar[Mapping[str, tuple[Any, ...]]] = {"shots": ()}

    def made_comparable(self, requested: Sequence[FewshotSettings]) -> list[FewshotSettings]:
        """Return the settings with the same classes for all shots of a curve.

        If settings of episodes differ only in their shots and leave ``min_rows_per_class`` open, the classes are
        those with enough rows for the most shots and the queries. (The support of fewer shots is part of that of
        more, and the queries are the same, in any case.) All other settings are returned unchanged.
        """
        shots: dict[FewshotSettings, list[int]] = {}  # settings without their shots → all shots of the curve
        for one in requested:
            shots.setdefault(replace(one, shots=1), []).append(one.shots)
        return [_with_min_rows(one, shots) for one in requested]

    def score(self, context: ProbeContext, settings: FewshotSettings) -> Score:
        """Score the features of one layer; see ``fewshot.fewshot_score``."""
        from .fewshot import fewshot_score

        return fewshot_score(context, settings)


def _with_min_rows(one: FewshotSettings, shots: Mapping[FewshotSettings, Sequence[int]]) -> FewshotSettings:
    all_shots = shots[replace(one, shots=1)]
    if one.scheme != "episodes" or one.min_rows_per_class is not None or len(set(all_shots)) == 1:
        return one
    return replace(one, min_rows_per_class=max(all_shots) + one.queries)


@dataclass(frozen=True)
class SemanticSettings(Settings):
    """Settings of semantic probes.

    Attributes:
        level: Levels of the predicted properties of images: ``low`` (colour, contrast, orientation, frequency), ``mid``
            (texture, shape, symmetry, figure and ground), ``high`` (class) or ``factors`` (recorded factors of
            synthetic images).
        mid_tasks: Further tasks of level ``mid``, which encode several views of each image: ``rotation`` predicts which
            of four rotations was applied, ``patch`` the position of a patch beside the centre (nine views),
            ``corruption`` the kind of corruption (twelve views). ``none`` disables them.
        target_penalties: Number of log-spaced L2 penalties from 0.01 to 1000000, for standardised features, of which
            validation selects one per property.
    """

    level: Level = "low"
    mid_tasks: tuple[str, ...] = ("rotation",)
    target_penalties: Annotated[int, Limits(2)] = 13

    @property
    def grid(self) -> list[float]:
        """Penalties, ascending, for features of standard deviation 1."""
        return np.geomspace(1e-2, 1e6, self.target_penalties).tolist()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for records, without tasks of another level."""
        value = super().to_json()
        return value if self.level == "mid" else {**value, "mid_tasks": []}


LINEAR, KNN, FEWSHOT = LinearProtocol(), KnnProtocol(), FewshotProtocol()
