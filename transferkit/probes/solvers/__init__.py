"""Numerical methods of the probes: logistic and ridge regression, and nearest-neighbour search, over plain arrays."""
