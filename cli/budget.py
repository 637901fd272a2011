"""``--limit``, ``--shots-per-class`` and ``--budget``: fewer labelled images of every data set."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = {
    "limit": click.option(
        "--limit",
        metavar="N",
        help="Use so many labelled images, or with a point such a fraction of them: 1000 or 0.1.",
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
    """Add the three options; the function gets specs in ``data`` that say the budget, drawn by ``--seed``."""

    @wraps(function)
    def command(*arguments: Any, data: tuple[str, ...], **options: Any) -> Any:
        given = {name: options.pop(name) for name in _OPTIONS}
        budgets = [_written(name, value) for name, value in given.items() if value is not None]
        if len(budgets) > 1:
            raise click.UsageError("Give one of --limit, --shots-per-class and --budget.")
        if budgets:
            from transferkit.data.catalog import with_budget

            data = tuple(with_budget(data, budgets[0]))
        return function(*arguments, data=data, **options)

    for option in reversed(_OPTIONS.values()):
        command = option(command)
    return command


def _written(name: str, value: Any) -> str:
    """As behind the ``@`` of a spec."""
    return {"limit": f"limit={value}", "shots_per_class": f"shots={value}", "budget": str(value)}[name]
