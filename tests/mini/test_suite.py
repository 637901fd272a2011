import pickle
import subprocess
import sys

import numpy as np
import pytest

from transferkit.core.errors import DamagedError, UnreadableImageError, UsageError
from transferkit.data.dataset import DATASETS
from transferkit.mini import DOWNSTREAM, SOURCE, suite
from transferkit.mini.digests import DIGESTS
from transferkit.mini.rendered import SetPlan, drawn, stack_pictures
from transferkit.mini.storage import path_of
from transferkit.mini.suite import MEMBERS, Member

DOMAINS = ["natural", "satellite", "symbolic", "medical", "illustrative", "texture"]
SPECS = [member.spec for member in MEMBERS]
BY_SPEC = {member.spec: member for member in MEMBERS}
TINY = SetPlan("tiny", ("dark", "light"), (3, 1, 2))


@pytest.fixture(scope="session")
def mini_root(tmp_path_factory):
    """A data folder shared by the tests of this file, so that each set is rendered once."""
    return tmp_path_factory.mktemp("mini")


@pytest.fixture(scope="session")
def opened(mini_root):
    """``opened(spec)``: the data set, its images and labels by split."""

    def open_(spec):
        dataset = DATASETS[spec]("", root=mini_root, seed=0)
        images = {
            name: np.stack([split.reader.image(row) for row in range(len(split))])
            for name, split in dataset.splits.items()
        }
        return dataset, images

    return open_


def draw_flat(kind, rng):
    """A canvas of one brightness, as a cheap stand-in for a drawing."""
    level = rng.uniform(0.0, 0.4) + 0.5 * (kind == "light")
    return np.full((64, 64, 3), level), {"level": level, "box": (1, 2)}


@pytest.fixture
def tiny():
    """A member that renders in no time, and how often it did."""
    renders = []

    def render():
        renders.append(1)
        return drawn(TINY, draw_flat)

    return Member(TINY, render, "texture"), renders


def test_twelve_downstream_sets_two_per_domain():
    assert [BY_SPEC[spec].domain for spec in DOWNSTREAM] == [name for name in DOMAINS for _ in range(2)]
    assert SOURCE == "mini/objects"
    assert BY_SPEC[SOURCE].domain == ""
    assert set(SPECS) <= set(DATASETS)


def test_importing_renders_nothing_and_loads_no_image_library():
    code = (
        "import sys, transferkit.mini; "
        "sys.exit(', '.join({'skimage', 'sklearn', 'torchvision', 'PIL'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("spec", SPECS)
def test_counts_suit_episodes_of_twenty_shots(spec):
    plan = BY_SPEC[spec].plan
    assert len(plan.classes) == len(set(plan.classes))
    assert sum(plan.counts) >= 35
    assert 4 <= len(plan.classes) <= 20
    assert list(plan.classes) == sorted(plan.classes)


@pytest.mark.parametrize("spec", DOWNSTREAM)
def test_a_set_follows_its_plan(spec, opened):
    dataset, images = opened(spec)
    plan = BY_SPEC[spec].plan
    assert list(images) == ["train", "val", "test"]
    ids = [name for split in dataset.splits.values() for name in split.ids]
    assert len(set(ids)) == len(ids) == len(plan.labels())
    for split, count in zip(dataset.splits.values(), plan.counts, strict=True):
        assert (np.bincount(split.labels) == count).all()
        assert images[split.name].shape == (len(split), 64, 64, 3)
        assert all(
            f"{split.name}/{plan.classes[label]}-" in name for name, label in zip(split.ids, split.labels, strict=True)
        )
        assert split.factors
        assert all(len(values) == len(split) for values in split.factors.values())
    everything = np.concatenate(list(images.values())).reshape(len(ids), -1)
    assert len(np.unique(everything, axis=0)) == len(ids), "no image stands twice"
    assert everything.std(axis=1).min() > 2, "no image is blank"
    assert dataset.source
    assert dataset.licence


@pytest.mark.parametrize("spec", DOWNSTREAM)
def test_the_bytes_are_those_of_the_table(spec, mini_root):
    assert BY_SPEC[spec].digest(mini_root) == DIGESTS[spec], "a change of any byte needs a new VERSION"


@pytest.mark.slow
def test_the_source_set_is_that_of_the_table(mini_root, opened):
    assert BY_SPEC[SOURCE].digest(mini_root) == DIGESTS[SOURCE]
    dataset, _ = opened(SOURCE)
    assert [len(split) for split in dataset.splits.values()] == [6400, 800, 800]


def test_every_set_stands_in_the_table():
    assert list(DIGESTS) == SPECS


@pytest.mark.slow
@pytest.mark.parametrize("spec", DOWNSTREAM)
def test_pixels_do_not_give_the_class_away(spec, opened):
    from sklearn.linear_model import LogisticRegression

    dataset, images = opened(spec)
    x = {
        name: stack.reshape(len(stack), 32, 2, 32, 2, 3).mean((2, 4)).reshape(len(stack), -1) / 255
        for name, stack in images.items()
    }
    labels = {name: split.labels for name, split in dataset.splits.items()}
    mean = x["train"].mean(axis=0)

    def fitted(penalty, *names):
        rows = np.concatenate([x[name] for name in names]) - mean
        probe = LogisticRegression(C=penalty, max_iter=1000, tol=1e-3)
        return probe.fit(rows, np.concatenate([labels[name] for name in names]))

    best = max(10.0 ** np.arange(-4, 1), key=lambda c: fitted(c, "train").score(x["val"] - mean, labels["val"]))
    accuracy = fitted(best, "train", "val").score(x["test"] - mean, labels["test"])
    chance = 1 / len(dataset.classes)
    assert (accuracy - chance) / (1 - chance) < 0.8


def test_drawing_does_not_depend_on_what_was_drawn_before():
    member = BY_SPEC["mini/cells"]
    from transferkit.mini.medical import draw_cell

    alone = draw_cell("yeast", member.plan.rng("val", "yeast", 3))[0]
    for kind in member.plan.classes:
        draw_cell(kind, member.plan.rng("train", kind, 0))
    assert (draw_cell("yeast", member.plan.rng("val", "yeast", 3))[0] == alone).all()


def test_the_seed_of_the_opener_changes_nothing(tiny, tmp_path):
    member, _ = tiny
    one, other = (member("", root=tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert one.split("train").fingerprint == other.split("train").fingerprint


def test_a_set_is_rendered_once(tiny, tmp_path):
    member, renders = tiny
    first, second = member("", root=tmp_path, seed=0), member("", root=tmp_path, seed=0)
    assert len(renders) == 1
    for name, split in first.splits.items():
        again = second.split(name)
        assert again.fingerprint == split.fingerprint
        assert (again.reader.image(1) == split.reader.image(1)).all()
        assert (again.factors["level"] == split.factors["level"]).all()


def test_splits_read_their_own_rows(tiny, tmp_path):
    member, _ = tiny
    dataset = member("", root=tmp_path, seed=0)
    expected = stack_pictures(TINY, drawn(TINY, draw_flat))
    read = [split.reader.image(row) for split in dataset.splits.values() for row in range(len(split))]
    assert (np.stack(read) == expected.images).all()
    level = np.concatenate([split.factors["level"] for split in dataset.splits.values()])
    assert (level == expected.factors["level"]).all()
    assert dataset.split("test").factors["box"].shape == (4, 2)


def test_fingerprints_see_every_pixel(tiny, tmp_path):
    member, _ = tiny
    changed = stack_pictures(TINY, drawn(TINY, draw_flat))
    changed.images[-1, 63, 63, 2] ^= 1

    def render():
        return zip(changed.images, [{"level": 0.0}] * len(changed.images), strict=True)

    before = member("", root=tmp_path / "a", seed=0)
    after = Member(TINY, render, "texture")("", root=tmp_path / "b", seed=0)
    same = [before.split(name).fingerprint == after.split(name).fingerprint for name in before.splits]
    assert same == [True, True, False]


@pytest.mark.parametrize("suffix", [".rgb", ".npz"])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "remove"])
def test_a_damaged_set_is_rendered_again(tiny, tmp_path, suffix, harm):
    member, renders = tiny
    whole = member("", root=tmp_path, seed=0)
    path = path_of(tmp_path, "tiny").with_suffix(suffix)
    good = path.read_bytes()
    middle = len(good) // 2
    match harm:
        case "flip":
            path.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        case "cut":
            path.write_bytes(good[:middle])
        case "empty":
            path.write_bytes(b"")
        case "remove":
            path.unlink()
    again = member("", root=tmp_path, seed=0)
    assert len(renders) == 2
    assert path.read_bytes() == good
    assert again.split("test").fingerprint == whole.split("test").fingerprint


def test_a_disk_that_keeps_nothing_is_named(tiny, tmp_path, monkeypatch):
    member, _ = tiny
    monkeypatch.setattr(suite, "store", lambda root, plan, rendered: None)
    with pytest.raises(DamagedError, match=r"tiny\.rgb does not contain what was just written.*--workspace"):
        member("", root=tmp_path, seed=0)


def test_options_of_the_name_are_rejected(tmp_path):
    with pytest.raises(UsageError, match="mini/leaves has no option 'oak'"):
        DATASETS["mini/leaves"]("oak", root=tmp_path, seed=0)
    assert not list(tmp_path.iterdir())


def test_a_reader_is_small_when_pickled(tiny, tmp_path):
    member, _ = tiny
    reader = member("", root=tmp_path, seed=0).split("val").reader
    sent = pickle.dumps(reader)
    assert len(sent) < 1000
    assert (pickle.loads(sent).image(1) == reader.image(1)).all()


def test_a_reader_says_when_its_file_is_gone_or_short(tiny, tmp_path):
    member, _ = tiny
    reader = member("", root=tmp_path, seed=0).split("test").reader
    path = path_of(tmp_path, "tiny")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UnreadableImageError, match=r"tiny\.rgb ends before byte 147456"):
        reader.image(3)
    path.unlink()
    with pytest.raises(UnreadableImageError, match=r"tiny\.rgb cannot be read \(No such file"):
        reader.image(0)


def test_opening_a_kept_set_is_quick(opened, mini_root):
    import time

    opened("mini/patterns")
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        DATASETS["mini/patterns"]("", root=mini_root, seed=0)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05


def test_progress_is_reported(tiny, tmp_path, notes):
    member, _ = tiny
    member("", root=tmp_path, seed=0, reporter=notes)
    assert notes.tasks == [("Drawing mini/tiny", 12, "images")]
    assert notes.advanced == 12


@pytest.mark.parametrize("spec", DOWNSTREAM)
def test_sets_that_are_cut_from_photographs_have_groups_and_drawn_ones_have_none(spec, opened):
    dataset, _ = opened(spec)
    for split in dataset.splits.values():
        if "photograph" in split.factors:
            assert len(split.groups) == len(split)
            assert 1 < len(set(split.groups)) < len(split)
        else:
            assert split.groups is None
