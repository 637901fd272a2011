"""Texts of the page of findings that are not computed from the records of the study."""

CHANGES = """## What changed since the previous version of this page

On the previous page, cross-entropy was trained only on strong views (now `ce-strong`), and all models were compared
with it. In three sets, support and query images of an episode could share pixels. Intervals ignored the variation over
seeds. Fine-tuning started from the linear probe with which it was compared. Test images were resized by their shorter
side (now: both sides, as in the study). Mean accuracies, before → now:

| model | linear probe | 5-way 5-shot |
|---|---|---|
| `ce` | – → 0.606 | – → 0.492 |
| `ce-strong` | 0.613 → 0.633 | 0.523 → 0.524 |
| `joint` | 0.620 → 0.625 | 0.497 → 0.490 |
| `supcon` | 0.546 → 0.562 | 0.451 → 0.453 |
| `joint-supcon` | 0.491 → 0.487 | 0.399 → 0.391 |
| `selfsupcon` | 0.456 → 0.450 | 0.381 → 0.373 |
| `random` | 0.277 → 0.283 | 0.235 → 0.231 |
| `pixels` | 0.197 → 0.191 | 0.260 → 0.258 |

- The previous page did not test the study's main claim, better transfer. It does not hold at this scale: no contrastive
  or joint objective is above its baseline in any protocol, and the contrastive ones are below in 8 of 12 comparisons.
- Views matter as much as the objective: `ce-strong` is above `ce` with few shots (+0.032) and, within the interval,
  with linear probes (+0.027); `joint` differs from `ce` by -0.002 and +0.019.
- The claim about content holds in part, and is smaller than stated before. `joint` keeps more low-level content than
  the study's baseline by 0.141; the previous page stated 0.188 against cross-entropy on strong views, which forget
  more. `supcon` keeps no more than the baseline. Most of the low-level content is not learned: the untrained network
  keeps as much as `joint`.
- Linear accuracy still predicts the order after fine-tuning (τ +0.682 → +0.658), although fine-tuning no longer starts
  from the linear probe.

"""

CLAIMS_TITLE = """## The study's claims

Islam et al. (ICCV 2021) claim that contrastive objectives transfer better than cross-entropy, that joint
objectives transfer better than their supervised part, and that both keep more low- and mid-level content.
Differences in accuracy, first model minus second:

"""

TUNING = """
## Does linear accuracy predict fine-tuning

Every encoder is fine-tuned on six sets with the preset `quick` and a classifier that is initialised with zeros
(`transferkit finetune --head zero`), so that fine-tuning does not start from the linear probe with which it is
compared.

"""

SCORES = """
## Which transferability score ranks encoders best

`transferkit analyze transferability` computes each score from train and val. The table shows its agreement with
the accuracy on test, as Kendall's τ, weighted so that the order of the best models counts most: for {models} models
on twelve sets with linear probes, and for the {tuned} fine-tuned models on six sets. Values are means over the sets,
with 95 % intervals over the sets, for these models only. 1 means the same order, 0 no relation.

| score | τ with linear probes | τ with fine-tuning |
|---|---|---|
"""

SIMILARITY = """
## How similar the encoders are

Debiased linear CKA of the last layers (`transferkit analyze cka`).

![CKA between the encoders](figures/cka.png)

"""

FOLLOWING = """
## Agreement of measured targets with recorded factors

Synthetic sets record the factors from which each image was rendered. The table shows the correlation of these
factors with targets that are measured on the pixels, over all images at their size of 64 pixels. The position,
size and hue (circular correlation) are those of the salient region. Objects in dim ink, on stripes or in two
colours mislead this measurement.

| set | x position | y position | size | hue |
|---|---|---|---|---|
"""
