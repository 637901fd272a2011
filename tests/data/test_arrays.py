import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from transferkit.core.errors import DataError, ShapeError, UnreadableImageError
from transferkit.data.arrays import from_arrays, from_torch_dataset
from transferkit.data.fingerprints import fingerprint_of, pixels_digest

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
LABELS = [row % 3 for row in range(12)]


class Pairs(torch.utils.data.Dataset):
    """The smallest data set: images and labels in lists, and whatever attributes a test adds."""

    def __init__(self, images=IMAGES, labels=LABELS, **attributes):
        self.pairs = list(zip(images, labels, strict=True))
        self.asked = []
        self.__dict__ |= attributes

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, row):
        self.asked.append(row)
        image, label = self.pairs[row]
        if isinstance(image, Exception):
            raise image
        return image, label


def wrapped(dataset, **options):
    return from_torch_dataset(dataset, name="pairs", split="train", **options)


def images_of(split):
    return np.stack([split.reader.image(row) for row in range(len(split))])


def test_arrays_become_a_split():
    split = from_arrays(IMAGES, LABELS, name="mine", split="test", classes=["a", "b", "c", "d"])
    assert (split.dataset, split.name, len(split)) == ("mine", "test", 12)
    assert split.classes == ("a", "b", "c", "d")
    assert split.ids == ("00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11")
    assert split.labels.tolist() == LABELS
    assert split.labels.dtype == np.int64
    assert (images_of(split) == IMAGES).all()
    contents = [pixels_digest(image) for image in IMAGES]
    assert split.fingerprint == fingerprint_of(split.ids, split.labels, split.classes, contents)


def test_arrays_can_be_named():
    split = from_arrays(IMAGES[:2], np.array([1, 0], np.uint8), name="mine", split="all", ids=["x", "y"])
    assert split.ids == ("x", "y")
    assert split.classes == ("0", "1")


def test_any_changed_pixel_changes_the_fingerprint():
    other = IMAGES.copy()
    other[7, 2, 2, 1] ^= 1
    first = from_arrays(IMAGES, LABELS, name="mine", split="all")
    assert from_arrays(IMAGES.copy(), LABELS, name="other", split="all").fingerprint == first.fingerprint
    assert from_arrays(other, LABELS, name="mine", split="all").fingerprint != first.fingerprint


@pytest.mark.parametrize("images", [IMAGES.astype(float), IMAGES[0], IMAGES[..., :1]])
def test_arrays_of_other_shapes_or_types(images):
    with pytest.raises(ShapeError, match=r"Images are uint8 \[n, h, w, 3\], not (float64|uint8) \["):
        from_arrays(images, LABELS, name="mine", split="all")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"labels": LABELS[:3]}, ShapeError, "12 images need 12 labels, not 3"),
        ({"ids": ["x"]}, ShapeError, "12 images need 12 ids, not 1"),
        ({"ids": [*"abcdefghija", "l"]}, DataError, "The id 'a' occurs twice"),
        ({"classes": ["a", "b"]}, DataError, "A label is 2, but there are only 2 classes"),
        ({"labels": [-1, *LABELS[1:]]}, DataError, "label of image 0 is -1. Labels must be integers"),
        ({"labels": [0.5, *LABELS[1:]]}, DataError, "label of image 0 is 0.5. Labels must be integers"),
        ({"labels": np.full(12, 0.5)}, DataError, "label of image 0 is 0.5. Labels must be integers"),
        (
            {"labels": [*LABELS[1:], 2**63]},
            DataError,
            "label of image 11 is 9223372036854775808. Labels must be",
        ),
        ({"labels": [*LABELS[1:], 10**10]}, DataError, "below 1000000. Number the classes consecutively"),
    ],
)
def test_invalid_arrays_are_rejected(options, error, words):
    labels = options.pop("labels", LABELS)
    with pytest.raises(error, match=words):
        from_arrays(IMAGES, labels, name="mine", split="all", **options)


AS = {
    "pillow": Image.fromarray,
    "array": lambda image: image,
    "uint8 tensor": lambda image: torch.from_numpy(image).permute(2, 0, 1),
    "float tensor": lambda image: torch.from_numpy(image).permute(2, 0, 1) / 255,
    "half tensor": lambda image: (torch.from_numpy(image).permute(2, 0, 1) / 255).half(),
    "torchvision's tensor": v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]),
}


@pytest.mark.parametrize("kind", AS)
def test_every_kind_of_image_gives_the_same_split(kind):
    split = wrapped(Pairs([AS[kind](image) for image in IMAGES]))
    assert (images_of(split) == IMAGES).all()
    assert split.reader.image(0).flags.c_contiguous
    assert split.fingerprint == from_arrays(IMAGES, LABELS, name="x", split="y").fingerprint
    assert split.labels.tolist() == LABELS


def test_grey_images_of_every_kind():
    grey = IMAGES[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=3)
    kinds = (Image.fromarray, np.asarray, lambda one: torch.from_numpy(one)[None], v2.functional.to_image)
    for kind in kinds:
        assert (images_of(wrapped(Pairs([kind(image) for image in grey]))) == expected).all()


def test_labels_of_every_kind():
    for kind in (int, np.int32, torch.tensor, bool):
        labels = [kind(label % 2) for label in LABELS]
        assert wrapped(Pairs(labels=labels)).labels.tolist() == [label % 2 for label in LABELS]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3)), "not a float64 array"),
        (
            np.zeros((4, 4), np.uint16),
            "not a uint16 array.* one scale for the whole data set, and convert it",
        ),
        (np.zeros((4, 4), np.int32), "not a int32 array"),
        ("photo.jpg", "not a str"),
        (np.zeros((4, 4, 2), np.uint8), r"An image array is \[h, w, 3\] or \[h, w\], not \[4, 4, 2\]"),
        (torch.zeros(4, 4, 3), r"An image tensor is \[3, h, w\] or \[1, h, w\], not \[4, 4, 3\]"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), r"uint8, or floating point in 0 … 1, not torch.int64"),
        (torch.full((3, 4, 4), torch.nan), "values span nan … nan, not 0 … 1"),
    ],
)
def test_other_images_are_refused(image, words):
    with pytest.raises(DataError, match=words):
        wrapped(Pairs([image], [0]))


def test_normalised_images_are_refused():
    normalise = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    images = [normalise(AS["float tensor"](image)) for image in IMAGES]
    with pytest.raises(DataError, match=r"span .* … .*, not 0 … 1\. .* Normalize, remove it: the preprocessing"):
        wrapped(Pairs(images))


def test_random_augmentation_is_refused():
    class Noisy(Pairs):
        def __getitem__(self, row):
            return RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8), 0

    with pytest.raises(DataError, match="Image 0 of the data set differs when it is read again"):
        wrapped(Noisy())


def test_a_given_fingerprint_spares_the_pass_over_the_images():
    dataset = Pairs(targets=torch.tensor(LABELS), classes=["a", "b", "c"])
    split = wrapped(dataset, fingerprint="mine")
    assert split.fingerprint == "mine"
    assert split.labels.tolist() == LABELS
    assert split.classes == ("a", "b", "c")
    assert max(dataset.asked) == 7  # the few that are looked at twice
    for listed in (LABELS, np.array(LABELS), tuple(LABELS)):
        dataset = Pairs()
        dataset.labels = listed
        assert wrapped(dataset, fingerprint="mine").labels.tolist() == LABELS
        assert max(dataset.asked) == 7


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"targets": ["cat"] * 12},
        {"targets": LABELS[:5]},
        {"targets": np.zeros((12, 2), int)},
        {"targets": [9] * 12, "target_transform": lambda label: label},
    ],
)
def test_labels_are_read_where_no_list_can_be_trusted(listed):
    dataset = Pairs(**listed)
    assert wrapped(dataset, fingerprint="mine").labels.tolist() == LABELS
    assert max(dataset.asked) == 11


def test_labels_that_are_handed_out_count_more_than_those_listed():
    assert wrapped(Pairs(targets=[0] * 12)).labels.tolist() == LABELS


def test_names_of_classes():
    assert wrapped(Pairs(classes=["a", "b", "c"])).classes == ("a", "b", "c")
    assert wrapped(Pairs(classes=[("a", "A"), ("b",), ("c",)])).classes == ("a, A", "b", "c")
    assert wrapped(Pairs(classes=["a", "b", "c"]), classes=["x", "y", "z"]).classes == ("x", "y", "z")
    assert wrapped(Pairs(classes=3)).classes == ("0", "1", "2")
    with pytest.raises(DataError, match="A label is 2, but there are only 1 classes"):
        wrapped(Pairs(classes=["a"]))


def test_an_image_folder_keeps_its_paths(make_folder):
    folder = make_folder({"cat": 2, "dog": 3})
    split = wrapped(ImageFolder(folder))
    assert split.ids == ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png", "dog/2.png")
    assert split.classes == ("cat", "dog")
    assert (split.reader.image(3) == np.asarray(Image.open(folder / "dog/1.png"))).all()


def test_paths_elsewhere_are_numbered(make_folder, tmp_path):
    dataset = ImageFolder(make_folder({"cat": 2, "dog": 3}))
    dataset.root = str(tmp_path / "elsewhere")
    assert wrapped(dataset).ids == ("0", "1", "2", "3", "4")


def test_a_subset_of_another():
    split = wrapped(torch.utils.data.Subset(Pairs(targets=LABELS), [3, 1, 5]))
    assert split.labels.tolist() == [0, 1, 2]
    assert (images_of(split) == IMAGES[[3, 1, 5]]).all()


def test_a_broken_file_keeps_its_row(make_folder):
    folder = make_folder({"cat": 2, "dog": 3})
    whole = wrapped(ImageFolder(folder)).fingerprint
    (folder / "dog/1.png").write_text("not an image")
    split = wrapped(ImageFolder(folder))
    assert split.labels.tolist() == [0, 0, 1, 1, 1]
    assert split.fingerprint != whole
    with pytest.raises(UnreadableImageError, match=r"^not an image of a known format$"):
        split.reader.image(3)


def test_a_broken_file_whose_label_nobody_knows():
    dataset = Pairs([*IMAGES[:11], OSError("broken data stream")])
    with pytest.raises(DataError, match=r"Image 11 of the data set cannot be read \(broken data stream\), and"):
        wrapped(dataset)


def test_bugs_of_the_data_set_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        wrapped(Pairs([*IMAGES[:11], ZeroDivisionError()]))


def test_listed_groups_are_those_of_the_images():
    assert wrapped(Pairs()).groups is None
    assert wrapped(Pairs(groups=np.arange(12) // 4)).groups == tuple("000011112222")


@pytest.mark.parametrize(("groups", "words"), [(["a"], "1 entries"), (7, "int")])
def test_groups_that_are_not_one_per_image_are_refused(groups, words):
    with pytest.raises(DataError, match=rf"groups are {words}, not one per image \(12\)\. Give a list"):
        wrapped(Pairs(groups=groups))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, ">i4", np.uint64])
def test_labels_of_any_integer_type_and_yes_and_no_are_classes(dtype):
    split = from_arrays(np.zeros((4, 8, 8, 3), np.uint8), np.array([0, 1, 1, 0], dtype), name="x", split="all")
    assert split.labels.dtype == np.dtype(np.int64)
    assert split.labels.tolist() == [0, 1, 1, 0]
