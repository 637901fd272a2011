"""``transferkit probe``: evaluation of cached features."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from transferkit.core.errors import MissingExtraError
from transferkit.probes import PROBES
from transferkit.protocols.settings import ExtractSettings

from .budget import budget_options
from .help import Decorator, GroupedCommand, under
from .session import (
    Session,
    common_options,
    data_option,
    force_option,
    listed,
    listed_integers,
    model_option,
    preprocessing_options,
    seed_option,
    weights_key_option,
)
from .settings import EXTRACTION, field_help, given, grouped_options, protocol_options, with_default

if TYPE_CHECKING:
    from transferkit.core.fitted_table import FittedTable
    from transferkit.core.results import Results
    from transferkit.probes.probe import Probe
    from transferkit.protocols.compare import Comparisons
    from transferkit.protocols.evaluate import EvalRequest


def _list_option(probe: "Probe[Any]", name: str) -> Decorator:
    """Return the option of a setting that may have several values, each of which gives a result of its own."""
    default = getattr(probe.settings_type, name)
    values = probe.lists[name] or (default,)
    numbers = isinstance(default, int)
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        multiple=True,
        callback=listed_integers if numbers else listed,
        metavar="N,…" if numbers else "NAME,…",
        help=with_default(field_help(probe.settings_type)[name], ",".join(map(str, values))),
    )


_LISTS = {name: _list_option(probe, name) for probe in PROBES.values() for name in probe.lists}
_NOTES = {
    "device": "The fits of linear, knn and fewshot use the first visible GPU in any case, which CUDA_VISIBLE_DEVICES "
    "can hide; semantic is fitted on the CPU.",
}
_SETTINGS = tuple(probe.settings_type for probe in PROBES.values())


@click.command(cls=GroupedCommand)
@under("Models and data", model_option, data_option, budget_options, weights_key_option)
@under(
    "Evaluation",
    click.option(
        "-p",
        "--protocol",
        multiple=True,
        callback=listed,
        default=("linear",),
        metavar="NAME,…",
        help=f"Evaluation protocols: {', '.join(PROBES)}.  [default: linear]",
    ),
    click.option("--compare", is_flag=True, help="Also compare each pair of models on the same test images."),
    seed_option,
    force_option,
    click.option(
        "--max-memory",
        type=float,
        metavar="GIB",
        help="Memory for the features of one layer, in GiB; a larger layer is read from the disk in chunks.  "
        "[default: half of the free memory]",
    ),
)
@protocol_options(PROBES, replaced=_LISTS)
@grouped_options(ExtractSettings, EXTRACTION, notes=_NOTES)
@under("Preprocessing of images", preprocessing_options)
@under("Workspace and output", common_options)
def command(
    session: Session,
    model: tuple[str, ...],
    data: tuple[str, ...],
    protocol: tuple[str, ...],
    seed: int,
    force: bool,
    max_memory: float | None,
    compare: bool,
    **options: Any,
) -> None:
    """Evaluate cached features; missing features are extracted first.

    There is one result for each combination of the listed models, data sets, layers, protocols, --shots and
    --level. Lists of --k, --temperature and --metric are candidates instead, from which the validation images
    select. The images that select hyper-parameters are never those that score. Options of a protocol that is not
    selected are refused. Those under Extraction matter only for features that are not cached yet; features of
    each --precision are cached separately.

    The protocols are linear (logistic regression), knn (nearest neighbours), fewshot (few training images per
    class) and semantic (linear prediction of image properties, such as colour, texture and shape).

    With --compare, two models are compared on every layer that both have, or else on their last layers: by
    McNemar's test on the same test images, by a t test on the same episodes or draws, and by Wilcoxon's
    signed-rank test over several data sets. A further table shows the means of the compared models over data
    sets, under every protocol with stored results, including fine-tuning and detection. With --json, the output
    is an object with "results", "comparisons" and "over_datasets".

    \b
    Example:
      transferkit probe --model random:resnet18 --data mini/digits \\
        --protocol fewshot --shots 1,5
    """
    from transferkit.protocols.compare import require_two_models
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.evaluate import Evaluator, IncompleteResultsError

    if compare:
        require_two_models(model)
    extraction = ExtractSettings(**given(ExtractSettings, options))
    requests = list(_requests(protocol, options))
    context = RunContext(session.workspace, seed, session.reporter)
    evaluator = Evaluator(context, extraction, force, max_memory)
    try:
        results = evaluator.run(model, data, requests)
    except IncompleteResultsError as error:
        if error.results or session.as_json:
            _show(session, error.results, compare)
        raise
    _show(session, results, compare).require_all()


def _show(session: Session, results: "Results", compare: bool) -> "Comparisons":
    """Print the records, and the comparisons if ``compare`` is on."""
    from transferkit.core.record_table import record_table
    from transferkit.protocols.compare import Comparisons, compare_models
    from transferkit.reports.comparison import comparison_tables

    shown = [record_table(results), *_semantic_curves(session, results)]
    if not compare:
        session.show(results.to_json(), *shown)
        return Comparisons((), ())
    comparisons = compare_models(results)
    value = {"results": results.to_json(), **comparisons.to_json()}
    session.show(value, *shown, *comparison_tables(comparisons), *_summary_table(session, results))
    return comparisons


def _summary_table(session: Session, results: "Results") -> Iterator["FittedTable | str"]:
    """Yield a summary of all records of the compared models, including fine-tuning and detection."""
    from transferkit.core.results import ResultStore
    from transferkit.reports.result_table import load_results
    from transferkit.reports.summary import overview, overview_table

    models = list(dict.fromkeys(record.model for record in results))
    if found := overview(load_results(ResultStore(session.workspace.results), wanted={"model": models})):
        yield from ("", overview_table(found))


def _semantic_curves(session: Session, results: "Results") -> Iterator["FittedTable | str"]:
    """Yield a table and a figure of the semantic scores by depth, if the protocol has records."""
    from transferkit.reports.depth import depth_figure, semantic_table

    records = [record for record in results if record.protocol == "semantic"]
    if not records:
        return
    yield from ("", semantic_table(records))
    try:
        figure = depth_figure(records, "explained", panel=lambda record: record.settings["level"])
        yield session.save_figures(None, "semantic", {"": figure})
    except MissingExtraError as error:
        session.reporter.note(f"No figure is drawn: {error}")


def _requests(protocols: tuple[str, ...], options: dict[str, Any]) -> Iterator["EvalRequest"]:
    """Yield one request per protocol and value of its lists; each protocol takes its own options.

    An option that belongs to none of the protocols is passed on, and so reported as an error.
    """
    from transferkit.protocols.evaluate import eval_requests

    settings = {name: value for name, value in options.items() if any(given(s, {name: value}) for s in _SETTINGS)}
    requested = {name: value for name, value in settings.items() if value not in (None, ())}
    used = {name for protocol in protocols for name in given(PROBES[protocol].settings_type, requested)}
    unused = {name: value for name, value in requested.items() if name not in used}
    for protocol in protocols:
        probe = PROBES[protocol]
        defaults = {name: values for name, values in probe.lists.items() if values}
        yield from eval_requests(protocol, **{**defaults, **given(probe.settings_type, requested), **unused})
