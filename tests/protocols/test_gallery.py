"""Neighbours and maps, from features that are already in the cache."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.protocols.analyses.pictures import draw_discs
from transferkit.core.errors import DataError
from transferkit.core.workspace import Workspace
from transferkit.protocols.context import RunContext
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.gallery import (
    GallerySettings,
    gallery,
    nearest_rows,
    planes,
    principal_plane,
    thumbnail,
)
from transferkit.protocols.settings import ExtractSettings

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    context = RunContext(Workspace.at(folder / "workspace"))
    data = f"folder:{draw_discs(folder / 'discs')}"
    asked = [eval_request("knn", k=(1,))]
    pixels = Evaluator(context, ExtractSettings(size=16)).run(["pixels"], [data], asked)
    network = Evaluator(context, ExtractSettings(size=32)).run(["random:test_resnet"], [data], asked)
    return context, [*network, *pixels]


SMALL = GallerySettings(queries=4, nearest=3, points=10, side=12)


def test_two_encoders_see_the_same_images(probed):
    context, records = probed
    found = gallery(records, context=context, settings=SMALL)
    assert [seen.model for seen in found.seen] == ["random:test_resnet", "pixels"]
    one, other = found.seen
    assert one.queries == other.queries
    assert one.points == other.points
    assert [len(seen.nearest) for seen in found.seen] == [4, 4]
    assert {found.tiles[i].split for i in one.queries} == {"test"}
    assert {found.tiles[i].split for row in one.nearest for i in row} == {"train"}
    assert all(tile.image.shape == (12, 12, 3) for tile in found.tiles)
    assert len({(tile.split, tile.id) for tile in found.tiles}) == len(found.tiles)
    assert {"PCA", "t-SNE"} <= one.maps.keys()
    assert one.maps["PCA"].shape == (10, 2)


def test_tiles_carry_the_class_of_their_image(probed):
    context, records = probed
    found = gallery(records[:1], context=context, settings=SMALL)
    for tile in found.tiles:
        assert f"/{found.classes[tile.label]}/" in f"/{tile.id}"


def test_the_same_seed_shows_the_same(probed):
    context, records = probed
    one, other = (gallery(records, context=context, settings=SMALL) for _ in range(2))
    assert one.seen[0].queries == other.seen[0].queries
    assert_array_equal(one.seen[0].maps["t-SNE"], other.seen[0].maps["t-SNE"])


def test_features_that_are_gone_are_named(probed):
    context, records = probed
    for changes in ({"layer": "absent"}, {"pooling": "max"}, {"weights": "other"}):
        with pytest.raises(DataError, match=r"are not in the cache any more\. Run transferkit probe"):
            gallery([replace(records[0], **changes)], context=context)


def test_images_that_changed_are_named(tmp_path):
    context = RunContext(Workspace.at(tmp_path / "workspace"))
    folder = draw_discs(tmp_path / "discs")
    records = list(
        Evaluator(context, ExtractSettings(size=16)).run(
            ["pixels"], [f"folder:{folder}"], [eval_request("knn", k=(1,))]
        )
    )
    next(iter(sorted((folder / "test").rglob("*.png")))).unlink()
    with pytest.raises(DataError, match="have changed since they were probed"):
        gallery(records, context=context)


def test_nearest_rows_are_those_of_comparing_one_by_one():
    queries, bank = RNG.normal(size=(3, 5)), RNG.normal(size=(40, 5))
    for row, query in zip(nearest_rows(queries, bank, k=7), queries, strict=True):
        cosines = [float(query @ other) / np.linalg.norm(query) / np.linalg.norm(other) for other in bank]
        assert row.tolist() == sorted(range(40), key=lambda i: -cosines[i])[:7]


def test_nearest_rows_do_not_depend_on_lengths_and_bear_zeros():
    queries, bank = RNG.normal(size=(3, 5)), RNG.normal(size=(9, 5))
    bank[4] = 0
    scaled = bank * RNG.uniform(0.1, 9, (9, 1))
    assert_array_equal(nearest_rows(queries, bank, k=9), nearest_rows(7 * queries, scaled, k=9))


def test_the_principal_plane_holds_the_variance():
    x = RNG.normal(size=(30, 6)) * [5, 3, 1, 1, 1, 0.1]
    plane = principal_plane(x)
    largest = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1][:2]
    assert_allclose(plane.var(axis=0), largest)
    assert_allclose(plane.T @ plane / 30 - np.diag(largest), 0, atol=1e-9)


def test_the_principal_plane_turns_with_the_features():
    x = RNG.normal(size=(20, 4))
    rotation, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
    assert_allclose(np.abs(principal_plane(x)), np.abs(principal_plane(x @ rotation)), atol=1e-9)


def test_a_line_has_no_second_direction():
    assert_allclose(principal_plane(np.arange(5.0)[:, None]), [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]])


def test_too_few_images_make_no_map():
    with pytest.raises(DataError, match="A map needs 3 images or more, not 2"):
        planes(np.zeros((2, 4), np.float32), seed=0)


def test_equal_rows_still_have_a_place():
    assert np.isfinite(planes(np.ones((5, 3), np.float32), seed=0)["t-SNE"]).all()


def test_thumbnails_are_the_middle_square():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert_array_equal(thumbnail(image, 5), np.full((5, 5, 3), 200))
    assert thumbnail(image, 40).shape == (40, 40, 3)
