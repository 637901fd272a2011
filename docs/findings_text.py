"""Texts of the page of findings that contain no number of the present study."""

CHANGES = """## What changed since the previous version of this page

The previous page trained only `ce` on strong views (now `ce-strong`) and compared everything with it. Few-shot
episodes of three sets had patches of the same pixels in support and query. Intervals ignored the seeds. Fine-tuning
started from the linear probe that it was compared with. Test images were resized to their shorter side (now: both
sides, as in the study). Mean accuracies, before → now:

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

- The study's main claim, better transfer, was not answered before. It does not hold at this scale: no contrastive or
  joint objective is above its baseline in any protocol, and the contrastive ones are below in 8 of 12 comparisons.
- Views matter as much as the objective: `ce-strong` is above `ce` with few shots (+0.032) and, within the interval,
  with linear probes (+0.027); `joint` differs from `ce` by -0.002 and +0.019.
- The claim about content holds in part, and is smaller than stated before. `joint` keeps more low-level content than
  the study's baseline by 0.141; the previous page stated 0.188 against cross-entropy on strong views, which forget
  more. `supcon` keeps no more than the baseline. Most of the low-level content is not learned: the untrained network
  keeps as much as `joint`.
- Linear accuracy still predicts the order after fine-tuning (τ +0.682 → +0.658), now without a common start.

"""

CLAIMS_TITLE = """## The study's claims

Islam et al. (ICCV 2021) claim that contrastive objectives transfer better than cross-entropy, that joint
objectives transfer better than their supervised part, and that both keep more low- and mid-level content.
Differences in accuracy, first model minus second:

"""

TUNING = """
## Does linear accuracy predict fine-tuning

Every encoder is fine-tuned on six sets by the preset `quick`, with a classifier that starts at zero
(`transferkit finetune --head zero`), so that fine-tuning does not start from the linear probe it is
compared with.

"""

SCORES = """
## Which transferability score ranks encoders best

`transferkit analyze transferability`, from train and val alone, against accuracy on test. Kendall's τ,
weighted so that the order of the best counts most, of {models} models on twelve sets with linear probes,
and of the {tuned} fine-tuned ones on six; mean over the sets with its 95 % interval over sets, for these
very models. 1 is the same order, 0 none.

| score | τ with linear probes | τ with fine-tuning |
|---|---|---|
"""

SIMILARITY = """
## How similar the encoders are

Debiased linear CKA of the last layers (`transferkit analyze cka`).

![CKA between the encoders](figures/cka.png)

"""

FOLLOWING = """
## How well measured targets follow recorded factors

Drawn sets record what was chosen. The table shows the correlation, over all images shown at their 64
pixels, of what is measured on the pixels with what was drawn. Position and size are those of the salient
region, the hue is that of its colour (circular correlation); what is drawn in dim ink, on stripes, or in
two colours misleads it.

| set | across | down | size | hue |
|---|---|---|---|---|
"""
