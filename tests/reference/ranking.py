"""Average precision as the development kit of VOC2007 computes it (VOCevalcls.m), in loops."""


def devkit_average_precision(scores, labels):
    """Compute the average precision of one class, row by row, best first; rows with label 0 (difficult) are ignored.

    Args:
        scores: ``[n]``, no two equal.
        labels: ``[n]`` of 1, 0 and -1.
    """
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    positives = sum(label > 0 for label in labels)
    right = wrong = 0
    curve = []
    for row in order:
        right += labels[row] > 0
        wrong += labels[row] < 0
        if right + wrong:
            curve.append((right, right / (right + wrong)))
    total = 0.0
    for tenth in range(11):
        reached = [precision for hits, precision in curve if 10 * hits >= tenth * positives]
        total += (max(reached) if reached else 0.0) / 11
    return total


def pooled_average_precision(scores, labels, *, every=False):
    """The same where scores may be equal: a threshold is set at each score in turn, and all at it counted."""
    positives = sum(label > 0 for label in labels)
    curve = []
    for threshold in sorted(set(scores), reverse=True):
        taken = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        right, wrong = sum(label > 0 for label in taken), sum(label < 0 for label in taken)
        if right + wrong:
            curve.append((right, right / (right + wrong)))
    if every:
        area, before = 0.0, 0
        for place, (right, _) in enumerate(curve):
            area += (right - before) / positives * max(precision for _, precision in curve[place:])
            before = right
        return area
    total = 0.0
    for tenth in range(11):
        total += max((p for right, p in curve if 10 * right >= tenth * positives), default=0.0) / 11
    return total
