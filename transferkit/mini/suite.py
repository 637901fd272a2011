"""The thirteen data sets of the suite, their sources and their opener."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from numpy.typing import NDArray

from ..core.errors import DamagedError, UsageError
from ..core.files import digest_file
from ..core.progress import SILENT, Reporter
from ..data.dataset import DATASETS, Dataset, Split
from . import illustrative, medical, natural, objects, satellite, symbolic, terrain, texture
from .patches import overlapping
from .rendered import SPLITS, Picture, SetPlan, stack_pictures
from .storage import StoredImages, StoredSet, load_stored, path_of, store

_DRAWN = "drawn by transferkit"
_OURS = "Apache-2.0, as transferkit"


@dataclass(frozen=True)
class Member:
    """One data set of the suite, and its opener.

    Attributes:
        plan: Classes and numbers of images.
        render: Function that renders the images.
        domain: One of the six domains of the study; empty for the source data set.
        source, licence: Origin and licence of the images, as text.
        groups: Function that returns the group of each image from the factors of the data set; None if all images
            are independent.
    """

    plan: SetPlan
    render: Callable[[], Iterator[Picture]]
    domain: str
    source: str = _DRAWN
    licence: str = _OURS
    groups: Callable[[Mapping[str, NDArray]], tuple[str, ...]] | None = None

    @property
    def spec(self) -> str:
        """Name on the command line."""
        return f"mini/{self.plan.name}"

    def __call__(self, rest: str, *, root: Path, seed: int, reporter: Reporter = SILENT) -> Dataset:
        """Open the data set, and render it first if ``root`` does not contain it; ``seed`` has no effect.

        Raises: UsageError: If the spec has an option.
        """
        if rest:
            raise UsageError(f"{self.spec} has no option {rest!r}. Remove it.")
        stored = self.rendered(root, reporter=reporter)
        groups = None if self.groups is None else self.groups(stored.factors)
        splits = {name: self._split(name, stored, groups) for name in SPLITS}
        return Dataset(self.spec, splits, self.domain, self.source, self.licence)

    def rendered(self, root: Path, *, reporter: Reporter = SILENT) -> StoredSet:
        """Load the stored data set; render it if it is absent or damaged.

        Raises: DamagedError: If the written files cannot be read back.
        """
        stored = load_stored(root, self.plan)
        if stored is None:
            store(root, self.plan, stack_pictures(self.plan, self.render(), reporter=reporter))
            stored = load_stored(root, self.plan)
        if stored is None:
            raise DamagedError(
                f"{path_of(root, self.plan.name)} does not contain what was just written: "
                "the disk may be failing. Name another folder with --workspace."
            )
        return stored

    def digest(self, root: Path) -> str:
        """Compute the hex SHA-256 of the stored images, for comparison with ``DIGESTS``."""
        self.rendered(root)
        return digest_file(path_of(root, self.plan.name))

    def _split(self, name: str, stored: StoredSet, groups: tuple[str, ...] | None) -> Split:
        extent = self.plan.extent(name)
        return Split(
            dataset=self.spec,
            name=name,
            ids=self.plan.ids()[extent],
            labels=self.plan.labels()[extent],
            classes=self.plan.classes,
            fingerprint=stored.fingerprints[name],
            reader=StoredImages(stored.path, extent.start),
            factors={factor: values[extent] for factor, values in stored.factors.items()},
            groups=groups and groups[extent],
        )


MEMBERS = (
    Member(objects.PLAN, objects.render, ""),
    Member(natural.LEAVES, natural.render_leaves, "natural"),
    Member(
        natural.PHOTOS,
        natural.render_photos,
        "natural",
        "patches of photographs in scikit-image and scikit-learn",
        "public domain or CC0 (astronaut, camera, chelsea, coffee, rocket), no known restrictions (coins), "
        "CC BY 2.0 (china.jpg by "
        "danielbuechele, flower.jpg by vultilion), Middlebury 2014 stereo benchmark (motorcycle_left)",
        overlapping,
    ),
    Member(satellite.LANDUSE, satellite.render_landuse, "satellite"),
    Member(terrain.TERRAIN, terrain.render_terrain, "satellite"),
    Member(
        symbolic.DIGITS,
        symbolic.render_digits,
        "symbolic",
        "handwritten digits of scikit-learn: the test set of UCI's Optical Recognition of Handwritten Digits "
        "(Alpaydin and Kaynak, 1998), drawn in colour",
        "CC BY 4.0",
    ),
    Member(symbolic.GLYPHS, symbolic.render_glyphs, "symbolic"),
    Member(medical.CELLS, medical.render_cells, "medical"),
    Member(
        medical.TISSUE,
        medical.render_tissue,
        "medical",
        "patches of scikit-image's ihc.png (colonic glands; CMMI) and retina.jpg (M. Häggström)",
        "no known restrictions (ihc), CC0 (retina)",
        overlapping,
    ),
    Member(illustrative.CARTOONS, illustrative.render_cartoons, "illustrative"),
    Member(illustrative.SKETCHES, illustrative.render_sketches, "illustrative"),
    Member(
        texture.MATERIALS,
        texture.render_materials,
        "texture",
        "patches of photographs in scikit-image and scikit-learn",
        "CC0 (brick, grass, gravel, chelsea, coffee), CC BY 2.0 (china.jpg by danielbuechele, flower.jpg by "
        "vultilion), as distributed with scikit-image (moon, page)",
        overlapping,
    ),
    Member(texture.PATTERNS, texture.render_patterns, "texture"),
)

for _member in MEMBERS:
    DATASETS.register(_member.spec)(_member)

SOURCE = MEMBERS[0].spec
DOWNSTREAM = tuple(member.spec for member in MEMBERS[1:])
