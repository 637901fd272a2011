"""The settings of a run that has begun; what a run does with them stands in ``test_pretrain``."""

import pytest

from transferkit.core.errors import CheckpointError
from transferkit.core.preprocessing import Preprocessing
from transferkit.core.workspace import Workspace
from transferkit.models.runs import Description, Run
from transferkit.protocols.pretraining.resuming import settings_for
from transferkit.protocols.pretraining.settings import PretrainSettings


def test_the_name_of_a_run_brings_its_settings_back(tmp_path):
    runs = Workspace.at(tmp_path).runs
    kept = PretrainSettings(epochs=7, lr=0.125)
    view = Preprocessing(resize=64, crop=64)
    Run.named("r", runs).describe(Description("torchvision:resnet18", view, "", identity=kept.to_json()))
    assert settings_for(None, {}, name="r", runs=runs) == kept
    assert settings_for(None, {"epochs": 9}, name="r", runs=runs).epochs == 9
    assert settings_for("mini", {}, name="r", runs=runs) == PretrainSettings()
    assert settings_for(None, {}, name="other", runs=runs) == PretrainSettings()
    assert settings_for(None, {}, name=None, runs=runs) == PretrainSettings()


def test_an_imported_run_cannot_be_gone_on_with(tmp_path):
    Run.named("r", tmp_path).describe(Description("torchvision:resnet18", Preprocessing(), ""))
    with pytest.raises(CheckpointError, match="was not written by transferkit pretrain"):
        settings_for(None, {}, name="r", runs=tmp_path)


@pytest.mark.parametrize(("field", "value"), [("epochs", "three"), ("lr", None), ("precision", "fp8")])
def test_a_run_whose_settings_were_damaged(field, value, tmp_path):
    kept = PretrainSettings().to_json() | {field: value}
    Run.named("r", tmp_path).describe(Description("torchvision:resnet18", Preprocessing(), "", identity=kept))
    with pytest.raises(CheckpointError, match=r"run.json is damaged .* another --name"):
        settings_for(None, {}, name="r", runs=tmp_path)
