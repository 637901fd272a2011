import pytest

from transferkit.core.errors import UnknownNameError, UsageError
from transferkit.protocols.finetuning.presets import PRESETS, preset_settings
from transferkit.protocols.finetuning.settings import FinetuneSettings, GridPoint


def test_the_grid_is_every_combination():
    settings = FinetuneSettings(lr=(0.1, 0.01), batch=(32,), weight_decay=(0.0, 1e-3))
    assert settings.grid == (
        GridPoint(0.1, 32, 0.0),
        GridPoint(0.1, 32, 1e-3),
        GridPoint(0.01, 32, 0.0),
        GridPoint(0.01, 32, 1e-3),
    )


def test_presets_have_the_numbers_of_their_sources():
    study = PRESETS["islam"].settings
    assert len(study.grid) == 12
    assert (study.epochs, study.search_epochs, study.batch_norm, study.val_fraction) == (50, 20, True, 0.3)
    kornblith = PRESETS["kornblith"].settings
    assert len(kornblith.grid) == 20
    assert (kornblith.steps, kornblith.nesterov, kornblith.batch) == (5000, True, (64,))
    strongest = kornblith.grid[-1]
    assert (strongest.lr, strongest.weight_decay) == pytest.approx((0.1, 1e-2))  # 1e-3 by the rate
    assert kornblith.grid[1].weight_decay == pytest.approx(1e-6 / 1e-4)
    assert preset_settings("quick", {"epochs": 3}) == FinetuneSettings(epochs=3)
    with pytest.raises(UnknownNameError, match="Did you mean 'islam'"):
        preset_settings("isla", {})
    assert all(preset.to_json()["source"] for preset in PRESETS.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": (8, 1), "bn_stats": "update"}, "--batch 1 is too small for batch normalisation: give --batch 2"),
        ({"batch": (1,), "batch_norm": True, "head": "zero"}, "--batch 1 is too small .* and --no-batch-norm"),
        ({"batch_norm": True}, "Use --head zero, or --no-batch-norm"),
        ({"decay_over_lr": True, "lr": (0.0,)}, "cannot divide weight decay by --lr 0"),
    ],
)
def test_invalid_values_are_refused(changes, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        FinetuneSettings(**changes)
