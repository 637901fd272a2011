"""The options ``--limit``, ``--shots-per-class`` and ``--budget``, which reduce the labelled images of data sets."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

_OPTIONS = {
    "limit": click.option(
        "--limit",
        metavar="N",
        help="Number of images to draw at random from train and val together, as a number (1000) or as a fraction "
        "(0.1; 1.0 means all). Each class keeps its proportion, and test stays complete.  [default: all]",
    ),
    "shots_per_class": click.option(
        "--shots-per-class",
        type=int,
        metavar="N",
        help="Number of images per class to draw at random from train; val is not used. It limits a whole data set, "
        "unlike --shots, which counts the support images of few-shot episodes.  [default: all]",
    ),
    "budget": click.option(
        "--budget",
        type=click.Choice(["vtab1k"]),
        help="Draw 800 images for training and 200 for validation, as many as in VTAB-1k, but other images. Give only "
        "one of --limit, --shots-per-class and --budget.  [default: all images]",
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
        if values["shots_per_class"] is not None and values["shots_per_class"] < 1:
            raise click.UsageError(f"--shots-per-class {values['shots_per_class']} is too small: give 1 or more.")
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
