"""Models compared pair by pair on the same test rows or episodes, and over data sets."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Any

from ..core.comparison import Paired, over_sets, paired
from ..core.errors import DataError, UsageError
from ..core.files import sorted_json
from ..core.results import Result, recipe
from ..probes.ranking import METRIC


@dataclass(frozen=True)
class Comparison:
    """Model ``a`` against model ``b`` under one protocol.

    Attributes:
        a, b: the models, in the order of the records.
        layer_a, layer_b: the layers that were compared; the same one where both models have it.
        protocol, settings, seed: by which recipe.
        data: one data set, of which rows or episodes are the units; or several that are the units.
        value_a, value_b: their scores, or the means of these over several data sets.
        found: the difference and how sure it is.
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
        """Plain values; ``ahead`` and ``behind`` count the units on which ``a`` does better and worse."""
        found = dict(vars(self.found))
        interval = found.pop("interval")
        told = {name: value for name, value in vars(self).items() if name != "found"}
        return {
            **told,
            "data": list(self.data),
            **found,
            "ci_low": interval.low if interval else None,
            "ci_high": interval.high if interval else None,
            "ci_method": interval.method if interval else "none",
        }


@dataclass(frozen=True)
class Comparisons:
    """Every pair of models.

    Attributes:
        each: data set by data set, layer by layer, protocol by protocol.
        overall: the same over all the data sets, where there are two or more.
        refused: why some pairs could not be compared; one sentence each.
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
        """Refuse to pass over pairs that could not be compared.

        Raises: DataError: with the reasons.
        """
        if self.refused:
            raise DataError(" ".join(self.refused))


def compare_models(results: Sequence[Result]) -> Comparisons:
    """Every two models of ``results``, on whatever both were scored on by the same recipe.

    Layers that both models have are compared one by one. Where they have none in common, the last layer of
    one is compared with the last of the other.

    Args:
        results: records, layers of a model in the order of its network; of one model there is no pair.
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
    """Refuse a comparison of one.

    Raises: UsageError: naming how many there are.
    """
    if len(models) < 2:
        raise UsageError(
            f"--compare needs two models, not {len(models)}: name them, as in --model imagenet-lite0,pixels."
        )


def _pairs(results: Sequence[Result]) -> Iterator[tuple[Result, Result]]:
    """Records of two models by the same recipe on the same data set, layer by layer."""
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
    """Of two records on one data set.

    Raises: DataError: if they were not scored on the same units, or do not say how.
    """
    if a.fingerprint != b.fingerprint:
        raise DataError("The images changed between the two: compute both anew with --force.")
    if METRIC in (a.metric, b.metric):
        raise DataError(
            f"{METRIC} ranks all rows together, and no row is right or wrong by itself: there is nothing to "
            "pair. Hold the intervals of the two against each other."
        )
    if a.outcomes is None or b.outcomes is None:
        raise DataError(
            f"The record of {(a if a.outcomes is None else b).model} does not say which answers were right: "
            "its protocol counts none, or it is older than this and --force computes it anew."
        )
    return _joined([(a, b)], paired(a.outcomes, b.outcomes))


def _overall(each: Sequence[tuple[Result, Result]]) -> Iterator[Comparison]:
    """Of the same pair over its data sets, where there are two or more."""
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
