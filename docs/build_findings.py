"""Write docs/findings.md from the records of the study docs/findings.toml.

Run: python docs/build_findings.py (about two and a half hours on two cores the first time, a minute when
repeated).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from findings_statistics import (
    BASELINES,
    Values,
    by_set,
    correlations,
    difference,
    shown,
    summary,
    table,
    verdict,
)
from findings_text import CHANGES, CLAIMS_TITLE, FOLLOWING, SCORES, SIMILARITY, TUNING
from numpy.typing import NDArray

from transferkit.cache.store import FeatureStore
from transferkit.core.errors import StudyError
from transferkit.core.results import Result, Results, recipe
from transferkit.core.workspace import Workspace
from transferkit.mini import DOWNSTREAM
from transferkit.models.catalog import load_encoder
from transferkit.protocols.analyses.similarity import similarity_of
from transferkit.protocols.context import RunContext
from transferkit.protocols.layer_features import layer_features
from transferkit.protocols.pretraining.pretrain import pretrain
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings
from transferkit.protocols.targets import measured
from transferkit.reports.depth import depth_figure
from transferkit.reports.figures import AxisLabels, heat_map, save_figure
from transferkit.reports.progress import reporter_for
from transferkit.semantics.agreement import agreement
from transferkit.studies.engines.local import LocalEngine
from transferkit.studies.reading import read_study
from transferkit.studies.run import run_study

PAGE = Path(__file__).with_name("findings.md")
STUDY = PAGE.with_name("findings.toml")
FIGURES = PAGE.with_name("figures")
PRESET = PretrainSettings()

LOSSES = (*BASELINES, "selfsupcon", "supcon", "joint", "joint-supcon")
FIRST = {loss: f"run:mini-{loss}" for loss in LOSSES}
MODELS = {loss: (first, f"{first}-seed1", f"{first}-seed2") for loss, first in FIRST.items()}
FLOORS = {"random": (PRESET.model, f"{PRESET.model}@1", f"{PRESET.model}@2"), "pixels": ("pixels",)}
REFERENCE = "imagenet-lite0"
SHOWN = {REFERENCE: 128, PRESET.model: 48}
"""Input sizes in pixels, as in the study; other networks use the size that they were trained on."""

ONE_PER_DOMAIN = (
    "mini/leaves",
    "mini/terrain",
    "mini/digits",
    "mini/tissue",
    "mini/cartoons",
    "mini/materials",
)
"""The sets of fine-tuning and of semantic probes, which take longest, as in the study."""

CLAIMS = {
    "Contrastive objectives transfer better than cross-entropy": [
        (loss, baseline) for loss in ("selfsupcon", "supcon") for baseline in BASELINES
    ],
    "Joint objectives transfer better than their supervised part alone": [
        ("joint", "ce"),
        ("joint", "ce-strong"),
        ("joint-supcon", "supcon"),
    ],
}
"""The study's claims about accuracy, each with the pairs that decide it."""

LEVELS = ("low", "mid", "high")

INTRODUCTION = f"""# Findings

Built from the records of the study `docs/findings.toml` by `python docs/build_findings.py`; do not edit.

## What was compared

Each objective trains `{PRESET.model}` on `mini/objects` with the preset `mini` ({PRESET.epochs} epochs;
`transferkit pretrain --loss LOSS --seed SEED`) and three seeds. The settings of the preset were selected on
the validation split of the source data set, in short runs with four of the objectives, and are the same for
all objectives. There are two trained baselines: `ce` is that of the study, cross-entropy on random crops and
flips. `ce-strong` is cross-entropy on the views of the contrastive objectives (`--jitter-prob 0.8
--gray-prob 0.2`), an ablation that separates the effect of the objective from that of the views. Two further
baselines need no training: `random` is the same network untrained, with three draws of its weights, and
`pixels` is the image itself.

The encoders are frozen and evaluated on the twelve downstream sets of the suite by a linear probe (12
penalties, selected on val, scored on test) and by 600 five-way five-shot episodes. Fine-tuning and semantic
probes use six of the sets, one per domain:
{textwrap.fill(", ".join(f"`{name}`" for name in ONE_PER_DOMAIN), 108)}.

**Intervals** are 95 % intervals over data sets and seeds. A difference of two models varies with the set,
and the mean over the sets varies with the seed of either model. The squared standard errors of these
three are added; the degrees of freedom are Satterthwaite's. No interval is corrected for the number of
comparisons on this page. The results apply to sets like these and seeds of these settings at this small
scale: 64-pixel images, {PRESET.epochs} epochs, one architecture.

"""


SEMANTICS = f"""
## Do contrastive and joint encoders keep more low- and mid-level content

`transferkit probe --protocol semantic --layers stages` measures how well ridge and logistic regression predict
targets from each stage of the same encoders. The values are means over six sets; 1 means that a target is
explained completely, 0 not at all. `{REFERENCE}`, with images of 128 pixels, is included for comparison.

![Explained fraction of low-, mid- and high-level targets over depth](figures/depth.png)

Bands are intervals of the means for these sets only. The tables show the last layer, with intervals over sets
and seeds:

"""


def main() -> None:
    """Run the unfinished tasks of the study, and write the page."""
    context = RunContext(Workspace.at(), reporter=reporter_for(quiet=False))
    study = read_study(str(STUDY))
    engine = partial(LocalEngine, context.workspace, context.workspace.studies / "logs")
    run = run_study(study, context=context, engine=engine)
    if run.failed:
        raise StudyError(run.failed[0].error)
    results = run.results(context)
    trained = {one.run: pretrain(one.settings, context=context, name=one.run) for one in study.pretrain}
    source = {
        loss: float(np.mean([trained[spec.removeprefix("run:")].history[-1]["knn"] for spec in specs]))
        for loss, specs in MODELS.items()
    }
    models = MODELS | FLOORS
    linear, fewshot = (
        {model: reached(results, name, specs) for model, specs in models.items()}
        for name in ("linear", "fewshot 5-shot lr")
    )
    tuned = {loss: reached(results, "finetune", specs, ONE_PER_DOMAIN) for loss, specs in MODELS.items()}
    parts = [
        INTRODUCTION,
        CHANGES,
        claims({"linear probe": linear, "5-way 5-shot": fewshot, "fine-tuned": tuned}),
        f"## Linear probe\n\n{table(linear, source)}\n## 5-way 5-shot\n\n{table(fewshot, source)}\n",
        f"## Linear probe by data set, mean of the seeds\n\n{by_set(linear)}",
        tuning(results, tuned),
        scores(results),
        semantics(results),
        following(context),
        similarity(context),
    ]
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")


def claims(protocols: dict[str, Values]) -> str:
    """Return the differences that decide each claim about accuracy, and the verdict."""
    parts = [CLAIMS_TITLE]
    for title, pairs in CLAIMS.items():
        lines = [f"### {title}\n\n| difference | {' | '.join(protocols)} |\n|---{'|---' * len(protocols)}|\n"]
        verdicts = []
        for first, second in pairs:
            gaps = [difference(values[first], values[second]) for values in protocols.values()]
            verdicts += [verdict(gap) for gap in gaps]
            lines.append(f"| `{first}` − `{second}` | {' | '.join(map(shown, gaps))} |\n")
        parts += [*lines, f"\n{summary(verdicts)}\n\n"]
    return "".join(parts)


def tuning(results: Results, tuned: Values) -> str:
    """Return the accuracies of linear probes and of fine-tuning, and the agreement of their orders."""
    groups = MODELS | {REFERENCE: (REFERENCE,), "random": (PRESET.model,)}
    linear = {name: reached(results, "linear", specs, ONE_PER_DOMAIN) for name, specs in groups.items()}
    after = tuned | {name: reached(results, "finetune", groups[name], ONE_PER_DOMAIN) for name in (REFERENCE, "random")}
    lines = ["| model | linear probe | fine-tuned | fine-tuned minus `ce` |\n|---|---|---|---|\n"]
    for name in sorted(after, key=lambda name: -after[name].mean()):
        against = "–" if name == "ce" else shown(difference(after[name], after["ce"]))
        lines.append(f"| `{name}` | {linear[name].mean():.3f} | {after[name].mean():.3f} | {against} |\n")
    orders = correlations(np.concatenate([*linear.values()]), np.concatenate([after[name] for name in linear]))
    gap = difference(orders[None], np.zeros_like(orders)[None])
    words = {
        "higher": "predicts the order after fine-tuning",
        "lower": "predicts the reverse of the order after fine-tuning",
        "not told apart": "does not clearly predict the order after fine-tuning",
    }
    said = (
        f"Kendall's weighted τ between the accuracies of the {len(np.concatenate([*linear.values()]))} encoders by "
        f"linear probe and by fine-tuning is {shown(gap)} (mean over six sets, 95 % interval over sets, for these "
        f"encoders only): linear accuracy {words[verdict(gap)]}."
    )
    return TUNING + "".join(lines) + "\n" + textwrap.fill(said, 108) + "\n"


def scores(results: Results) -> str:
    """Return the agreement of each score's ranking of models with that by accuracy, best first."""
    groups = MODELS | FLOORS | {REFERENCE: (REFERENCE,)}
    specs = [spec for group in groups.values() for spec in group]
    tuned = [*(spec for group in MODELS.values() for spec in group), REFERENCE, PRESET.model]
    linear, after = reached(results, "linear", specs), reached(results, "finetune", tuned, ONE_PER_DOMAIN)
    rows = {}
    for metric in dict.fromkeys(r.metric for r in results if r.protocol == "transferability"):
        of = Results(r for r in results if r.protocol == "transferability" and r.metric == metric)
        if {r.model for r in of}.issuperset(specs):  # some scores need a classifier of the network's own
            rows[metric] = (
                correlations(reached(of, "transferability", specs), linear),
                correlations(reached(of, "transferability", tuned, ONE_PER_DOMAIN), after),
            )
    ordered = sorted(rows, key=lambda metric: -rows[metric][0].mean())
    lines = [
        f"| {m} | {' | '.join(shown(difference(t[None], np.zeros_like(t)[None])) for t in rows[m])} |\n"
        for m in ordered
    ]
    best = [max(rows, key=lambda metric: rows[metric][column].mean()) for column in (0, 1)]
    said = f"Highest mean with linear probes: {best[0]}; with fine-tuning: {best[1]}."
    return SCORES.format(models=len(specs), tuned=len(tuned)) + "".join(lines) + f"\n{said}\n"


def semantics(results: Results) -> str:
    """Draw the depth curves of the three levels, and return the last layer's differences to the baselines."""
    groups = {**MODELS, **FLOORS, REFERENCE: (REFERENCE,)}
    names = {spec: name for name, specs in groups.items() for spec in specs}
    curves = [replace(r, model=names[r.model]) for r in results if r.protocol == "semantic"]
    save_figure(depth_figure(curves, "explained", panel=level_of), FIGURES / "depth")
    values = {
        level: {name: reached(results, f"semantic {level}", specs, ONE_PER_DOMAIN) for name, specs in groups.items()}
        for level in LEVELS
    }
    lines = [f"| model | {' | '.join(LEVELS)} |\n", "|---" * (1 + len(LEVELS)) + "|\n"]
    lines += [
        f"| `{name}` | {' | '.join(f'{values[level][name].mean():.3f}' for level in LEVELS)} |\n" for name in groups
    ]
    for level in LEVELS:
        lines.append(f"\n### Level {level}: difference to the baselines and to the untrained network\n\n")
        lines.append("| model | minus `ce` | minus `ce-strong` | minus `random` |\n|---|---|---|---|\n")
        for name in LOSSES:
            gaps = [
                "–" if name == base else shown(difference(values[level][name], values[level][base]))
                for base in (*BASELINES, "random")
            ]
            lines.append(f"| `{name}` | {' | '.join(gaps)} |\n")
    return SEMANTICS + "".join(lines) + content_claim(values)


def level_of(record: Result) -> str:
    """Return the level of a semantic record."""
    return str(record.settings["level"])


def content_claim(values: dict[str, Values]) -> str:
    """Compare the content that contrastive and joint encoders keep with the baselines."""
    parts = []
    for base, meaning in (
        ("ce", "the study's baseline"),
        ("ce-strong", "cross-entropy on the same views, so that only the objective differs"),
        ("random", "the untrained network, to separate learned content from content that was there before"),
    ):
        verdicts = [
            verdict(difference(values[level][name], values[level][base]))
            for level in ("low", "mid")
            for name in LOSSES[2:]
        ]
        title = textwrap.fill(f"Contrastive and joint objectives compared with {meaning}, levels low and mid:", 108)
        parts.append(f"\n{title}\n{summary(verdicts)}\n")
    return "".join(parts)


def following(context: RunContext) -> str:
    """Return the agreement of the salient region with the recorded factors of each set."""
    preprocessing = load_encoder(PRESET.model).at(64).preprocessing
    store = FeatureStore(context.workspace.features)
    names = ("salient_position", "salient_size", "salient_hue")
    lines = []
    for data in (*DOWNSTREAM, PRESET.data):
        splits = context.open(data).splits.values()
        if not all("position_x" in split.factors for split in splits):
            continue
        factors = {
            name: np.concatenate([split.factors[name] for split in splits])
            for name in ("position_x", "position_y", "size", "hue")
            if all(name in split.factors for split in splits)
        }
        entries = [measured(split, preprocessing, names, store=store, reporter=context.reporter) for split in splits]
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


def similarity(context: RunContext) -> str:
    """Return the CKA of the last layers of all encoders, averaged over the sets."""
    shown = {f"{loss} {seed}": spec for loss, specs in MODELS.items() for seed, spec in enumerate(specs)}
    shown |= {REFERENCE: REFERENCE, "random": PRESET.model, "pixels": "pixels"}
    sizes = {spec: ExtractSettings(size=SHOWN.get(spec)) for spec in shown.values()}
    found = [
        similarity_of([look for spec in sizes for look in layer_features([spec], [data], sizes[spec], context=context)])
        for data in DOWNSTREAM
    ]
    values = np.nanmean([one.values for one in found], axis=0)
    words = AxisLabels("CKA of last layers, mean of twelve sets")
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
    return SIMILARITY + textwrap.fill(f"Mean CKA (range): {means}.", 108) + "\n"


def reached(
    results: Results, asked: str, models: Sequence[str], sets: Sequence[str] = DOWNSTREAM
) -> NDArray[np.float64]:
    """Return the values at the last layer, ``[models, sets]``; ``asked`` is a protocol with its main setting."""
    found = {(r.model, r.data): r.value for r in results if recipe(r.protocol, r.settings) == asked}
    return np.array([[found[model, data] for data in sets] for model in models])


if __name__ == "__main__":
    main()
