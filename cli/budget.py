"""The options ``--limit``, ``--shots-per-class`` and ``--budget``, which reduce the labelled images of data sets."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = {
    "limit": click.option(
        "--limit",
        metavar="N",
        help="Number of labelled images, such as 1000, or fraction of them, such as 0.1.",
    ),
    "shots_per_class": click.option(
        "--shots-per-class",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of training images per class.",
    ),
    "budget": click.option(
        "--budget",
        type=click.Choice(["vtab1k"]),
        help="Use 800 images as train and 200 as val: as many as VTAB-1k, but other images.",
    ),
}


def budget_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the three options; the function receives the budget as part of the specs in ``data``."""

    @wraps(function)
    def command(*arguments: Any, data: tuple[str, ...], **options: Any) -> Any:
        values = {name: options.pop(name) for name in _OPTIONS}
        budgets = [_spec_suffix(name, value) for name, value in values.items() if value is not None]
        if len(budgets) > 1:
            raise click.UsageError("--limit, --shots-per-class and --budget exclude each other: give one of them.")
        if budgets:
            from transferkit.protocols.dataset_catalog import with_budget

            data = tuple(with_budget(data, budgets[0]))
        return function(*arguments, data=data, **options)

    for option in reversed(_OPTIONS.values()):
        command = option(command)
    return command


def _spec_suffix(name: str, value: Any) -> str:
    """Return the option as it follows the ``@`` of a spec."""
    return {"limit": f"limit={value}", "shots_per_class": f"shots={value}", "budget": str(value)}[name]
