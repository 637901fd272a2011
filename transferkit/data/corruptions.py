"""Names and severities of the corruptions among the variants; importing them does not import torch."""

CORRUPTIONS = ("noise", "blur", "contrast", "jpeg")
SEVERITIES = (1, 2, 3, 4, 5)
"""Severities as in [1], which are defined for squares of 224 pixels. For other sizes, the standard deviation of the
blur grows with the square root of the side, which is close to the values of [1] for 32 pixels.

[1] Hendrycks and Dietterich, Benchmarking neural network robustness to common corruptions and
    perturbations, ICLR 2019.
"""
