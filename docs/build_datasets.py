"""Write docs/datasets.md: what sets there are, and what two linear probes make of the embedded ones.

Run: python docs/build_datasets.py (three minutes on two cores the first time, seconds when repeated).
With --registry: only the section on published sets, which is measured by nobody. With --check: whether it is
up to date.
"""

from functools import partial
from pathlib import Path

import click

from transferkit.core.progress import reporter_for
from transferkit.core.results import Results
from transferkit.core.workspace import Workspace
from transferkit.data.catalog import GROUPS, open_dataset
from transferkit.data.dataset import Dataset
from transferkit.data.detection import DETECTION
from transferkit.data.downstream import PUBLISHED
from transferkit.data.downstream.published import Publication, Published
from transferkit.data.mini import DOWNSTREAM, SOURCE
from transferkit.protocols.evaluate import Evaluator, question
from transferkit.protocols.place import Place
from transferkit.protocols.settings import ExtractSettings

PAGE = Path(__file__).with_name("datasets.md")
MODELS = ("pixels", "imagenet-lite0")
BEGIN, END = "<!-- published sets: begin -->", "<!-- published sets: end -->"

INTRODUCTION = """# Data sets

Built by `python docs/build_datasets.py`; do not edit. With `--registry` it writes only what it need not
measure: the section on published sets.

`--data` takes `folder:PATH` (one sub-folder a class; `train`, `val` and `test` in it are used when they
exist, else a seeded, stratified 60/20/20 split is made), the name of an embedded or a published set, or a
group: `mini` for the twelve embedded downstream sets, `paper12` for the twelve of Islam et al. (ICCV
2021), `kornblith12` for the wider comparison. `imagenet:PATH` and `miniimagenet:PATH` are there to
pretrain on; `miniimagenet:PATH#val` and `#test` are its novel classes. `transferkit datasets list` says
what of it is there.

Data of any size: `wds:PATTERN` reads WebDataset shards, local ones or by URL
(`'wds:leaves-{000..127}.tar'`, in quotes, for a shell would expand the braces), each sample once over all
ranks and workers. A sample is the files that share a name up to the first dot and lie one behind the
other: its image in `.jpg`, `.jpeg`, `.png` or `.webp`, its label in `.cls`, a whole number, or `.json`, a
number or a name under `label` or `cls`. `{split}` in the pattern stands for train, val and test, of which
those that exist are read; without it, all is divided as a folder is. Shards are plain `.tar`, not
compressed. Those behind a URL are first copied to `wds` in the data folder; a transfer that breaks off
continues where it stopped.

`hf:NAME`, `hf:NAME:CONFIG` for one of its configurations, or `hf:` and a folder that `save_to_disk` wrote,
reads through Hugging Face `datasets` (extra `hf`); `#SPLIT` behind any of them takes one split alone,
which is divided as a folder is. Its labels are declared classes, whole numbers, or names, which become
classes in sorted order.

Detection has sets of its own, which `finetune --task detection` takes: `voc0712` and `coco` in their
published layouts, and the drawn `mini/scenes`.

Images are read upright (EXIF rotation is applied), as 8-bit RGB, and what is transparent shows white. Grey
of more than 8 bits is brought to 0 … 255 by what its file's type declares: unsigned 16-bit grey is divided
by 257, PGM files and TIFF files of 12 bits by their own white. Signed, 32-bit and floating-point grey
declare no white: values within 0 … 255 are kept, greater ones within 0 … 65535 are divided by 257, and
floating-point values within 0 … 1 are multiplied by 255. What no scale fits is refused, as an image that
cannot be read. So is what two scales fit, as the wrong one would show black or white: floating-point values
that are only 0 and 1, and values that exceed a scale by less than its double. `extract` and `datasets
verify` warn of a split whose images were read on different scales, and of one whose 16-bit grey is dark
throughout, as 12-bit data in 16 bits is.

A network is shown an image as its weights were evaluated: resized by the shorter side, both sides or the
longer side, cropped to a central square or padded to it (with black, or with the mean where the longer
side is fitted), bilinear or bicubic. That is what timm does for all configurations of its published
weights, and torchvision for its own, to two grey levels; only networks that take images which are not
square, such as `vit_*_sapiens2`, are refused. `--size` changes all sizes in proportion.

A budget behind a name leaves fewer labelled images: `eurosat@limit=1000` or `@limit=0.1` (of train and val
together), `@shots=5` (a class, all of them train), `@vtab1k` (800 train, 200 val: as many as
in VTAB-1k, but [other images](published.md)). The
options `--limit`, `--shots-per-class` and `--budget` put the same behind every name of a command. Images
are drawn class by class in the order of a hash of the seed and the id, so that a smaller number of shots
lies within a larger one; a class that has fewer gives all it has, and it is told how many do. Test stays
whole, and its cached features serve all budgets. Where images have groups, `@vtab1k` takes its 200 images of
other groups than its 800.

## The embedded suite

64×64 RGB, rendered on first use and kept in the data folder (`$TRANSFERKIT_DATA`, else `data` in the
workspace). Two sets a domain, as Islam et al. have. Real photographs are cut into patches such that train,
val and test come from disjoint regions; what is drawn keeps its factors. `mini/objects` is the source
set that pretraining starts from; its class is the shape, and colour, texture, size, position, rotation,
background and light vary freely.

Most photographs are too small for 56 patches of a class that do not overlap. Patches that share a pixel are
therefore one **group**, also by way of other patches, and no two groups share a pixel: the crop boxes are
recorded as the factor `box`. Groups are never divided between train, val and test, between the rows that a
probe fits and those that it selects on, or between the support and the queries of one episode. Intervals of
accuracies and of semantic scores are over groups.

How hard the sets are was tuned with `imagenet-lite0` in view, so the table describes the sets and is no
unbiased result about that network. All of `mini/tissue` comes from two photographs, and its labels from a
rule on their colours: patches of train and test share no pixel, but they share the specimen.

Top-1 of a linear probe at the last layer, penalty chosen on val, scored on test, 95 % intervals. *Way* is
how far `pixels` gets from chance to 1. Other pages have other numbers of the same sets and models, by
other settings: here 45 penalties are tried and each model is shown images of its own size; the demo of the
README tries 8, and the [findings](findings.md) 12, and both show `imagenet-lite0` 128 pixels.

| set | domain | classes | train / val / test | chance | pixels | way | imagenet-lite0 |
|---|---|---|---|---|---|---|---|
"""


def row(dataset: Dataset, results: Results) -> str:
    """One line of the table."""
    score = {r.model: r for r in results if r.data == dataset.spec}
    chance = 1 / len(dataset.classes)
    way = (score["pixels"].value - chance) / (1 - chance)
    cells = [f"{score[m].value:.3f} ({score[m].ci_low:.2f}–{score[m].ci_high:.2f})" for m in MODELS]
    return (
        f"| `{dataset.spec}` | {dataset.domain} | {len(dataset.classes)} | {counts(dataset)} | "
        f"{chance:.3f} | {cells[0]} | {max(0.0, way):.0%} | {cells[1]} |\n"
    )


def counts(dataset: Dataset) -> str:
    """Images of train, val and test."""
    return " / ".join(str(len(split)) for split in dataset.splits.values())


def about(dataset: Dataset) -> str:
    """Classes, groups, factors, source and licence of one set."""
    factors = ", ".join(f"`{name}`" for name in next(iter(dataset.splits.values())).factors)
    groups = {group for split in dataset.splits.values() for group in split.groups or ()}
    grouped = f" Groups of overlapping patches: {len(groups)}." if groups else ""
    return (
        f"### `{dataset.spec}`\n\n{counts(dataset)} images. "
        f"Classes: {', '.join(dataset.classes)}.{grouped}\n\n"
        f"Source: {dataset.source}. Licence: {dataset.licence}.\n\n"
        + (f"Recorded factors: {factors}.\n\n" if factors else "")
    )


PUBLISHED_SETS = """## Published sets

Each is read as its archive unpacks, from its folder in the data folder; folders that an unpacker made around
it do no harm. Get one with `transferkit datasets prepare NAME`, check it with `transferkit datasets verify
NAME`. A label without an image, and an image without a label, is left out and counted.

Files are held to the checksums that are published of them. Of the few without one, the SHA-256 of what was
fetched first is told and kept in `digests` of the data folder, and a later one that differs is told.

Where a set has no official split, 70 % of each class are train and 30 % are test, as in Islam et al.: the
ids of a class in the order of the SHA-256 of `NAME/ID`, the first 70 % train, rounded to whole images.
This rule stands for a frozen list of ids: no seed and no random generator take part, so that every version
of Python and NumPy makes the same split, and whoever has the ids can make it without transferkit. Tests
hold the rule to ids and a digest written down once. It is a rule and not the lists themselves because
lists need the archives, several of which are behind a login or may not be passed on, while the rule holds
for all sets and for any copy of one. Ids are the archive's own names: an archive that was changed, with
images added, lost or renamed, gives another split. `verify` shows that: it compares counts with what was
published, and names the fingerprint of each split, which differs as soon as an id, a label or a byte does.
Where there is no val, probes choose on a fifth of train.

A set in one folder a class is there only when all of these folders are. `prepare --from FOLDER` takes the
archives of the published names, or the only one there is, and all of them for a set whose archives have no
such names; it refuses more classes than were published. `verify` compares options such as `omniglot:all` with
what is published of them, and says where nothing is.

*Metric* is the one that the papers behind the group report: Islam et al. for `paper12`, Kornblith et al. for
`kornblith12`. Records have top-1 as their headline for all sets but `voc2007`, which has `map11`;
`mean_per_class` stands beside it in `also`, with its interval. `--select-by mean_per_class` lets the linear
probe choose its penalty by it, as Kornblith et al. do for the sets that they report in it.
"""

KORNBLITH = """CUB-200 stands for Birdsnap, which has vanished. `voc2007` has several labels an image:
`probe --protocol linear` and `knn` score it by 11-point mean average precision, `--limit` draws from it, and
what needs one label an image refuses it.
"""


DETECTION_SETS = """### Detection

Sets of images with boxes, for `finetune --task detection`. `datasets prepare`, `verify`, `info` and `list`
take them as they take the others; `voc0712:PATH` and `coco:PATH` are folders elsewhere, which need no
preparing. `verify` counts images and objects of each class and split, decodes every image and holds its size
against the annotation, lists annotations that cannot be meant by kind, and looks for images that lie in two
splits. Annotations that the authors themselves published so, such as two boxes without height in COCO, are
told and not called wrong. A folder behind `coco:` with another number of classes than COCO is a set of your
own, and is not compared with what is published.
"""


def published_sets() -> str:
    """The section on published sets, between its marks."""
    parts = [BEGIN, PUBLISHED_SETS]
    for group in ("paper12", "kornblith12"):
        parts.append(f"### `{group}`\n\n| set | domain | classes | images | metric | licence |")
        parts.append("|---|---|---|---|---|---|")
        parts += [_line(PUBLISHED[name], group) for name in GROUPS[group]]
        parts.append("")
    parts.append(KORNBLITH)
    names = dict.fromkeys((*GROUPS["paper12"], *GROUPS["kornblith12"]))
    parts += [_entry(PUBLISHED[name]) for name in names]
    boxed = [opener.published for opener in DETECTION.values() if opener.published is not None]
    parts += [DETECTION_SETS, *map(_entry, boxed)]
    return "\n".join(parts) + END + "\n"


def _line(one: Published, group: str) -> str:
    """Row of the table of a group; Islam et al. report top-1 for each of their twelve sets."""
    images = " / ".join(str(count) for count in one.counts.values())
    metric = "top1" if group == "paper12" else one.metric
    return f"| `{one.name}` | {one.domain} | {one.n_classes} | {images} | {metric} | {one.licence} |"


def _entry(one: Publication) -> str:
    """All that is stated of one set."""
    images = ", ".join(f"{count} {split}" for split, count in one.counts.items())
    options = ", ".join(map(partial(_option, one), one.options)) if isinstance(one, Published) else ""
    got = "downloaded by `datasets prepare`" if one.downloads else " ".join(one.steps)
    return (
        f"#### `{one.name}`\n\n{one.n_classes} classes; {images}.\n\n"
        f"- layout: `{one.layout}`\n- split: {one.split_rule}\n"
        + (f"- also: {options}\n" if options else "")
        + f"- licence: {one.licence}\n- source: {one.homepage}\n- to get it: {got}\n- cite: {one.citation}\n"
    )


def _option(one: Published, option: str) -> str:
    """Its spec, with the numbers that are not those of the set."""
    other = one.reading(option)
    named, images = f"`{one.name}:{option}`", sum(other.counts.values())
    return named if other.counts == one.counts else f"{named} ({other.n_classes} classes, {images} images)"


def with_published_sets(page: str) -> str:
    """The page with its section on published sets made anew.

    Raises: ValueError: if the page has no such section.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks {BEGIN} and {END}.")
    return before + published_sets().rstrip("\n") + after


@click.command()
@click.option("--registry", is_flag=True, help="Write only the section on published sets; measure nothing.")
@click.option("--check", is_flag=True, help="Only compare that section; exit 1 when it is out of date.")
def main(registry: bool, check: bool) -> None:
    """Write docs/datasets.md, or check it."""
    if registry or check:
        page = PAGE.read_text("utf-8")
        built = with_published_sets(page)
        if registry:
            PAGE.write_text(built, "utf-8")
        elif built != page:
            raise click.ClickException(
                "docs/datasets.md is out of date: run python docs/build_datasets.py --registry."
            )
        return
    PAGE.write_text(measured() + "\n" + published_sets(), "utf-8")


def measured() -> str:
    """What stands before the published sets: the embedded ones, probed."""
    workspace = Workspace.at()
    place = Place(workspace, reporter=reporter_for(quiet=False))
    results = Evaluator(place, ExtractSettings()).run(MODELS, ("mini",), [question("linear")])
    datasets = [open_dataset(name, root=workspace.data) for name in (*DOWNSTREAM, SOURCE)]
    means = {m: sum(r.value for r in results if r.model == m) / len(DOWNSTREAM) for m in MODELS}
    table = "".join(row(dataset, results) for dataset in datasets[:-1])
    mean = f"| mean | | | | | {means['pixels']:.3f} | | {means['imagenet-lite0']:.3f} |\n\n"
    return INTRODUCTION + table + mean + "".join(map(about, datasets)).rstrip() + "\n"


if __name__ == "__main__":
    main()
