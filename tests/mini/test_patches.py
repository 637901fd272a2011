from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.reference.area_mean import area_mean
from transferkit.core.errors import DataError
from transferkit.core.groups import groups_per_class
from transferkit.mini import patches
from transferkit.mini.canvas import quantised
from transferkit.mini.medical import REGIONS, TISSUE, render_tissue
from transferkit.mini.natural import PHOTOS, SUBJECTS, render_photos
from transferkit.mini.patches import (
    CYCLE,
    PHOTOGRAPHS,
    Area,
    Cut,
    cut,
    overlapping,
    photograph,
    rescaled,
)
from transferkit.mini.rendered import SPLITS, SetPlan, stack_pictures
from transferkit.mini.texture import MATERIALS, SURFACES, render_materials

SETS = {
    "photos": (PHOTOS, SUBJECTS, render_photos),
    "materials": (MATERIALS, SURFACES, render_materials),
    "tissue": (TISSUE, REGIONS, render_tissue),
}


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.fixture(scope="module", params=SETS)
def patched(request):
    """Each set that is cut from photographs: its plan and what rendering gives."""
    plan, _, render = SETS[request.param]
    return plan, stack_pictures(plan, render())


def test_patches_of_different_groups_share_no_pixel(patched):
    """Every pixel of every photograph is claimed by at most one group."""
    _, rendered = patched
    factors = rendered.factors
    owner, patches_of = {}, {}
    for row, group in enumerate(overlapping(factors)):
        left, top, right, bottom = factors["box"][row]
        which = int(factors["photograph"][row])
        if which not in owner:
            owner[which] = np.full(photograph(Path(PHOTOGRAPHS[which]).stem).shape[:2], "", dtype=object)
        height, width = owner[which].shape
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        claimed = owner[which][top:bottom, left:right]
        assert set(np.unique(claimed.astype(str))) <= {"", group}
        claimed[:] = group
        patches_of.setdefault(group, []).append(row)
    assert max(map(len, patches_of.values())) < len(factors["box"]) / 20, "some group is a large part of the set"


def test_patches_of_one_group_are_joined_by_shared_pixels(patched):
    """No group can be divided: a chain of patches that share pixels connects all of its patches."""
    _, rendered = patched
    groups, factors = np.array(overlapping(rendered.factors)), rendered.factors
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        assert len(set(factors["photograph"][rows].tolist())) == 1
        reached, waiting = {rows[0]}, [rows[0]]
        while waiting:
            one = waiting.pop()
            for other in rows:
                if other not in reached and overlap(factors["box"][one], factors["box"][other]):
                    reached.add(other)
                    waiting.append(other)
        assert len(reached) == len(rows)


def test_no_group_is_in_two_splits_and_every_class_has_enough(patched):
    plan, rendered = patched
    groups, labels = np.array(overlapping(rendered.factors)), plan.labels()
    parts = [set(groups[plan.extent(split)]) for split in SPLITS]
    assert sum(map(len, parts)) == len(set(groups))
    assert groups_per_class(labels, groups.tolist(), len(plan.classes)).min() >= 15
    counts = [
        groups_per_class(labels[plan.extent(s)], groups[plan.extent(s)].tolist(), len(plan.classes)) for s in SPLITS
    ]
    assert [count.min() >= least for count, least in zip(counts, (6, 2, 4), strict=True)] == [True] * 3


def test_groups_are_named_by_their_photograph(patched):
    _, rendered = patched
    for group, which in zip(overlapping(rendered.factors), rendered.factors["photograph"], strict=True):
        assert group.split("/")[0] == Path(PHOTOGRAPHS[which]).stem


def test_patches_that_overlap_by_one_pixel_or_over_a_third_are_one_group():
    box = np.array([[0, 0, 8, 8], [7, 7, 12, 12], [11, 0, 20, 8], [20, 0, 24, 4], [0, 0, 8, 8]])
    which = np.array([1, 1, 1, 1, 2])
    found = overlapping({"photograph": which, "box": box})
    names = [Path(PHOTOGRAPHS[k]).stem for k in (1, 2)]
    assert found == (f"{names[0]}/0", f"{names[0]}/0", f"{names[0]}/0", f"{names[0]}/1", f"{names[1]}/0")


def test_cells_take_turns():
    plan = SetPlan("probe", ("brick",), (16, 4, 8))
    areas = {"brick": (Area("brick", (0, 0, 512, 512), (4, 4)),)}
    box = stack_pictures(plan, cut(plan, Cut(areas, lambda canvas, rng: canvas))).factors["box"]
    cells, counts = np.unique(box[:, :2] // 128, axis=0, return_counts=True)
    assert len(cells) == 16
    assert counts.max() <= 2


@pytest.mark.parametrize("name", SETS)
def test_areas_lie_inside_their_photograph_and_serve_every_split(name):
    _, areas, _ = SETS[name]
    for kind, parts in areas.items():
        for area in parts:
            height, width = photograph(area.name).shape[:2]
            left, top, right, bottom = area.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
        for split in SPLITS:
            assert any(area.cells(split) for area in parts), (kind, split)


@pytest.mark.parametrize("name", SETS)
def test_areas_of_one_class_do_not_overlap(name):
    for parts in SETS[name][1].values():
        for one, other in combinations(parts, 2):
            assert one.name != other.name or not overlap(one.box, other.box)


@pytest.mark.parametrize("grid", [(2, 3), (3, 2), (6, 1), (4, 5), (10, 10)])
def test_cells_are_disjoint_and_half_of_them_train(grid):
    area = Area("any", (7, 5, 127, 125), grid)
    cells = {split: area.cells(split) for split in SPLITS}
    everything = [cell for split in SPLITS for cell in cells[split]]
    assert len(everything) == grid[0] * grid[1]
    assert not any(overlap(a, b) for a, b in combinations(everything, 2))
    assert all(cells.values())
    assert sorted(CYCLE) == ["test", "test", "train", "train", "train", "val"]


@pytest.mark.parametrize("side", [1, 3, 5, 6, 9, 12, 20])
def test_rescaling_is_the_mean_over_each_area(side):
    patch = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
    assert (rescaled(patch, 6) == area_mean(patch, 6)).all()


def test_rescaling_to_the_same_size_changes_nothing():
    patch = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert (rescaled(patch) == patch).all()


def test_rescaling_commutes_with_turning():
    patch = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    assert (rescaled(np.rot90(patch)) == np.rot90(rescaled(patch))).all()


def test_rescaling_rounds_halves_up():
    patch = np.array([[0, 1], [1, 0]], dtype=np.uint8)[..., None].repeat(3, 2)
    assert (rescaled(patch, 1) == 1).all()


def test_a_patch_is_its_box_turned():
    plan = SetPlan("probe", ("brick",), (12, 1, 1))
    areas = {"brick": (Area("brick", (0, 0, 512, 512), (4, 4)),)}
    rendered = stack_pictures(plan, cut(plan, Cut(areas, lambda canvas, rng: canvas)))
    for image, (x0, y0, x1, y1), turn in zip(
        rendered.images, rendered.factors["box"], rendered.factors["turn"], strict=True
    ):
        square = np.rot90(rescaled(photograph("brick")[y0:y1, x0:x1]), turn % 4)
        assert (image == (np.fliplr(square) if turn >= 4 else square)).all()
    assert len(set(rendered.factors["turn"].tolist())) > 3


def test_toning_leaves_neither_brightness_nor_contrast():
    canvas = np.random.default_rng(0).random((64, 64, 3))
    tone = np.array([0.8, 0.6, 0.5])

    def print_of(source):
        rng = np.random.default_rng(1)
        return patches.toned(source, rng, tone=tone, contrast=(0.1, 0.2))

    assert np.abs(print_of(canvas) - print_of(0.3 * canvas + 0.5)).max() < 1e-12
    assert quantised(print_of(canvas)).std() > 2


def test_a_rule_that_no_patch_meets_is_named():
    plan = SetPlan("probe", ("brick",), (1, 1, 1))
    how = Cut(
        {"brick": (Area("brick", (0, 0, 512, 512), (4, 4)),)},
        lambda canvas, rng: canvas,
        accepts=lambda kind, patch: False,
    )
    with pytest.raises(DataError, match="No patch of the train cells shows 'brick'"):
        stack_pictures(plan, cut(plan, how))


def test_a_package_without_the_photograph_is_named(monkeypatch):
    monkeypatch.setattr(patches, "PHOTOGRAPHS", ("skimage/data/no-such.png", "no_such_package/a.png"))
    with pytest.raises(DataError, match=r"This version of skimage does not contain data/no-such\.png"):
        photograph.__wrapped__("no-such")
    with pytest.raises(DataError, match="is part of no_such_package, which is not installed"):
        photograph.__wrapped__("a")
