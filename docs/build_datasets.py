"""Write docs/datasets.md: all data sets, with linear-probe accuracies of two models for the embedded ones.

Run: python docs/build_datasets.py (three minutes on two cores the first time, seconds when repeated).
With --registry, write only the section on published sets, which needs no measurement. With --check, check
whether this section is up to date.
"""

from functools import partial
from pathlib import Path

import click

from transferkit.core.results import Results
from transferkit.core.workspace import Workspace
from transferkit.data.dataset import Dataset
from transferkit.data.detection import DETECTION
from transferkit.data.published import Published
from transferkit.datasets import PUBLISHED
from transferkit.download.publication import Publication
from transferkit.mini import DOWNSTREAM, SOURCE
from transferkit.protocols.context import RunContext
from transferkit.protocols.dataset_catalog import GROUPS, open_dataset
from transferkit.protocols.evaluate import Evaluator, eval_request
from transferkit.protocols.settings import ExtractSettings
from transferkit.reports.progress import reporter_for

PAGE = Path(__file__).with_name("datasets.md")
MODELS = ("pixels", "imagenet-lite0")
BEGIN, END = "<!-- published sets: begin -->", "<!-- published sets: end -->"

INTRODUCTION = """# Data sets

This page is built by `python docs/build_datasets.py`; do not edit it. With `--registry`, the script only
updates the section on published sets, which needs no measurement.

`--data` takes `folder:PATH` (one sub-folder per class; its `train`, `val` and `test` folders are used if
they exist, otherwise a seeded, stratified 60/20/20 split is made), the name of an embedded or a published
set, or a group: `mini` for the twelve embedded downstream sets, `paper12` for the twelve sets of Islam et
al. (ICCV 2021), `kornblith12` for those of Kornblith et al. `imagenet:PATH` and `miniimagenet:PATH` are for
pretraining; `miniimagenet:PATH#val` and `#test` are its novel classes. `transferkit datasets list` shows
which sets are available.

For data of any size, `wds:PATTERN` reads WebDataset shards, local ones or by URL
(`'wds:leaves-{000..127}.tar'`, in quotes, because a shell would expand the braces), each sample once over
all ranks and workers. A sample consists of consecutive files with the same name up to the first dot: its
image in `.jpg`, `.jpeg`, `.png` or `.webp`, and its label in `.cls`, an integer, or `.json`, a number or a
name under `label` or `cls`. `{split}` in the pattern is replaced by train, val and test, and those that
exist are read; without it, all samples are split as for a folder. Shards are plain `.tar` files, not
compressed. Shards given by URL are first copied to `wds` in the data folder; an interrupted download
continues where it stopped.

`hf:NAME`, `hf:NAME:CONFIG` for one of its configurations, or `hf:` and a folder written by `save_to_disk`,
reads through Hugging Face `datasets` (extra `hf`); with `#SPLIT` after any of them, only this split is read,
and it is split as a folder is. Labels are declared classes, integers, or names, which become
classes in sorted order.

Detection has its own sets for `finetune --task detection`: `voc0712` and `coco` in their
published layouts, and the synthetic `mini/scenes`.

Images are converted to 8-bit RGB with EXIF rotation applied and transparent pixels white. Grey values with
more than 8 bits are scaled to 0 … 255 according to the file type: unsigned 16-bit grey is divided by 257,
and PGM files and 12-bit TIFF files by their own maximum. Signed, 32-bit and floating-point files declare no
maximum: values within 0 … 255 are kept, larger values within 0 … 65535 are divided by 257, and
floating-point values within 0 … 1 are multiplied by 255. An image whose values fit no scale is treated as
unreadable. So is an image whose values fit two scales, because the wrong one would make it black or white:
floating-point values that are only 0 and 1, and values that exceed a scale by less than a factor of two.
`extract` and `datasets verify` print a warning for a split whose images were read on different scales, and
for one whose 16-bit images are all dark, as 12-bit data stored in 16 bits are.

Each network gets the preprocessing with which its weights were evaluated: a resize of the shorter side, both
sides or the longer side, a centre crop or padding to a square (with black, or with the mean if the longer
side is resized), bilinear or bicubic. The result equals that of timm for all configurations of its published
weights, and of torchvision for its own, within two grey levels; only networks for non-square images, such as
`vit_*_sapiens2`, are not supported. `--size` changes all sizes in proportion.

A budget after a name reduces the labelled images: `eurosat@limit=1000` or `@limit=0.1` (of train and val
together), `@shots=5` (images per class, all in train), `@vtab1k` (800 train, 200 val: as many as in
VTAB-1k, but [other images](published.md)). The options `--limit`, `--shots-per-class` and `--budget` apply
the same to all data sets of a command. Images are selected per class in the order of a hash of the seed and
the id, so a smaller number of shots is a subset of a larger one; a class with fewer images contributes all
of them, and a note gives the number of such classes. The test split stays complete, and its cached features
serve all budgets. If images have groups, `@vtab1k` takes its 200 images from other groups than its 800.

## The embedded suite

The sets have 64×64 RGB images, which are rendered on first use and stored in the data folder
(`$TRANSFERKIT_DATA`, or else `data` in the workspace). There are two sets per domain, as in Islam et al.
Real photographs are cut into patches such that train, val and test come from disjoint regions; synthetic
images come with their generating factors. `mini/objects` is the source set for pretraining; its class is
the shape, and colour, texture, size, position, rotation, background and light vary freely.

Most photographs are too small for 56 non-overlapping patches of a class. Overlapping patches therefore form
one **group**, including patches that overlap only through other patches, and no two groups share a pixel;
the crop boxes are recorded as the factor `box`. A group is never divided between train, val and test,
between the images that a probe is fitted on and those used for selection, or between the support and query
sets of an episode. Intervals of accuracies and of semantic scores are over groups.

The difficulty of the sets was tuned using `imagenet-lite0`, so the table describes the sets and is not an
unbiased result about that network. All of `mini/tissue` comes from two photographs, and its labels from a
rule on their colours: patches of train and test share no pixel, but they share the specimen.

The table shows top-1 of a linear probe at the last layer, with the penalty selected on val, scored on test,
and 95 % intervals. *Adjusted* is the accuracy of `pixels` rescaled so that chance is 0 and perfect accuracy
is 1. Other pages give other numbers for the same sets and models because of other settings: here, 45
penalties are tried and each model gets images of its own size; the [demo](demo.md) tries 8 and the
[findings](findings.md) 12, both with images of 128 pixels for `imagenet-lite0`.

| set | domain | classes | train / val / test | chance | pixels | adjusted | imagenet-lite0 |
|---|---|---|---|---|---|---|---|
"""


def row(dataset: Dataset, results: Results) -> str:
    """Return a line of the table."""
    score = {r.model: r for r in results if r.data == dataset.spec}
    chance = 1 / len(dataset.classes)
    way = (score["pixels"].value - chance) / (1 - chance)
    cells = [f"{score[m].value:.3f} ({score[m].ci_low:.2f}–{score[m].ci_high:.2f})" for m in MODELS]
    return (
        f"| `{dataset.spec}` | {dataset.domain} | {len(dataset.classes)} | {counts(dataset)} | "
        f"{chance:.3f} | {cells[0]} | {max(0.0, way):.0%} | {cells[1]} |\n"
    )


def counts(dataset: Dataset) -> str:
    """Return the numbers of images of train, val and test."""
    return " / ".join(str(len(split)) for split in dataset.splits.values())


def about(dataset: Dataset) -> str:
    """Return classes, groups, factors, source and licence of one set."""
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

Each set is read from its folder in the data folder, in the layout of its unpacked archive; additional parent
folders from unpacking are accepted. `transferkit datasets prepare NAME` prepares a set, and `transferkit
datasets verify NAME` checks it. Labels without an image and images without a label are left out and counted.

Files are checked against the published checksums. For the few files without one, the SHA-256 of the first
download is printed and stored in `digests` in the data folder; if a later download differs, this is
reported.

If a set has no official split, 70 % of each class are train and 30 % are test, as in Islam et al.: the ids
of a class are sorted by the SHA-256 of `NAME/ID`, and the first 70 %, rounded to whole images, are train.
The rule uses no seed and no random generator, so every version of Python and NumPy gives the same split,
and anyone who has the ids can reproduce it without transferkit. Tests compare it with recorded ids and a
digest. The split is defined by a rule rather than by lists of ids because lists need the archives, several
of which require a login or must not be redistributed, while the rule applies to all sets and to any copy of
one. Ids are the file names in the archive: if images were added, lost or renamed in a copy, its split
differs. `verify` detects this: it compares the counts with the published ones, and prints a fingerprint of
each split, which changes with any id, label or byte. Without a val split, probes select on a fifth of
train.

A set with one folder per class counts as complete only if all class folders exist. `prepare --from FOLDER`
takes the archives with the published names, or the only archive in the folder; for a set whose archives
have no published names, it takes all archives. It stops if there are more classes than published. `verify`
compares options such as `omniglot:all` with their published numbers, and reports if there are none.

*Metric* is the metric used by the papers of the group: Islam et al. for `paper12`, Kornblith et al. for
`kornblith12`. The main metric of a record is top-1 for all sets except `voc2007`, which has `map11`;
`extra_metrics` contains `mean_per_class` with its interval. With `--select-by mean_per_class`, the linear
probe selects its penalty by that metric, as Kornblith et al. do for the sets with that metric.
"""

KORNBLITH = """CUB-200 replaces Birdsnap, which is no longer available. `voc2007` has several labels per
image: `probe --protocol linear` and `knn` score it by 11-point mean average precision, and
`--limit` works; commands that need one label per image stop with an error.
"""


DETECTION_SETS = """### Detection

These sets have images with boxes, for `finetune --task detection`. `datasets prepare`, `verify`, `info` and
`list` also work for them; `voc0712:PATH` and `coco:PATH` read folders elsewhere, which need no `prepare`.
`verify` counts images and objects per class and split, decodes every image and compares its size with the
annotation, lists invalid annotations by kind, and searches for images that are in two splits. Invalid
annotations that are part of the published set, such as two boxes without height in COCO, are listed but are
not an error. A folder given by `coco:` with another number of classes than COCO is treated as your own data
set and is not compared with published numbers.
"""


def published_sets() -> str:
    """Return the section on published sets, between its markers."""
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
    """Return a row of the table of a group; Islam et al. report top-1 for each of their twelve sets."""
    images = " / ".join(str(count) for count in one.counts.values())
    metric = "top1" if group == "paper12" else one.metric
    return f"| `{one.name}` | {one.domain} | {one.n_classes} | {images} | {metric} | {one.licence} |"


def _entry(one: Publication) -> str:
    """Return the description of one set."""
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
    """Return the spec of an option, with its numbers if they differ from those of the set."""
    other = one.reading(option)
    named, images = f"`{one.name}:{option}`", sum(other.counts.values())
    return named if other.counts == one.counts else f"{named} ({other.n_classes} classes, {images} images)"


def with_published_sets(page: str) -> str:
    """Return the page with an updated section on published sets.

    Raises: ValueError: if the page has no such section.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks {BEGIN} and {END}.")
    return before + published_sets().rstrip("\n") + after


@click.command()
@click.option("--registry", is_flag=True, help="Write only the section on published sets; measure nothing.")
@click.option("--check", is_flag=True, help="Only compare that section; exit with code 1 if it is out of date.")
def main(registry: bool, check: bool) -> None:
    """Write docs/datasets.md, or check it."""
    if registry or check:
        page = PAGE.read_text("utf-8")
        built = with_published_sets(page)
        if registry:
            PAGE.write_text(built, "utf-8")
        elif built != page:
            raise click.ClickException("docs/datasets.md is out of date: run python docs/build_datasets.py --registry.")
        return
    PAGE.write_text(measured() + "\n" + published_sets(), "utf-8")


def measured() -> str:
    """Return the part of the page before the published sets: the embedded sets with their accuracies."""
    workspace = Workspace.at()
    context = RunContext(workspace, reporter=reporter_for(quiet=False))
    results = Evaluator(context, ExtractSettings()).run(MODELS, ("mini",), [eval_request("linear")])
    datasets = [open_dataset(name, root=workspace.data) for name in (*DOWNSTREAM, SOURCE)]
    means = {m: sum(r.value for r in results if r.model == m) / len(DOWNSTREAM) for m in MODELS}
    table = "".join(row(dataset, results) for dataset in datasets[:-1])
    mean = f"| mean | | | | | {means['pixels']:.3f} | | {means['imagenet-lite0']:.3f} |\n\n"
    return INTRODUCTION + table + mean + "".join(map(about, datasets)).rstrip() + "\n"


if __name__ == "__main__":
    main()
