"""Few-shot intervals contain the accuracy of the population about as often as they say."""

import pytest

from tests.benchmarks.fewshot_coverage import Setting, simulate


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [Setting(20, 5, 1, "proto"), Setting(20, 5, 5, "nn", spread=0.35)],
    ids=["1-shot proto", "5-shot nn"],
)
def test_intervals_over_images_cover_the_population_and_those_over_episodes_do_not(setting):
    found = simulate(setting, 60)
    assert found.coverage >= 0.92
    assert 0.9 <= found.width <= 1.4
    assert found.different <= 0.07
    assert found.episode_coverage < 0.5
