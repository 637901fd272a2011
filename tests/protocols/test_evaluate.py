from dataclasses import replace

import pytest
from PIL import Image

from tests.protocols.analyses.pictures import LAST, MODEL, context, draw_discs
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import DataError, UsageError
from transferkit.core.out_of_core import Blocks
from transferkit.core.workspace import Workspace
from transferkit.models.catalog import load_encoder
from transferkit.probes import linear
from transferkit.protocols import layer_features
from transferkit.protocols.context import RunContext
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.layer_features import LayerFeatures
from transferkit.protocols.settings import ExtractSettings

REQUESTS = [
    eval_request("linear", penalties=4),
    eval_request("knn", k=(5,)),
    eval_request("fewshot", episodes=20),
]


def evaluator(root, **options):
    return Evaluator(RunContext(Workspace.at(root)), ExtractSettings(), **options)


@pytest.fixture
def loaded(monkeypatch):
    """Record the types of the features that each probe receives."""
    kinds = []
    original = LayerFeatures.splits

    def noted(*arguments):
        features = original(*arguments)
        kinds.append({type(part.x) for part in features.values()})
        return features

    monkeypatch.setattr(LayerFeatures, "splits", noted)
    return kinds


def test_features_that_need_more_memory_stay_on_the_disk_and_score_the_same(tmp_path, loaded):
    held = evaluator(tmp_path, max_memory=1.0).run(["pixels"], ["mini/digits"], REQUESTS)
    left = evaluator(tmp_path, max_memory=0.0, force=True).run(["pixels"], ["mini/digits"], REQUESTS)
    assert [Blocks in kinds for kinds in loaded] == [False, True]
    assert [r.value for r in left] == pytest.approx([r.value for r in held], abs=0.004)


def test_half_of_what_is_free_is_taken_unless_told_otherwise(tmp_path, loaded, monkeypatch):
    evaluator(tmp_path).run(["pixels"], ["mini/digits"], REQUESTS[1:2])
    monkeypatch.setattr(layer_features, "free_memory_bytes", lambda: 1000)
    evaluator(tmp_path, force=True).run(["pixels"], ["mini/digits"], REQUESTS[1:2])
    assert [Blocks in kinds for kinds in loaded] == [False, True]


@pytest.mark.parametrize("memory", [-1.0, float("nan")])
def test_an_amount_that_cannot_be_meant_is_refused(tmp_path, memory):
    with pytest.raises(UsageError, match=r"--max-memory (-1|nan) GiB is invalid: give 0 or more"):
        evaluator(tmp_path, max_memory=memory)


def test_images_without_class_folders_are_refused_before_extraction(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / f"{number}.png")
    words = f"{folder} holds no images in class folders. Expected are {folder}/cat/1.jpg and {folder}/dog/2.jpg"
    with pytest.raises(DataError, match=words):
        evaluator(tmp_path / "w").run(["pixels"], [f"folder:{folder}"], REQUESTS)
    assert not (tmp_path / "w/features").exists()


def test_augmented_views_are_extracted_of_the_rows_that_are_trained_on(tmp_path):
    data = f"folder:{draw_discs(tmp_path / 'discs')}"
    here = context(tmp_path / "w")
    asked = [eval_request("linear", solver="sgd"), eval_request("linear", solver="sgd", views=2)]
    plain, augmented = Evaluator(here, LAST).run([MODEL], [data], asked)
    assert plain.extra_metrics["augmented_views"] == 0
    assert augmented.extra_metrics["augmented_views"] == 2
    entries = FeatureStore(here.workspace.features).entries()
    found = sorted((entry.key.split, entry.key.view) for entry in entries)
    views = ("augment:0", "augment:1", "test")
    assert found == [
        ("test", "test"),
        *(("train", view) for view in views),
        *(("val", view) for view in views),
    ]
    assert plain.evaluated_on == augmented.evaluated_on == "test"


def test_augmented_views_of_images_that_a_variant_changes_are_refused(tmp_path):
    changed = Evaluator(RunContext(Workspace.at(tmp_path)), ExtractSettings(variant="blur:3"))
    with pytest.raises(UsageError, match=r"--views 2 cannot be combined with --variant blur:3.* Use one of the two"):
        changed.run(["pixels"], ["mini/digits"], [eval_request("linear", solver="sgd", views=2)])


def test_groups_reach_the_probes_and_are_part_of_what_defines_a_record(tmp_path, monkeypatch):
    """Without a val split, the rows that select and the rows that are fitted have no group in common."""
    here = Evaluator(RunContext(Workspace.at(tmp_path)), ExtractSettings())
    plain = here.context.open("mini/digits")
    plain = replace(plain, splits={name: plain.split(name) for name in ("train", "test")})
    pairs = {
        name: replace(split, groups=tuple(f"{name} {row // 40}" for row in range(len(split))))
        for name, split in plain.splits.items()
    }
    chosen = []
    original = linear.selection
    monkeypatch.setattr(
        linear, "selection", lambda *args, **options: chosen.append(original(*args, **options)) or chosen[-1]
    )
    extractor = here.extractor(load_encoder("pixels"))
    request = REQUESTS[0]
    cells = [
        record.cell
        for dataset in (plain, replace(plain, splits=pairs), plain)
        for record in here.evaluate(extractor, dataset, [request], {})
    ]
    assert cells[0] == cells[2] != cells[1]
    (_, ungrouped, _), (train, held, _) = chosen  # the third record was kept
    assert ungrouped.groups is None
    assert not set(train.groups) & set(held.groups)
    assert len(held.groups) > len(set(held.groups))
