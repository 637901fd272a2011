"""The losses of pretraining as their papers write them: one number at a time, in float64."""

import math


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def log_softmax_at(index, scores):
    """``log(exp(scores[index]) / Σ exp(scores))``, without overflow."""
    top = max(scores)
    return scores[index] - top - math.log(sum(math.exp(score - top) for score in scores))


def ce(logits, labels):
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        total -= log_softmax_at(int(label), [float(score) for score in row])
    return total / len(logits)


def info_nce(queries, keys, bank, temperature):
    """He et al. 2020, equation 1; ``bank`` is a list of keys."""
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        scores = [dot(query, key) / temperature]
        for other in bank:
            scores.append(dot(query, other) / temperature)
        total -= log_softmax_at(0, scores)
    return total / len(queries)


def supcon_queue(queries, labels, bank, bank_labels, temperature):
    """The study's supervised contrastive loss; anchors without positives are left out."""
    per_anchor = []
    for query, label in zip(queries, labels, strict=True):
        scores = [dot(query, key) / temperature for key in bank]
        terms = []
        for j in range(len(bank)):
            if int(label) >= 0 and int(bank_labels[j]) == int(label):
                terms.append(-log_softmax_at(j, scores))
        if terms:
            per_anchor.append(sum(terms) / len(terms))
    return sum(per_anchor) / len(per_anchor) if per_anchor else 0.0


def supcon(embeddings, labels, temperature):
    """Khosla et al. 2020, equation 2 ("out"); anchors without positives are left out."""
    per_anchor = []
    for i in range(len(embeddings)):
        others = [j for j in range(len(embeddings)) if j != i]
        scores = [dot(embeddings[i], embeddings[j]) / temperature for j in others]
        terms = []
        for place, j in enumerate(others):
            if int(labels[i]) >= 0 and int(labels[i]) == int(labels[j]):
                terms.append(-log_softmax_at(place, scores))
        if terms:
            per_anchor.append(sum(terms) / len(terms))
    return sum(per_anchor) / len(per_anchor) if per_anchor else 0.0


def numeric_gradient(function, x, step=1e-6):
    """Central differences of ``function`` at ``x``, a list of rows; gives a list of rows."""
    gradient = []
    for i in range(len(x)):
        row = []
        for j in range(len(x[i])):
            up = [list(r) for r in x]
            down = [list(r) for r in x]
            up[i][j] += step
            down[i][j] -= step
            row.append((function(up) - function(down)) / (2 * step))
        gradient.append(row)
    return gradient
