"""Paired comparison of models on the same test rows or episodes, and over data sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from ..core.comparison import Paired, compare_outcomes, over_sets
from ..core.errors import DataError, UsageError
from ..core.files import sorted_json
from ..core.results import Result, recipe
from ..probes.ranking import METRIC


@dataclass(frozen=True)
class Comparison:
    """Comparison of model ``a`` with model ``b`` under one protocol.

    Attributes:
        a, b: the models, in the order of the records.
        layer_a, layer_b: the compared layers; the same layer if both models have it.
        protocol, settings, seed: recipe of both records.
        data: one data set, whose rows or episodes are paired; or several data sets, which are paired.
        value_a, value_b: the scores of the models, or their means over several data sets.
        found: the difference, with its interval and test.
    """

    a: str
    b: str
    layer_a: str
    layer_b: str
    protocol: str
    settings: Mapping[str, Any]
    seed: int
    data: tuple[str, ...]
    value_a: float
    value_b: float
    found: Paired

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON; ``wins`` and ``losses`` count units where ``a`` is better or worse."""
        found = dict(vars(self.found))
        interval = found.pop("interval")
        low, high = interval.limits or (None, None)
        other = {name: value for name, value in vars(self).items() if name != "found"}
        return {
            **other,
            "data": list(self.data),
            **found,
            "ci_low": low,
            "ci_high": high,
            "ci_method": interval.method,
        }


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of all pairs of models.

    Attributes:
        each: comparisons per data set, layer and protocol.
        overall: comparisons over all data sets, if there are two or more.
        refused: reasons why pairs could not be compared, one sentence per pair.
    """

    each: tuple[Comparison, ...]
    overall: tuple[Comparison, ...]
    refused: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "comparisons": [one.to_json() for one in self.each],
            "over_datasets": [one.to_json() for one in self.overall],
            "refused": list(self.refused),
        }

    def require_all(self) -> None:
        """Check that all pairs could be compared.

        Raises: DataError: with the reasons, if some could not.
        """
        if self.refused:
            raise DataError(" ".join(self.refused))


def compare_models(results: Sequence[Result]) -> Comparisons:
    """Compare every two models of ``results`` on each data set that both were scored on by the same recipe.

    Layers that both models have are compared one by one. Without a common layer, the last layers are compared.

    Args:
        results: records, with the layers of a model in the order of its network.
    """
    each: list[Comparison] = []
    compared: list[tuple[Result, Result]] = []
    refused: list[str] = []
    for a, b in _pairs(results):
        try:
            each.append(_comparison(a, b))
            compared.append((a, b))
        except DataError as error:
            where = f"{a.data}, {recipe(a.protocol, a.settings)}"
            refused.append(f"{where}: {a.model} and {b.model} cannot be compared. {error}")
    return Comparisons(tuple(each), tuple(_overall(compared)), tuple(dict.fromkeys(refused)))


def require_two_models(models: Sequence[str]) -> None:
    """Refuse a comparison of fewer than two models.

    Raises: UsageError: with the number of models.
    """
    if len(models) < 2:
        raise UsageError(
            f"--compare needs two models or more, not {len(models)}: give them as in --model imagenet-lite0,pixels."
        )


def _pairs(results: Sequence[Result]) -> Iterator[tuple[Result, Result]]:
    """Yield pairs of records of two models with the same recipe, data set and layer."""
    groups: dict[tuple[str, ...], dict[str, dict[str, Result]]] = {}
    for result in results:
        key = (result.data, result.protocol, sorted_json(result.settings), str(result.seed))
        groups.setdefault(key, {}).setdefault(result.model, {})[result.layer] = result
    for models in groups.values():
        for a, b in combinations(models.values(), 2):
            shared = [layer for layer in a if layer in b]
            yield from [(a[layer], b[layer]) for layer in shared] or [(_last(a), _last(b))]


def _last(layers: Mapping[str, Result]) -> Result:
    return list(layers.values())[-1]


def _comparison(a: Result, b: Result) -> Comparison:
    """Compare two records of one data set.

    Raises: DataError: if they were not scored on the same rows or episodes, or lack the outcomes.
    """
    if a.fingerprint != b.fingerprint:
        raise DataError("The images changed between the two records: recompute both with --force.")
    if METRIC in (a.metric, b.metric):
        raise DataError(
            f"{METRIC} ranks all rows together, so that single rows are neither right nor wrong and cannot be "
            "paired. Compare the intervals of the two records instead."
        )
    if a.outcomes is None or b.outcomes is None:
        raise DataError(
            f"The record of {(a if a.outcomes is None else b).model} has no outcomes per row: its protocol stores "
            "none, or it was written by an earlier version. Recompute an old record with --force."
        )
    return _joined([(a, b)], compare_outcomes(a.outcomes, b.outcomes))


def _overall(each: Sequence[tuple[Result, Result]]) -> Iterator[Comparison]:
    """Compare each pair of models over its data sets, if there are two or more."""
    groups: dict[tuple[str, ...], list[tuple[Result, Result]]] = {}
    for a, b in each:
        how = (a.protocol, sorted_json(a.settings), str(a.seed))
        groups.setdefault((a.model, b.model, a.layer, b.layer, *how), []).append((a, b))
    for pairs in groups.values():
        if len(pairs) > 1:
            yield _joined(pairs, over_sets([a.value - b.value for a, b in pairs]))


def _joined(pairs: Sequence[tuple[Result, Result]], found: Paired) -> Comparison:
    a, b = pairs[0]
    return Comparison(
        a=a.model,
        b=b.model,
        layer_a=a.layer,
        layer_b=b.layer,
        protocol=a.protocol,
        settings=a.settings,
        seed=a.seed,
        data=tuple(one.data for one, _ in pairs),
        value_a=fmean(one.value for one, _ in pairs),
        value_b=fmean(other.value for _, other in pairs),
        found=found,
    )
