"""``transferkit probe``: evaluate cached features."""

from collections.abc import Iterator
from typing import Any

import click

from transferkit.probes import PROBES
from transferkit.protocols.settings import ExtractSettings

from .session import MODEL_HELP, Session, common_options, listed, listed_integers
from .settings import given, with_options

_SETTINGS = tuple(probe.settings_type for probe in PROBES.values())


@click.command()
@click.option("-m", "--model", multiple=True, callback=listed, metavar="SPEC,…", help=MODEL_HELP)
@click.option(
    "-d", "--data", multiple=True, default=("mini",), metavar="SPEC,…", help="Data sets.  [default: mini]"
)
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
    "--shots", multiple=True, callback=listed_integers, metavar="N,…", help="Labelled images a class."
)
@with_options(*_SETTINGS, skip=("shots",))
@with_options(ExtractSettings)
@click.option("--seed", default=0, show_default=True, help="Of splits and draws.")
@click.option("--force", is_flag=True, help="Compute finished cells anew.")
@common_options
def command(
    session: Session,
    model: tuple[str, ...],
    data: tuple[str, ...],
    protocol: tuple[str, ...],
    shots: tuple[int, ...],
    seed: int,
    force: bool,
    **options: Any,
) -> None:
    """Evaluate cached features; what is missing is extracted first.

    Options given several times or as comma lists are combined: every model on every data set, every
    layer, every protocol. The split that selects is never the split that scores.

    \b
    Example:
      transferkit probe --model random:resnet18 --data mini/digits --protocol fewshot --shots 1,5
    """
    from transferkit.protocols.evaluate import Evaluator, UnansweredError
    from transferkit.protocols.place import Place

    extraction = ExtractSettings(**given(ExtractSettings, options))
    questions = list(_questions(protocol, shots, options))
    place = Place(session.workspace, seed, session.reporter)
    evaluator = Evaluator(place, extraction, force)
    try:
        results = evaluator.run(model, data, questions)
    except UnansweredError as error:
        session.show(error.results.to_json(), error.results)
        raise
    session.show(results.to_json(), results)


def _questions(protocols: tuple[str, ...], shots: tuple[int, ...], options: dict[str, Any]) -> Iterator[Any]:
    """Protocols × shots; each protocol takes the options that are its own.

    An option that none of the protocols has is an error, not something to be quietly ignored.
    """
    from transferkit.protocols.evaluate import question

    asked = {name: value for name, value in options.items() if value not in (None, ())}
    asked = {name: value for name, value in asked.items() if any(given(s, {name: value}) for s in _SETTINGS)}
    taken = {name for protocol in protocols for name in given(PROBES[protocol].settings_type, asked)}
    for protocol in protocols:
        own = given(PROBES[protocol].settings_type, asked)
        stray = {name: value for name, value in asked.items() if name not in taken}
        wants_shots = bool(given(PROBES[protocol].settings_type, {"shots": shots}))
        if shots and (wants_shots or len(protocols) == 1):
            yield from (question(protocol, shots=count, **own, **stray) for count in shots)
        else:
            yield question(protocol, **own, **stray)
