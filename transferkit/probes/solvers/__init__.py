"""Numerical methods of the probes: logistic and ridge regression, and nearest-neighbour search, over plain arrays."""

from typing import Literal

Metric = Literal["cosine", "euclidean"]
Normalize = Literal["none", "l2", "standardize"]
Method = Literal["lr", "ridge", "proto", "nn"]
