"""Average precision of boxes, as the papers describe it: plain loops, nothing shared with the subject."""


def overlap(a, b):
    """Intersection over union of two boxes, left, top, right, bottom."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def voc_curve(found, marked, label, threshold):
    """Recalls and precisions after each box of one class, the surest first.

    ``found`` is a list, an image, of ``(box, label, score)``; ``marked`` of ``(box, label, difficult)``.
    Returns None if there is no object that counts.
    """
    objects = sum(1 for image in marked for _, kind, hard in image if kind == label and not hard)
    if objects == 0:
        return None
    boxes = []
    for image, answers in enumerate(found):
        for box, kind, score in answers:
            if kind == label:
                boxes.append((score, image, box))
    boxes.sort(key=lambda one: -one[0])
    taken = set()
    right = wrong = 0
    recalls, precisions = [], []
    for _, image, box in boxes:
        best, which = -1.0, None
        for number, (other, kind, _) in enumerate(marked[image]):
            if kind == label and overlap(box, other) > best:
                best, which = overlap(box, other), number
        if which is not None and best >= threshold:
            if marked[image][which][2]:
                pass
            elif (image, which) not in taken:
                taken.add((image, which))
                right += 1
            else:
                wrong += 1
        else:
            wrong += 1
        recalls.append(right / objects)
        precisions.append(right / (right + wrong) if right + wrong else 0.0)
    return recalls, precisions


def eleven_points(recalls, precisions):
    """The mean of the highest precision at a recall of 0, .1, … 1 or more."""
    total = 0.0
    for point in range(11):
        there = [p for r, p in zip(recalls, precisions, strict=True) if r >= point / 10]
        total += max(there, default=0.0)
    return total / 11


def all_points(recalls, precisions):
    """The area below the curve whose precision never falls as recall does."""
    area, before = 0.0, 0.0
    for place, recall in enumerate(recalls):
        area += (recall - before) * max(precisions[place:])
        before = recall
    return area
