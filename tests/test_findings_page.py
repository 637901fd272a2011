"""The interval over data sets and seeds, and the verdicts, of the page of findings."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from transferkit.studies.reading import read_study

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def page() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS))  # as when the script is run
    spec = importlib.util.spec_from_file_location("build_findings", DOCS / "build_findings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(DOCS))


def values(rng, *, seeds: int, sets: int, level: float, spread: tuple[float, float, float]):
    """Accuracies ``[seeds, sets]``: a level, a deviation per seed, per set, and per both."""
    of_seed, of_set, of_both = spread
    return (
        level
        + rng.normal(size=(seeds, 1)) * of_seed
        + rng.normal(size=(1, sets)) * of_set
        + rng.normal(size=(seeds, sets)) * of_both
    )


@pytest.mark.parametrize("spread", [(0.01, 0.05, 0.01), (0.03, 0.01, 0.01), (0.0, 0.03, 0.02), (0.02, 0.0, 0.02)])
@pytest.mark.parametrize(("sets", "seeds"), [(12, (3, 3)), (6, (3, 3)), (6, (3, 1))])
def test_intervals_over_sets_and_seeds_cover_the_true_difference(page, spread, sets, seeds):
    rng = np.random.default_rng(0)
    trials, covered = 1000, 0
    for _ in range(trials):
        a, b = (
            values(rng, seeds=s, sets=sets, level=level, spread=spread if s > 1 else (0, *spread[1:]))
            for s, level in zip(seeds, (0.6, 0.55), strict=True)
        )
        mean, half = page.difference(a, b)
        covered += abs(mean - 0.05) <= half
    assert covered / trials >= 0.92


def test_without_seeds_it_is_student_s_t_over_the_sets(page):
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 1, 12))
    mean, half = page.difference(a, b)
    interval = stats.ttest_1samp((a - b)[0], 0).confidence_interval(0.95)
    assert_allclose((mean - half, mean + half), interval)


def test_equal_models_do_not_differ(page):
    same = np.full((3, 6), 0.5)
    assert page.difference(same, same) == (0, 0)
    assert page.verdict((0.0, 0.0)) == "not told apart"


@pytest.mark.parametrize(
    ("gap", "word"), [((0.05, 0.04), "higher"), ((-0.05, 0.04), "lower"), ((0.05, 0.06), "not told apart")]
)
def test_a_verdict_needs_an_interval_without_zero(page, gap, word):
    assert page.verdict(gap) == word


@pytest.mark.parametrize(
    ("verdicts", "answer"),
    [
        (["higher", "higher"], "The claim holds here"),
        (["higher", "not told apart"], "The claim holds in part here"),
        (["higher", "lower"], "The answer is mixed here"),
        (["lower", "not told apart"], "The claim does not hold here"),
        (["not told apart"], "The claim is neither confirmed nor contradicted here"),
    ],
)
def test_a_claim_is_answered_favourably_or_not(page, verdicts, answer):
    assert page.summary(verdicts).startswith(f"**{answer}**")


def test_the_study_trains_what_the_page_compares(page):
    study = read_study(str(DOCS / "findings.toml"))
    runs = {one.run: one.settings for one in study.pretrain}
    assert {spec.removeprefix("run:") for specs in page.MODELS.values() for spec in specs} == runs.keys()
    plain, strong = runs["mini-ce"].augmentation, runs["mini-ce-strong"].augmentation
    assert (plain.jitter_prob, plain.gray_prob) == (0, 0)
    assert strong == runs["mini-joint"].augmentation
    assert {tuning.scope.data for tuning in study.finetune} == {page.ONE_PER_DOMAIN}
    assert {one.scope.data for one in study.probe if one.protocol == "semantic"} == {page.ONE_PER_DOMAIN}
