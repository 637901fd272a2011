"""The domain of a data set, looked up by its spec without opening it."""

from functools import cache

from ..data.budgets import split_spec
from ..protocols.dataset_catalog import known_datasets

DOMAINS = ("natural", "satellite", "symbolic", "medical", "illustrative", "texture")
"""Domains in the order of the study's tables."""

OTHER = "other"


@cache
def _known_domains() -> dict[str, str]:
    return {one.name: one.domain for one in known_datasets() if one.domain}


def domain_of(data: str) -> str:
    """Return the domain of a spec, with or without a budget or number after it; ``other`` if it is unknown.

    >>> domain_of("mini/digits"), domain_of("eurosat@shots=5"), domain_of("folder:photos")
    ('symbolic', 'satellite', 'other')
    """
    whole, _ = split_spec(data)
    return _known_domains().get(whole) or _known_domains().get(whole.partition(":")[0]) or OTHER


def by_domain(domain: str) -> int:
    """Return the sort key of a domain; unknown domains come last."""
    return DOMAINS.index(domain) if domain in DOMAINS else len(DOMAINS)
