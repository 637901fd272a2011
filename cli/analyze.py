"""``transferkit analyze``: analyses of representations."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from transferkit.analysis.inversion_settings import InversionSettings
from transferkit.core.registry import summary_line
from transferkit.protocols.analyses.analysis import ANALYSES
from transferkit.protocols.analyses.robustness_settings import RobustnessSettings
from transferkit.protocols.invert_settings import InvertSettings
from transferkit.protocols.settings import ExtractSettings

from .budget import budget_options
from .help import Decorator, GroupedCommand, Section, under
from .session import (
    Session,
    common_options,
    data_option,
    force_option,
    model_option,
    preprocessing_options,
    seed_option,
    weights_key_option,
)
from .settings import EXTRACTION, given, grouped_options, with_options

if TYPE_CHECKING:
    from transferkit.core.results import Results


class _Analyses(Section):
    """The analyses with a command of their own, and those of plug-ins, whose records are shown as they are."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, those of plug-ins last."""
        return list(dict.fromkeys((*super().list_commands(ctx), *ANALYSES)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of an analysis."""
        found = super().get_command(ctx, cmd_name)
        return _plugin_command(cmd_name) if found is None and cmd_name in ANALYSES else found


@click.group(cls=_Analyses)
def command() -> None:
    """Analyze representations, layer by layer.

    Each analysis prints a table, stores its results in the workspace, and draws figures.

    \b
    Example:
      transferkit analyze separation --model random:resnet18 --data mini/digits \\
        --layers stages --size 48
    """


def _layer_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all analyses of cached features share."""
    options = (
        under("Models and data", model_option, data_option, budget_options, seed_option, weights_key_option),
        grouped_options(ExtractSettings, EXTRACTION),
        under("Preprocessing of images", preprocessing_options),
    )
    for option in reversed(options):
        function = option(function)
    return function


_figure_option = click.option(
    "--figure",
    metavar="PATH",
    help="Path of the figure without an extension; it is written as SVG and PNG. If there are several figures, the "
    "names end with what they show, such as the data set.  [default: reports/ANALYSIS in the workspace]",
)


def _run_context(session: Session, seed: int) -> Any:
    from transferkit.protocols.context import RunContext

    return RunContext(session.workspace, seed, session.reporter)


def _run(session: Session, name: str, options: dict[str, Any], show: Callable[["Results"], None]) -> None:
    """Run an analysis and show its records; if some cannot be made, show the others before the error."""
    from transferkit.protocols.analyses.analyze import analyze
    from transferkit.protocols.evaluate import IncompleteResultsError

    extraction, kind = ExtractSettings(**given(ExtractSettings, options)), ANALYSES[name].settings_type
    settings = kind(**given(kind, options)) if kind else None
    context, force = _run_context(session, options["seed"]), options["force"]
    try:
        records = analyze(name, options["model"], options["data"], extraction, settings, context=context, force=force)
    except IncompleteResultsError as error:
        if error.results:
            show(error.results)
        raise
    show(records)


def _plugin_command(name: str) -> click.Command:
    """Return the command of an analysis of a plug-in."""
    analysis = ANALYSES[name]

    def run(session: Session, **options: Any) -> None:
        from transferkit.core.record_table import record_table

        _run(session, name, options, lambda records: session.show(records.to_json(), record_table(records)))

    own: list[Decorator] = []
    if analysis.settings_type:
        own = [under(f"Options of {name}", with_options(analysis.settings_type))]
    for decorator in (under("Workspace and output", force_option, common_options), *own, _layer_options):
        run = decorator(run)
    return click.command(name, cls=GroupedCommand, help=f"{summary_line(analysis)}.")(run)


@command.command()
@_layer_options
@under("Workspace and output", _figure_option, common_options)
def cka(
    session: Session,
    model: tuple[str, ...],
    data: tuple[str, ...],
    seed: int,
    figure: str | None,
    **options: Any,
) -> None:
    """Compare the layers of one or more models with each other, by debiased linear CKA.

    \b
    Example:
      transferkit analyze cka --model random:resnet18,pixels --data mini/digits \\
        --layers stages --size 48
    """
    from transferkit.protocols.analyses.similarity import similarity
    from transferkit.reports.analysis_tables import similarity_table
    from transferkit.reports.figures import AxisLabels, heat_map

    extraction = ExtractSettings(**given(ExtractSettings, options))
    found = list(similarity(model, data, extraction, context=_run_context(session, seed)))
    figures = {one.data: heat_map(one.values, one.names, one.names, AxisLabels(f"CKA on {one.data}")) for one in found}
    saved = session.save_figures(figure, "cka", figures)
    parts = [part for one in found for part in (similarity_table(one), "")]
    session.show([one.to_json() for one in found], *parts, saved)


@command.command()
@_layer_options
@under("Workspace and output", _figure_option, force_option, common_options)
def separation(session: Session, figure: str | None, **options: Any) -> None:
    """Measure class separation and the geometry of features.

    The measures are class separation, distances within and between classes, alignment and uniformity,
    effective rank (RankMe), and the decay of the spectrum (α-ReQ).

    \b
    Example:
      transferkit analyze separation --model random:resnet18 --data mini/digits \\
        --size 48
    """
    _run(session, "separation", options, partial(_show_separations, session, figure))


def _show_separations(session: Session, figure: str | None, records: "Results") -> None:
    from transferkit.reports.analysis_tables import separation_table
    from transferkit.reports.depth import depth_figure

    saved = session.save_figures(figure, "separation", {"": depth_figure(records, "class separation")})
    session.show(records.to_json(), separation_table(records), "", saved)


@command.command()
@_layer_options
@under("Workspace and output", _figure_option, force_option, common_options)
def transferability(session: Session, figure: str | None, **options: Any) -> None:
    """Estimate without training how well models transfer, and compare the estimates with measured accuracies.

    The scores are LogME, H-score and its regularised form, TransRate, GBC and NLEEP, and for models with their
    own classifier also LEEP and NCE. They use the images of train and val. If the workspace has accuracies of
    linear probes or fine-tuning for at least three of the models, the table shows Kendall's weighted τ between
    score and accuracy.

    \b
    Example:
      transferkit analyze transferability --data mini/digits --size 48 \\
        --model imagenet-lite0,random:resnet18,random:resnet34
    """
    _run(session, "transferability", options, partial(_show_transferability, session, figure))


def _show_transferability(session: Session, figure: str | None, records: "Results") -> None:
    from transferkit.core.results import ResultStore
    from transferkit.protocols.analyses.transferability import with_accuracies
    from transferkit.reports.agreement import agreement_figures
    from transferkit.reports.analysis_tables import transferability_tables

    found = with_accuracies(records, ResultStore(session.workspace.results))
    saved = session.save_figures(figure, "transferability", agreement_figures(found.pairs))
    session.show(found.to_json(), *transferability_tables(found), "", saved)


@command.command()
@_layer_options
@under("Corruptions and probe", with_options(RobustnessSettings))
@under("Workspace and output", _figure_option, force_option, common_options)
def robustness(session: Session, figure: str | None, **options: Any) -> None:
    """Score a linear probe, fitted on clean images, on corrupted test images of increasing severity.

    \b
    Example:
      transferkit analyze robustness --model pixels --data mini/digits \\
        --corruptions blur --severities 1,5
    """
    _run(session, "robustness", options, partial(_show_robustness, session, figure))


def _show_robustness(session: Session, figure: str | None, records: "Results") -> None:
    from transferkit.protocols.analyses.robustness import severity_curves
    from transferkit.reports.analysis_tables import robustness_table
    from transferkit.reports.figures import AxisLabels, Curve, curve_rows

    figures = {}
    for name in dict.fromkeys(record.data for record in records):
        points = severity_curves(records, name)
        rows = {
            quantity: {
                kind: {spec: Curve(*own[:, columns].T) for spec, own in lines.items()} for kind, lines in points.items()
            }
            for quantity, columns in {"accuracy": [0, 1, 2, 3], "calibration error": [0, 4]}.items()
        }
        figures[name] = curve_rows(rows, AxisLabels(f"Corrupted images of {name}", "severity"))
    saved = session.save_figures(figure, "robustness", figures)
    session.show(records.to_json(), robustness_table(records), "", saved)


@command.command()
@under(
    "Models and data",
    model_option,
    click.option(
        "-d",
        "--data",
        default="mini/photos",
        show_default=True,
        metavar="SPEC",
        help="One data set; transferkit datasets list shows all.",
    ),
    weights_key_option,
)
@under("Images and layers", with_options(InvertSettings))
@under(
    "Reconstruction",
    with_options(InversionSettings),
    click.option(
        "--full",
        is_flag=True,
        help="Use --size 224, --steps 3100, --lr 0.001 and --decoder-depth 6 as Ulyanov et al. (2018) do, where these "
        "are not given. A GPU is recommended.",
    ),
    click.option(
        "--seed",
        default=0,
        show_default=True,
        metavar="N",
        help="Seed of the initialisation, and of the splits of data sets without official ones.",
    ),
)
@under("Preprocessing of images", preprocessing_options)
@under("Workspace and output", _figure_option, common_options)
def inversion(
    session: Session,
    model: tuple[str, ...],
    data: str,
    full: bool,
    seed: int,
    figure: str | None,
    **options: Any,
) -> None:
    """Reconstruct images from the features of a layer, to show which information the layer keeps.

    Each image is found by gradient descent. The figure has one column per image; the first row shows the
    originals, and each further row one layer of one model.

    \b
    Example:
      transferkit analyze inversion --model random:resnet18 --layers layer1 \\
        --num-images 1 --size 32 --steps 5
    """
    from transferkit.analysis.inversion_settings import FULL
    from transferkit.protocols.invert import invert_layers
    from transferkit.protocols.invert_settings import FULL as FULL_IMAGES
    from transferkit.reports.analysis_tables import inversion_table
    from transferkit.reports.figures import AxisLabels, picture_rows

    settings = replace(FULL_IMAGES if full else InvertSettings(), **given(InvertSettings, options))
    search = replace(FULL if full else InversionSettings(), **given(InversionSettings, options))
    found = invert_layers(model, data, settings, search, context=_run_context(session, seed))
    rows = dict(zip(found.names, [found.originals, *(row.pictures for row in found.rows)], strict=True))
    saved = session.save_figures(figure, "inversion", {"": picture_rows(rows, AxisLabels(found.data))})
    session.show(found.to_json(), inversion_table(found), "", saved)
