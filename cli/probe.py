"""``transferkit probe``: evaluate cached features."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType

from transferkit.core.errors import MissingExtraError
from transferkit.probes import PROBES
from transferkit.probes.fewshot import FewshotSettings
from transferkit.probes.semantic import LEVELS, SemanticSettings
from transferkit.protocols.settings import ExtractSettings

from .budget import budget_options
from .session import Session, common_options, listed, listed_integers, model_options
from .settings import given, with_options

if TYPE_CHECKING:
    from transferkit.core.results import Results
    from transferkit.protocols.compare import Comparisons

_SETTINGS = tuple(probe.settings_type for probe in PROBES.values())
_SEMANTIC = SemanticSettings()
_IN_SEMANTIC = {
    "penalties": f"Of semantic {_SEMANTIC.penalties}, from {_SEMANTIC.grid[0]:g} to {_SEMANTIC.grid[-1]:g}, "
    "and two at least."
}


@click.command()
@model_options
@click.option("-d", "--data", multiple=True, default=("mini",), metavar="SPEC,…", help="Data sets.  [default: mini]")
@budget_options
@click.option(
    "-p",
    "--protocol",
    multiple=True,
    callback=listed,
    default=("linear",),
    metavar="NAME,…",
    help=f"How to evaluate: {', '.join(PROBES)}.  [default: linear]",
)
@click.option(
    "--shots",
    multiple=True,
    callback=listed_integers,
    metavar="N,…",
    help=f"Labelled images a class.  [default: {FewshotSettings.shots}]",
)
@click.option(
    "--level",
    multiple=True,
    callback=listed,
    metavar="NAME,…",
    help="Of semantic targets: low, mid, high; factors, of drawn images.  [default: low,mid,high]",
)
@with_options(*_SETTINGS, skip=("shots", "level"), notes=_IN_SEMANTIC)
@with_options(ExtractSettings)
@click.option("--seed", default=0, show_default=True, help="Of splits and draws.")
@click.option("--force", is_flag=True, help="Recompute finished cells.")
@click.option(
    "--max-memory",
    type=float,
    metavar="GIB",
    help="What probing a layer may take; larger ones are read in pieces.  [default: half of what is free]",
)
@click.option("--compare", is_flag=True, help="Also compare the models, pair by pair, on the same rows or images.")
@common_options
def command(
    session: Session,
    model: tuple[str, ...],
    data: tuple[str, ...],
    protocol: tuple[str, ...],
    shots: tuple[int, ...],
    level: tuple[str, ...],
    seed: int,
    force: bool,
    max_memory: float | None,
    compare: bool,
    **options: Any,
) -> None:
    """Evaluate cached features; what is missing is extracted first.

    Options given several times or as comma lists are combined: every model on every data set, every
    layer, every protocol. The split that selects is never the split that scores.

    With --compare, every layer that two models share is compared, or else the last of each, and a row a
    model shows its means under every protocol that it has records of, fine-tuning and detection too; --json
    then gives an object: the records are its "results", and "comparisons" and "over_datasets" follow.

    \b
    Example:
      transferkit probe --model random:resnet18 --data mini/digits --protocol fewshot --shots 1,5
    """
    from transferkit.protocols.compare import require_two_models
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.evaluate import Evaluator, UnansweredError

    if compare:
        require_two_models(model)
    extraction = ExtractSettings(**given(ExtractSettings, options))
    several = {"shots": shots, "level": level}
    questions = list(_questions(protocol, several, options))
    context = RunContext(session.workspace, seed, session.reporter)
    evaluator = Evaluator(context, extraction, force, max_memory)
    try:
        results = evaluator.run(model, data, questions)
    except UnansweredError as error:
        if error.results or session.as_json:
            _show(session, error.results, compare)
        raise
    _show(session, results, compare).require_all()


def _show(session: Session, results: "Results", compare: bool) -> "Comparisons":
    """Print the records, and the comparisons where they are asked for."""
    from transferkit.protocols.compare import Comparisons, compare_models
    from transferkit.reports.comparison import comparison_tables

    shown = [results, *_semantics(session, results)]
    if not compare:
        session.show(results.to_json(), Group(*shown))
        return Comparisons((), ())
    comparisons = compare_models(results)
    value = {"results": results.to_json(), **comparisons.to_json()}
    session.show(value, Group(*shown, comparison_tables(comparisons), *_side_by_side(session, results)))
    return comparisons


def _side_by_side(session: Session, results: "Results") -> Iterator[RenderableType]:
    """All that the workspace knows of the models that are compared, fine-tuned and detecting ones too."""
    from transferkit.core.results import ResultStore
    from transferkit.reports.result_table import load_results
    from transferkit.reports.summary import overview, overview_table

    models = list(dict.fromkeys(record.model for record in results))
    if found := overview(load_results(ResultStore(session.workspace.results), wanted={"model": models})):
        yield overview_table(found)


def _semantics(session: Session, results: "Results") -> Iterator[RenderableType]:
    """The curves over depth, in one table and one figure, where the protocol was asked for."""
    from transferkit.reports.depth import depth_figure, semantic_table

    records = [record for record in results if record.protocol == "semantic"]
    if not records:
        return
    yield semantic_table(records)
    try:
        figure = depth_figure(records, "explained", panel=lambda record: record.settings["level"])
        yield session.drawn(None, "semantic", {"": figure})
    except MissingExtraError as error:
        session.reporter.note(f"No figure is drawn: {error}")


def _questions(
    protocols: tuple[str, ...], several: dict[str, tuple[Any, ...]], options: dict[str, Any]
) -> Iterator[Any]:
    """Protocols × shots × levels; each protocol takes the options that are its own.

    An option that none of the protocols has is an error, not something to be quietly ignored.
    """
    from transferkit.protocols.evaluate import questions

    asked = {name: value for name, value in {**options, **several}.items() if value not in (None, ())}
    asked = {name: value for name, value in asked.items() if any(given(s, {name: value}) for s in _SETTINGS)}
    taken = {name for protocol in protocols for name in given(PROBES[protocol].settings_type, asked)}
    stray = {name: value for name, value in asked.items() if name not in taken}
    for protocol in protocols:
        own = given(PROBES[protocol].settings_type, asked) | stray
        if protocol == "semantic":
            own.setdefault("level", LEVELS)
        yield from questions(protocol, **own)
