"""Write docs/findings.md from the records of docs/findings.toml.

Run: python docs/build_findings.py (about two hours on two cores the first time, a minute when repeated).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

from transferkit.analysis.transferability.agreement import rank_correlation
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import StudyError
from transferkit.core.progress import reporter_for
from transferkit.core.results import Result, Results, recipe
from transferkit.core.workspace import Workspace
from transferkit.data.mini import DOWNSTREAM
from transferkit.models.catalog import load_encoder
from transferkit.protocols.analyses.looking import looks
from transferkit.protocols.analyses.similarity import likeness_of
from transferkit.protocols.place import Place
from transferkit.protocols.pretraining.pretrain import pretrain
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings
from transferkit.protocols.targets import measured
from transferkit.reports.depth import depth_figure
from transferkit.reports.figures import Words, heat_map, save_figure
from transferkit.semantics.agreement import agreement
from transferkit.studies.engines.local import LocalEngine
from transferkit.studies.reading import read_study
from transferkit.studies.run import run_study

PAGE = Path(__file__).with_name("findings.md")
STUDY = PAGE.with_name("findings.toml")
FIGURES = PAGE.with_name("figures")
PRESET = PretrainSettings()

LOSSES = ("ce", "selfsupcon", "supcon", "joint", "joint-supcon")
FIRST = {loss: f"run:mini-{loss}" for loss in LOSSES}
MODELS = {loss: (first, f"{first}-seed1", f"{first}-seed2") for loss, first in FIRST.items()}
FLOORS = {"random": (PRESET.model, f"{PRESET.model}@1", f"{PRESET.model}@2"), "pixels": ("pixels",)}
REFERENCE = "imagenet-lite0"
SHOWN = {REFERENCE: 128, PRESET.model: 48}
"""Pixels, as in the study; others are shown images of the size that they were trained on."""

LEVELS = ("low", "mid", "high")

INTRODUCTION = f"""# Findings

Built from the records of the study `docs/findings.toml` by `python docs/build_findings.py`; do not edit.

## Which objective transfers best, in miniature

Each objective trains `{PRESET.model}` on `mini/objects` by the preset `mini` ({PRESET.epochs} epochs;
`transferkit pretrain --loss LOSS --seed SEED`), three seeds each. The preset's numbers were chosen on the
validation split of the source, in short runs of four of them, and are the same for all. Every encoder is then
frozen and put before the twelve downstream sets of the suite: a linear probe (12 penalties, chosen on val,
scored on test) and 600 five-way five-shot episodes. `random` is the same network untrained, three draws of
its weights, shown images of the same size; `pixels` is the image itself.

*Source* is the k-NN accuracy on the held-out images of the source. The mean rank is over the twelve sets,
1 is best of the {len(MODELS | FLOORS)}. The last two columns are the mean over the sets of the difference to
`ce`, seeds averaged first, with a 95 % interval over the twelve sets (Student's t), and on how many the model
is ahead.

"""

TUNING = """
## Does linear accuracy predict fine-tuning

The first seed of each objective, fine-tuned on each set by the preset `quick` (`transferkit finetune`).

"""

SCORES = """
## Which transferability score ranks encoders best

`transferkit analyze transferability`, from train and val alone, against accuracy on test. Kendall's τ,
weighted so that the order of the best counts most, of {models} models before linear probes and of the five
fine-tuned ones; mean over the twelve sets with its 95 % interval. 1 is the same order, 0 none.

| score | τ with linear probes | τ with fine-tuning |
|---|---|---|
"""

SEMANTICS = f"""
## Do contrastive encoders keep more low- and mid-level content

`transferkit probe --protocol semantic --layers stages`: what ridge and logistic regression read off each
stage of the same encoders, mean of the twelve sets; `{REFERENCE}` beside them, shown 128 pixels. 1 knows all
of a target, 0 nothing.

![Explained share of low-, mid- and high-level targets over depth](figures/depth.png)

Bands are the intervals of the means for these very sets. At the last layer, seeds averaged, with 95 %
intervals of the difference over the twelve sets:

"""

SIMILARITY = """
## How alike the encoders are

Debiased linear CKA of the last layers (`transferkit analyze cka`).

![CKA between the encoders](figures/cka.png)

"""

FOLLOWING = """
## How well measured targets follow recorded factors

Drawn sets record what was chosen; correlation, over all images shown at their 64 pixels, of what is read off
the pixels with it. The place and size are those of the salient region, the hue is that of its colour
(circular correlation); what is drawn in dim ink, on stripes, or in two colours misleads it.

| set | across | down | size | hue |
|---|---|---|---|---|
"""

Values = dict[str, NDArray[np.float64]]
"""By name, one value a set ``[sets]``, or one a seed and set ``[seeds, sets]``."""


def main() -> None:
    """Carry out what is missing of the study, and write the page."""
    place = Place(Workspace.at(), reporter=reporter_for(quiet=False))
    study = read_study(str(STUDY))
    engine = partial(LocalEngine, place.workspace, place.workspace.studies / "logs")
    run = run_study(study, place=place, engine=engine)
    if run.failed:
        raise StudyError(run.failed[0].error)
    results = run.results(place)
    trained = {one.run: pretrain(one.settings, place=place, name=one.run) for one in study.pretrain}
    source = {
        loss: float(np.mean([trained[spec.removeprefix("run:")].history[-1]["knn"] for spec in specs]))
        for loss, specs in MODELS.items()
    }
    models = MODELS | FLOORS
    parts = [INTRODUCTION]
    for name, title in (("linear", "Linear probe"), ("fewshot 5-shot lr", "5-way 5-shot")):
        values = {model: reached(results, name, specs) for model, specs in models.items()}
        parts.append(f"### {title}\n\n{table(values, source)}{verdict(values)}\n\n")
    parts.append(f"### Set by set: linear probe, mean of the seeds\n\n{by_set(results, models)}")
    parts += [tuning(results), scores(results), semantics(results), following(place), similarity(place)]
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")


def tuning(results: Results) -> str:
    """Accuracies after fine-tuning, beside those of linear probes, and how alike their orders are."""
    tuned = {loss: reached(results, "finetune", [spec])[0] for loss, spec in FIRST.items()}
    linear = {loss: reached(results, "linear", [spec])[0] for loss, spec in FIRST.items()}
    lines = ["| model | linear probe | fine-tuned | fine-tuned, difference to ce |\n|---|---|---|---|\n"]
    for loss in sorted(tuned, key=lambda loss: -tuned[loss].mean()):
        against = "–" if loss == "ce" else compared(tuned[loss], tuned["ce"])
        lines.append(f"| `{loss}` | {linear[loss].mean():.3f} | {tuned[loss].mean():.3f} | {against} |\n")
    orders = correlations(np.array(list(linear.values())), np.array(list(tuned.values())))
    mean, half = difference(orders, np.zeros_like(orders))
    answer = "predicts" if mean > half else "does not predict" if mean < -half else "may or may not predict"
    said = (
        "Set by set, the orders of the five encoders by linear probe and by fine-tuning agree with a "
        f"weighted Kendall's τ of {with_interval(orders)} (mean of twelve sets, 95 % interval): by this, "
        f"linear accuracy {answer} the order after fine-tuning."
    )
    return TUNING + "".join(lines) + "\n" + textwrap.fill(said, 108) + "\n"


def scores(results: Results) -> str:
    """How well each score orders models as their accuracies do, best first."""
    specs = [spec for group in (MODELS | FLOORS | {REFERENCE: (REFERENCE,)}).values() for spec in group]
    linear, tuned = reached(results, "linear", specs), reached(results, "finetune", list(FIRST.values()))
    rows = {}
    for metric in dict.fromkeys(r.metric for r in results if r.protocol == "transferability"):
        of = Results(r for r in results if r.protocol == "transferability" and r.metric == metric)
        if {r.model for r in of}.issuperset(specs):  # some need a classifier of the network's own
            rows[metric] = (
                correlations(reached(of, "transferability", specs), linear),
                correlations(reached(of, "transferability", list(FIRST.values())), tuned),
            )
    ordered = sorted(rows, key=lambda metric: -rows[metric][0].mean())
    lines = [f"| {m} | {' | '.join(with_interval(taus) for taus in rows[m])} |\n" for m in ordered]
    best = [max(rows, key=lambda metric: rows[metric][column].mean()) for column in (0, 1)]
    said = f"Best with linear probes: {best[0]}; with fine-tuning: {best[1]}."
    return SCORES.format(models=len(specs)) + "".join(lines) + f"\n{said}\n"


def semantics(results: Results) -> str:
    """Depth curves of the three levels, and the last layer's differences to cross-entropy."""
    groups = {**MODELS, **FLOORS, REFERENCE: (REFERENCE,)}
    names = {spec: name for name, specs in groups.items() for spec in specs}
    curves = [replace(r, model=names[r.model]) for r in results if r.protocol == "semantic"]
    save_figure(depth_figure(curves, "explained", panel=level_of), FIGURES / "depth")
    values = {
        (name, level): reached(results, f"semantic {level}", specs).mean(0)
        for name, specs in groups.items()
        for level in LEVELS
    }
    lines = [
        f"| model | {' | '.join(LEVELS)} | {' | '.join(f'{level} less ce' for level in LEVELS)} |\n",
        "|---" * (1 + 2 * len(LEVELS)) + "|\n",
    ]
    for name in groups:
        shown = [f"{values[name, level].mean():.3f}" for level in LEVELS]
        against = [
            "–" if name == "ce" else compared(values[name, level], values["ce", level]) for level in LEVELS
        ]
        lines.append(f"| `{name}` | {' | '.join(shown)} | {' | '.join(against)} |\n")
    return SEMANTICS + "".join(lines) + claim(values)


def level_of(record: Result) -> str:
    """Of a semantic record."""
    return str(record.settings["level"])


def claim(values: dict[tuple[str, str], NDArray[np.float64]]) -> str:
    """Whether contrastive and joint encoders keep more low- and mid-level content than cross-entropy."""
    said = []
    for level in ("low", "mid"):
        more = [
            name
            for name in LOSSES[1:]
            if np.subtract(*difference(values[name, level], values["ce", level])) > 0
        ]
        names = ", ".join(f"`{name}`" for name in more)
        said.append(f"Of level {level}, {names or 'none'} keep{'s' if len(more) < 2 else ''} more than `ce`")
    held = all(
        np.subtract(*difference(values[name, level], values["ce", level])) > 0
        for name in ("selfsupcon", "joint", "joint-supcon")
        for level in ("low", "mid")
    )
    verdict = (
        "The study's claim shows at this scale"
        if held
        else "The study's claim does not show in full at this scale"
    )
    return "\n" + textwrap.fill(f"{'. '.join(said)}. {verdict}.", 108) + "\n"


def following(place: Place) -> str:
    """Agreement of the salient region with what was drawn, set by set."""
    view = load_encoder(PRESET.model).at(64).view
    store = FeatureStore(place.workspace.features)
    names = ("salient_position", "salient_size", "salient_hue")
    lines = []
    for data in (*DOWNSTREAM, PRESET.data):
        splits = place.open(data).splits.values()
        if not all("position_x" in split.factors for split in splits):
            continue
        factors = {
            name: np.concatenate([split.factors[name] for split in splits])
            for name in ("position_x", "position_y", "size", "hue")
            if all(name in split.factors for split in splits)
        }
        entries = [measured(split, view, names, store=store, reporter=place.reporter) for split in splits]
        found = {n: np.concatenate([np.asarray(e.features(n).x) for e in entries]) for n in names}
        cells = [
            agreement(found["salient_position"][:, 0], factors["position_x"]),
            agreement(found["salient_position"][:, 1], factors["position_y"]),
            agreement(np.sqrt(found["salient_size"]), factors["size"]),
        ]
        if "hue" in factors:
            cells.append(agreement(found["salient_hue"], factors["hue"], period=1.0))
        shown = [f"{cell:.2f}" for cell in cells] + ["–"] * (4 - len(cells))
        lines.append(f"| `{data}` | {' | '.join(shown)} |\n")
    return FOLLOWING + "".join(lines)


def similarity(place: Place) -> str:
    """CKA of last layers of all encoders, averaged over the sets."""
    shown = {f"{loss} {seed}": spec for loss, specs in MODELS.items() for seed, spec in enumerate(specs)}
    shown |= {REFERENCE: REFERENCE, "random": PRESET.model, "pixels": "pixels"}
    sizes = {spec: ExtractSettings(size=SHOWN.get(spec)) for spec in shown.values()}
    found = [
        likeness_of([look for spec in sizes for look in looks([spec], [data], sizes[spec], place=place)])
        for data in DOWNSTREAM
    ]
    values = np.nanmean([one.values for one in found], axis=0)
    words = Words("CKA of last layers, mean of twelve sets")
    save_figure(heat_map(values, [*shown], [*shown], words), FIGURES / "cka")
    objective = np.repeat(np.arange(len(LOSSES)), [len(specs) for specs in MODELS.values()])
    above = np.triu_indices(len(objective), 1)
    same = objective[above[0]] == objective[above[1]]
    cka = values[above]
    pairs = {
        "two seeds of one objective": cka[same],
        "two objectives": cka[~same],
        f"an objective and {REFERENCE}": values[: len(objective), len(objective)],
    }
    means = "; ".join(f"{n} {of.mean():.2f} ({of.min():.2f} – {of.max():.2f})" for n, of in pairs.items())
    return SIMILARITY + textwrap.fill(f"Mean CKA, and range: {means}.", 108) + "\n"


def reached(results: Results, asked: str, models: Sequence[str]) -> NDArray[np.float64]:
    """``[models, sets]`` values at the last layer; ``asked`` is a protocol with what tells it apart."""
    found = {(r.model, r.data): r.value for r in results if recipe(r.protocol, r.settings) == asked}
    return np.array([[found[model, data] for data in DOWNSTREAM] for model in models])


def correlations(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted τ ``[sets]`` of the orders of models, of ``[models, sets]``; a set without an order has 0."""
    return np.array([rank_correlation(x, y).value or 0.0 for x, y in zip(a.T, b.T, strict=True)])


def with_interval(values: NDArray[np.float64]) -> str:
    """Mean of ``[sets]``, and its 95 % interval, for people."""
    return compared(values, np.zeros_like(values))


def table(values: Values, source: dict[str, float]) -> str:
    """One line a model, best first."""
    means = {name: value.mean(0) for name, value in values.items()}  # [sets]
    ranks = np.mean([rankdata(-column) for column in np.array(list(means.values())).T], axis=0)
    rank = dict(zip(means, ranks, strict=True))
    lines = [
        "| model | source | mean accuracy | seeds | mean rank | difference to ce | ahead on |\n",
        "|---|---|---|---|---|---|---|\n",
    ]
    for name in sorted(means, key=lambda name: -means[name].mean()):
        seeds = values[name].mean(1)
        spread = f"{seeds.min():.3f} – {seeds.max():.3f}" if len(seeds) > 1 else "–"
        shown = f"{source[name]:.3f}" if name in source else "–"
        ahead = "–"
        if name != "ce":
            ahead = f"{int((means[name] > means['ce']).sum())} of {len(DOWNSTREAM)}"
        lines.append(
            f"| `{name}` | {shown} | {means[name].mean():.3f} | {spread} | {rank[name]:.1f} "
            f"| {compared(means[name], means['ce']) if name != 'ce' else '–'} | {ahead} |\n"
        )
    return "".join(lines)


def difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Mean of ``a - b`` over the sets, and half its 95 % interval."""
    gaps = a - b
    half = student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps))
    return float(gaps.mean()), float(half)


def compared(a: NDArray[np.float64], b: NDArray[np.float64]) -> str:
    """The same, for people."""
    mean, half = difference(a, b)
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def verdict(values: Values) -> str:
    """What the intervals say, in words."""
    means = {name: value.mean(0) for name, value in values.items()}
    groups: dict[str, list[str]] = {"above": [], "below": [], "not told apart from": []}
    for name in LOSSES[1:]:
        mean, half = difference(means[name], means["ce"])
        place = "above" if mean > half else "below" if mean < -half else "not told apart from"
        groups[place].append(f"`{name}`")
    said = "; ".join(f"{', '.join(names)} {place} `ce`" for place, names in groups.items() if names)
    floors = []
    for name in LOSSES:
        beaten = [floor for floor in FLOORS if np.subtract(*difference(means[name], means[floor])) > 0]
        floors.append(f"`{name}` beats {' and '.join(f'`{floor}`' for floor in beaten) or 'neither floor'}")
    return "\n" + textwrap.fill(f"By these intervals: {said}. {'; '.join(floors)}.", 108)


def by_set(results: Results, models: dict[str, tuple[str, ...]]) -> str:
    """One line a set, one column a model."""
    columns = {name: reached(results, "linear", group).mean(0) for name, group in models.items()}
    lines = [
        f"| set | {' | '.join(f'`{name}`' for name in columns)} |\n",
        "|---" * (len(columns) + 1) + "|\n",
    ]
    for index, data in enumerate(DOWNSTREAM):
        lines.append(f"| `{data}` | {' | '.join(f'{c[index]:.3f}' for c in columns.values())} |\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
