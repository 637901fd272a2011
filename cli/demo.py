"""``transferkit demo``: the whole pipeline on embedded data and weights."""

import click

from .help import GroupedCommand
from .report import page_line
from .session import Session, common_options


@click.command(cls=GroupedCommand)
@common_options
def command(session: Session) -> None:
    """Run the whole pipeline on embedded images and weights, and show the results.

    The demo pretrains two small networks, with cross-entropy and with the joint objective. It evaluates them,
    a network with ImageNet weights, an untrained network and raw pixels on twelve small data sets of six
    domains, with linear probes for each layer, k-NN, and 5-way 5-shot episodes. It takes a few minutes on two
    cores, seconds when repeated, and ends by writing the page of transferkit report.

    \b
    Example:
      transferkit demo
    """
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.demo import run_demo
    from transferkit.reports.depth import depth_table
    from transferkit.reports.result_table import result_table
    from transferkit.reports.tables import pivot
    from transferkit.reports.terminal import terminal_view

    demo = run_demo(RunContext(session.workspace, reporter=session.reporter))
    session.show(
        demo.results.to_json(),
        pivot(demo.at_last, title="Linear probe at the last layer: accuracy ± half the 95 % interval"),
        "",
        depth_table(demo.by_depth, title="Linear probe by layer: mean accuracy over the data sets"),
        "",
        *terminal_view(result_table(demo.results)),
        "",
        page_line(session),
    )
