"""Domains of data sets that are not opened."""

import pytest

from transferkit.reports.result_table import DOMAINS, by_domain, domain_of


@pytest.mark.parametrize(
    ("spec", "domain"),
    [
        ("mini/digits", "symbolic"),
        ("mini/cells@shots=5", "medical"),
        ("eurosat", "satellite"),
        ("dtd:3", "texture"),
        ("folder:a/b", "other"),
        ("anything", "other"),
    ],
)
def test_domains(spec, domain):
    assert domain_of(spec) == domain


def test_unknown_domains_come_last():
    assert [by_domain(name) for name in (*DOMAINS, "other")] == list(range(7))
