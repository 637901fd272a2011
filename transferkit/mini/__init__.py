"""The embedded suite: small offline data sets for the domains of the study; ``suite`` lists them."""

from .suite import DOWNSTREAM, SOURCE

__all__ = ["DOWNSTREAM", "SOURCE"]
