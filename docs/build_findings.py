"""Write docs/findings.md: five objectives, three seeds each, before the twelve downstream sets.

Run: python docs/build_findings.py (about an hour on two cores the first time, a minute when repeated).
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
from transferkit.protocols.evaluate import Evaluator, question
from transferkit.protocols.place import Place
from transferkit.protocols.pretraining.pretrain import pretrain
from transferkit.protocols.pretraining.settings import PretrainSettings
from transferkit.protocols.settings import ExtractSettings

PAGE = Path(__file__).with_name("findings.md")
LOSSES = ("ce", "selfsupcon", "supcon", "joint", "joint-supcon")
SEEDS = (0, 1, 2)
PRESET = PretrainSettings()
QUESTIONS = (question("linear"), question("fewshot", shots=5))
FLOORS = {"random": (PRESET.model, f"{PRESET.model}@1", f"{PRESET.model}@2"), "pixels": ("pixels",)}

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
    parts.append(f"### Set by set: linear probe, mean of the seeds\n\n{by_set(results, models)}")
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")


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
