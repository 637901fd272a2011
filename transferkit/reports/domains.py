"""Which of the study's domains a data set belongs to, known without opening it."""

from functools import cache

from ..data.budgets import split_spec
from ..data.catalog import known_datasets

DOMAINS = ("natural", "satellite", "symbolic", "medical", "illustrative", "texture")
"""In the order of the study's tables."""

OTHER = "other"


@cache
def _known() -> dict[str, str]:
    return {one.name: one.domain for one in known_datasets() if one.domain}


def domain_of(data: str) -> str:
    """The domain of a spec, perhaps with a budget or a number behind it; ``other`` where nobody says.

    >>> domain_of("mini/digits"), domain_of("eurosat@shots=5"), domain_of("folder:photos")
    ('symbolic', 'satellite', 'other')
    """
    whole, _ = split_spec(data)
    return _known().get(whole) or _known().get(whole.partition(":")[0]) or OTHER


def by_domain(domain: str) -> int:
    """Where a domain stands among the others; unknown ones stand last."""
    return DOMAINS.index(domain) if domain in DOMAINS else len(DOMAINS)
