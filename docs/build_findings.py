"""Write docs/findings.md: five objectives, three seeds each, before the twelve downstream sets.

Run: python docs/build_findings.py (about two hours on two cores the first time, a minute when repeated).
"""

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

from transferkit.core.progress import reporter_for
from transferkit.core.results import Results
from transferkit.core.workspace import Workspace
from transferkit.data.mini import DOWNSTREAM
from transferkit.protocols.analyses.similarity import likeness
from transferkit.protocols.evaluate import Evaluator, question
from transferkit.protocols.place import Place
from transferkit.protocols.pretraining.pretrain import pretrain
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings
from transferkit.reports.depth import depth_figure
from transferkit.reports.figures import Words, heat_map, save_figure

PAGE = Path(__file__).with_name("findings.md")
LOSSES = ("ce", "selfsupcon", "supcon", "joint", "joint-supcon")
SEEDS = (0, 1, 2)
PRESET = PretrainSettings()
QUESTIONS = (question("linear"), question("fewshot", shots=5))
FLOORS = {"random": (PRESET.model, f"{PRESET.model}@1", f"{PRESET.model}@2"), "pixels": ("pixels",)}

LEVELS = ("low", "mid", "high")
REFERENCE, REFERENCE_SIZE = "imagenet-lite0", 128
FIGURES = PAGE.with_name("figures")

SEMANTICS = f"""
## Do contrastive encoders keep more low- and mid-level content

`transferkit probe --protocol semantic --layers stages`: what ridge and logistic regression read off each
stage of the same encoders, mean of the twelve sets; `{REFERENCE}` beside them, shown {REFERENCE_SIZE}
pixels. 1 knows all of a target, 0 nothing.

![Explained share of low-, mid- and high-level targets over depth](figures/depth.png)

Bands are the intervals of the means for these very sets. At the last layer, seeds averaged, with 95 %
intervals of the difference over the twelve sets:

"""

SIMILARITY = """
## How alike the encoders are

Debiased linear CKA of the last layers (`transferkit analyze cka`), two seeds of each objective.

![CKA between the encoders](figures/cka.png)

"""

INTRODUCTION = """# Findings

Built by `python docs/build_findings.py`; do not edit.

## Which objective transfers best, in miniature

Each objective trains `{model}` on `mini/objects` by the preset `mini` ({epochs} epochs;
`transferkit pretrain --loss LOSS --seed SEED`), three seeds each. The preset's numbers were chosen on the
validation split of the source, with the joint loss, and are the same for all five. Every encoder is then
frozen and put before the twelve downstream sets of the suite: a linear probe (45 penalties, chosen on val,
scored on test) and 600 five-way five-shot episodes. `random` is the same network untrained, three draws of
its weights, shown images of the same size; `pixels` is the image itself.

*Source* is the k-NN accuracy on the held-out images of the source. The mean rank is over the twelve sets,
1 is best of the {models}. The last two columns are the mean over the sets of the difference to `ce`, seeds
averaged first, with a 95 % interval over the twelve sets (Student's t), and on how many the model is ahead.

"""


def main() -> None:
    """Train what is missing, probe what is missing, write the page."""
    place = Place(Workspace.at(), reporter=reporter_for(quiet=False))
    source = {}
    models: dict[str, tuple[str, ...]] = {}
    for loss in LOSSES:
        trained = [pretrain(replace(PRESET, loss=loss, seed=seed), place=place) for seed in SEEDS]
        models[loss] = tuple(f"run:{one.run}" for one in trained)
        source[loss] = float(np.mean([one.history[-1]["knn"] for one in trained]))
    models |= FLOORS
    specs = [spec for group in models.values() for spec in group]
    alike = ExtractSettings(size=PRESET.test_crop)
    untrained = [spec for spec in specs if spec.startswith("random:")]
    others = [spec for spec in specs if spec not in untrained]
    results = Results(
        [
            *Evaluator(place, ExtractSettings()).run(others, DOWNSTREAM, QUESTIONS),
            *Evaluator(place, alike).run(untrained, DOWNSTREAM, QUESTIONS),
        ]
    )
    parts = [INTRODUCTION.format(model=PRESET.model, epochs=PRESET.epochs, models=len(models))]
    for protocol, title in (("linear", "Linear probe"), ("fewshot", "5-way 5-shot")):
        values = {name: averaged(results, protocol, group) for name, group in models.items()}
        parts.append(f"### {title}\n\n{table(values, source)}{verdict(values)}\n\n")
    parts.append(f"### Set by set: linear probe, mean of the seeds\n\n{by_set(results, models)}\n")
    parts.append(semantics(place, models))
    parts.append(similarity(place, models))
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")


def semantics(place: Place, models: dict[str, tuple[str, ...]]) -> str:
    """Depth curves of the three levels, and the last layer's differences to cross-entropy."""
    found = []
    for name, specs in {**models, REFERENCE: (REFERENCE,)}.items():
        size = REFERENCE_SIZE if name == REFERENCE else None if name in LOSSES else PRESET.test_crop
        settings = ExtractSettings(layers=("stages",), size=size if name != "pixels" else None)
        asked = [question("semantic", level=level) for level in LEVELS]
        for record in Evaluator(place, settings).run(specs, DOWNSTREAM, asked):
            found.append((name, record))
    curves = [replace(record, model=name) for name, record in found]
    save_figure(
        depth_figure(curves, "explained", panel=lambda record: record.settings["level"]), FIGURES / "depth"
    )
    last = {
        (name, record.model, record.data, record.settings["level"]): record.value for name, record in found
    }
    lines = [
        f"| model | {' | '.join(LEVELS)} | {' | '.join(f'{level} less ce' for level in LEVELS)} |\n",
        "|---" * (1 + 2 * len(LEVELS)) + "|\n",
    ]
    groups = {**models, REFERENCE: (REFERENCE,)}
    values = {
        (name, level): np.array(
            [[last[name, spec, data, level] for data in DOWNSTREAM] for spec in specs]
        ).mean(0)
        for name, specs in groups.items()
        for level in LEVELS
    }
    for name in groups:
        shown = [f"{values[name, level].mean():.3f}" for level in LEVELS]
        against = [
            "–" if name == "ce" else compared(values[name, level], values["ce", level]) for level in LEVELS
        ]
        lines.append(f"| `{name}` | {' | '.join(shown)} | {' | '.join(against)} |\n")
    return SEMANTICS + "".join(lines) + claim(values) + "\n"


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


def similarity(place: Place, models: dict[str, tuple[str, ...]]) -> str:
    """CKA of last layers, two seeds of each objective, averaged over the sets."""
    shown = {f"{name} {seed}": spec for name in LOSSES for seed, spec in enumerate(models[name][:2])}
    specs = [*shown.values(), "pixels"]
    names = [*shown, "pixels"]
    found = [one.values for one in likeness(specs, DOWNSTREAM, ExtractSettings(), place=place)]
    values = np.nanmean(found, axis=0)
    save_figure(
        heat_map(values, names, names, Words("CKA of last layers, mean of twelve sets")), FIGURES / "cka"
    )
    pairs = {
        "two seeds of one objective": [values[2 * i, 2 * i + 1] for i in range(len(LOSSES))],
        "two objectives": [
            values[2 * i + a, 2 * j + b]
            for i in range(len(LOSSES))
            for j in range(i)
            for a in range(2)
            for b in range(2)
        ],
    }
    means = "; ".join(
        f"{name} {np.mean(of):.2f} ({min(of):.2f} – {max(of):.2f})" for name, of in pairs.items()
    )
    return SIMILARITY + textwrap.fill(f"Mean CKA, and range: {means}.", 108) + "\n"


def averaged(results: Results, protocol: str, models: Sequence[str]) -> NDArray[np.float64]:
    """``[seeds, sets]`` values."""
    found = {(r.model, r.data): r.value for r in results if r.protocol == protocol}
    return np.array([[found[model, data] for data in DOWNSTREAM] for model in models])


def table(values: dict[str, NDArray[np.float64]], source: dict[str, float]) -> str:
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


def verdict(values: dict[str, NDArray[np.float64]]) -> str:
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
    columns = {name: averaged(results, "linear", group).mean(0) for name, group in models.items()}
    lines = [
        f"| set | {' | '.join(f'`{name}`' for name in columns)} |\n",
        "|---" * (len(columns) + 1) + "|\n",
    ]
    for index, data in enumerate(DOWNSTREAM):
        lines.append(f"| `{data}` | {' | '.join(f'{c[index]:.3f}' for c in columns.values())} |\n")
    return "".join(lines)


if __name__ == "__main__":
    main()
