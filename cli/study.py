"""``transferkit study``: a grid of cells as one command."""

from typing import TYPE_CHECKING, Any

import click

from .help import Section, under
from .session import Session, common_options, described_fields

if TYPE_CHECKING:
    from transferkit.studies.engines.engine import Engine
    from transferkit.studies.study import Study


@click.group(cls=Section)
def command() -> None:
    """Run a grid of models, data sets, protocols and seeds.

    A study is a TOML file, or one of the presets that transferkit study list describes.

    \b
    Example:
      transferkit study list
    """


@command.command("run")
@click.argument("study", metavar="FILE|PRESET")
@under(
    "Execution",
    click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="Engine that runs the tasks: processes on this machine, or a Ray cluster.",
    ),
    click.option(
        "--address",
        metavar="ADDRESS",
        help="Address of a running Ray cluster, or auto to find it.  [default: a cluster is started for this command]",
    ),
    click.option(
        "--jobs",
        type=int,
        metavar="N",
        help="Number of tasks that run at the same time.  [default: from the cores, GPUs and memory]",
    ),
    click.option("--fail-fast", is_flag=True, help="Stop when a task fails, instead of continuing with the others."),
    click.option("--dry-run", is_flag=True, help="Show the remaining tasks and their estimated cost, then exit."),
)
@under("Workspace and output", common_options)
def run(
    session: Session,
    study: str,
    engine: str,
    address: str | None,
    jobs: int | None,
    fail_fast: bool,
    dry_run: bool,
) -> None:
    """Run the unfinished tasks of a study, and show the ranking.

    The argument is the path of a TOML file, or the name of a preset from transferkit study list. The error of a
    failed task is recorded, and the remaining tasks continue. After Ctrl-C or a crash, the same command continues
    the study; at most the tasks that were running are repeated.

    \b
    Example:
      transferkit study run demo --dry-run
    """
    from transferkit.protocols.context import RunContext
    from transferkit.studies.reading import read_study
    from transferkit.studies.run import run_study

    if address and engine != "ray":
        raise click.UsageError(f"--address {address} needs a Ray cluster: add --engine ray.")
    definition, context = read_study(study), RunContext(session.workspace, reporter=session.reporter)
    if dry_run:
        _show_plan(session, definition, context)
        return
    found = run_study(
        definition,
        context=context,
        engine=lambda: _engine(session, definition, engine, address, jobs),
        fail_fast=fail_fast,
    )
    _show_end(session, found, context)


def _engine(session: Session, study: "Study", name: str, address: str | None, jobs: int | None) -> "Engine":
    if name == "ray":
        from transferkit.studies.engines.cluster import RayEngine

        return RayEngine(session.workspace, address=address, jobs=jobs)
    from transferkit.studies.engines.local import LocalEngine

    return LocalEngine(session.workspace, session.workspace.studies / study.name / "logs", jobs)


def _show_plan(session: Session, study: "Study", context: Any) -> None:
    from transferkit.studies.estimate import estimate

    from .study_tables import plan_table

    plan = estimate(study, context)
    session.show(plan.to_json(), plan_table(plan))


def _show_end(session: Session, found: Any, context: Any) -> None:
    """Show the results and the failed tasks.

    Raises: StudyError: if a task failed, so that the command exits with 1.
    """
    from transferkit.core.errors import StudyError
    from transferkit.reports.result_table import result_table
    from transferkit.reports.terminal import terminal_view

    from .study_tables import failures_table

    results = found.results(context)
    end = "Next: transferkit report" if results else "No task has produced a score."
    ranking = terminal_view(result_table(results))
    session.show({**found.to_json(), "results": results.to_json()}, *ranking, *failures_table(found), "", end)
    if found.failed:
        blocked = found.count("blocked")
        raise StudyError(
            f"{len(found.failed)} of {len(found.marks)} tasks failed"
            + (f", and {blocked} depend on them" if blocked else "")
            + f". Show the errors with transferkit study show {found.study}, fix their cause and run the study again."
        )


@command.command()
@click.argument("study", metavar="FILE|PRESET")
@common_options
def show(session: Session, study: str) -> None:
    """Show the finished and failed tasks of a study, and the ranking so far.

    \b
    Example:
      transferkit study show demo
    """
    from transferkit.protocols.context import RunContext
    from transferkit.reports.result_table import result_table
    from transferkit.reports.terminal import terminal_view
    from transferkit.studies.reading import read_study
    from transferkit.studies.run import state_of

    from .study_tables import failures_table, state_table

    context = RunContext(session.workspace, reporter=session.reporter)
    found = state_of(read_study(study), context)
    so_far = terminal_view(result_table(found.results(context)))
    session.show(found.to_json(), state_table(found), *failures_table(found), "", *so_far)


@command.command("list")
@common_options
def list_presets(session: Session) -> None:
    """List the presets of studies.

    \b
    Example:
      transferkit study list
    """
    from transferkit.studies.presets import preset_notes

    notes = preset_notes()
    described = {note["study"]: {name: note[name] for name in ("command", "takes", "gives")} for note in notes}
    session.show(notes, described_fields(described))
