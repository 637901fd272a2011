"""``transferkit cache``: look after the feature cache."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table
from rich.text import Text

from transferkit.cache.entry import Entry
from transferkit.cache.export import export_arrays
from transferkit.cache.store import FeatureStore
from transferkit.core.errors import CacheError
from transferkit.core.files import readable_bytes
from transferkit.core.fitted_table import Column, FittedTable, Name
from transferkit.core.wording import counted

from .session import Section, Session, canonical, common_options, listed


@click.group(cls=Section)
def command() -> None:
    """Look after the feature cache.

    \b
    Example:
      transferkit cache list
    """


def _filters(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that narrow a list of entries."""
    for name, words in (
        ("entry", "Only entries whose digest begins so."),
        ("split", "Only this split."),
        ("data", "Only this data set."),
        ("model", "Only this model."),
    ):
        function = click.option(f"--{name}", multiple=True, callback=canonical, metavar="NAME,…", help=words)(function)
    return function


def _selected(session: Session, wanted: Mapping[str, Sequence[str]]) -> list[Entry]:
    """Entries whose key matches; an empty wish takes all."""
    return [entry for entry in FeatureStore(session.workspace.features).entries() if _matches(entry, wanted)]


def _matches(entry: Entry, wanted: Mapping[str, Sequence[str]]) -> bool:
    digests = wanted["entry"]
    named = all(not wanted[name] or getattr(entry.key, name) in wanted[name] for name in _KEY_FILTERS)
    return named and (not digests or entry.key.digest.startswith(tuple(digests)))


_KEY_FILTERS = ("model", "data", "split")


def _one(session: Session, wanted: Mapping[str, Sequence[str]]) -> Entry:
    """The single entry that matches.

    Raises: CacheError: if there is none, or more than one, saying how to tell them apart.
    """
    entries = _selected(session, wanted)
    if not entries:
        raise CacheError("No entry matches. See what there is with: transferkit cache list")
    if len(entries) > 1:
        found = ", ".join(f"{e.key.digest[:12]} ({e.key.model}, {e.key.data}, {e.key.split})" for e in entries[:6])
        raise CacheError(f"{len(entries)} entries match: {found}. Name one with --entry.")
    return entries[0]


@command.command("list")
@_filters
@common_options
def list_entries(session: Session, **wanted: tuple[str, ...]) -> None:
    """List the entries: what they hold and how large they are.

    \b
    Example:
      transferkit cache list --model imagenet-lite0
    """
    entries = _selected(session, wanted)
    rows = [
        (
            entry.key.digest[:12],
            Name(entry.key.model),
            Name(entry.key.data),
            entry.key.split,
            str(entry.rows),
            str(len(entry.layers)),
            readable_bytes(entry.size_bytes),
        )
        for entry in entries
    ]
    table = FittedTable(_COLUMNS, rows) if rows else Text("No entry matches.")
    session.show([_summary(entry) for entry in entries], table)


_COLUMNS = (
    Column("entry"),
    Column("model", group=1),
    Column("data", group=2),
    Column("split"),
    Column("rows", right=True),
    Column("layers", right=True),
    Column("size", right=True),
)


def _summary(entry: Entry) -> dict[str, Any]:
    return {
        "entry": entry.key.digest,
        "key": entry.key.to_json(),
        "rows": entry.rows,
        "layers": dict(entry.layers),
        "bytes": entry.size_bytes,
    }


@command.command()
@_filters
@common_options
def show(session: Session, **wanted: tuple[str, ...]) -> None:
    """Show what one entry is named by, and in which field it differs from the entry most like it.

    \b
    Example:
      transferkit cache show --data mini/digits --split train
    """
    entry = _one(session, wanted)
    nearest = FeatureStore(session.workspace.features).nearest(entry.key)
    table = Table(title=entry.key.digest, box=box.SIMPLE_HEAD, show_header=False, title_justify="left")
    for name, value in entry.key.to_json().items():
        table.add_row(name, Text(str(value)))
    table.add_section()
    table.add_row("rows", f"{entry.rows}, {len(entry.skipped)} unreadable")
    table.add_row("layers", Text(", ".join(f"{name} {d}" for name, d in entry.layers.items())))
    table.add_row("size", readable_bytes(entry.size_bytes))
    if nearest:
        other, differences = nearest
        for name, here, there in differences:
            table.add_row(f"differs in {name}", Text(f"{here}; {other.key.digest[:12]} has {there}"))
    session.show({**_summary(entry), "nearest": _difference(nearest)}, table)


def _difference(nearest: tuple[Entry, list[tuple[str, Any, Any]]] | None) -> dict[str, Any] | None:
    if nearest is None:
        return None
    fields = {name: {"here": here, "there": there} for name, here, there in nearest[1]}
    return {"entry": nearest[0].key.digest, "differs": fields}


@command.command()
@common_options
def verify(session: Session) -> None:
    """Compare every file of the cache with the digest it was written with.

    Exits 1 when anything is damaged, and names it.

    \b
    Example:
      transferkit cache verify
    """
    store = FeatureStore(session.workspace.features)
    problems = list(store.verify())
    count = sum(1 for _ in store.entries())
    words = "\n".join(map(str, problems)) or f"{counted(count, 'entry', 'entries')}, every byte as it was written."
    session.show([str(problem) for problem in problems], Text(words))
    if problems:
        raise SystemExit(1)


@command.command()
@_filters
@click.option("--layers", multiple=True, callback=listed, default=("last",), metavar="NAME,…", help="Layers.")
@click.option("-o", "--output", required=True, metavar="FILE", help="A .npz or .parquet file to write.")
@common_options
def export(session: Session, layers: tuple[str, ...], output: str, **wanted: tuple[str, ...]) -> None:
    """Write features as arrays: x, labels and ids; several layers stand under their own names.

    \b
    Example:
      transferkit cache export --data mini/digits --split train --layers last --output features.npz
    """
    entry = _one(session, wanted)
    names = layers if set(layers) <= set(entry.layers) else _resolved(session, entry, layers)
    written = export_arrays(entry, names, Path(output))
    left_out = entry.rows - written
    value = {"path": output, "layers": {name: entry.layers[name] for name in names}, "rows": written}
    told = f"{counted(written, 'row')} of {', '.join(names)} written to {output}"
    if left_out:
        told += f"; {counted(left_out, 'unreadable image')} left out"
    session.show(value, Text(told))


def _resolved(session: Session, entry: Entry, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the layers that ``last``, ``stages`` or patterns mean; the network is asked."""
    if layers == ("last",) and len(entry.layers) == 1:
        return tuple(entry.layers)
    from transferkit.models.catalog import load_encoder
    from transferkit.models.layers import resolve_layers

    encoder = load_encoder(entry.key.model, runs=session.workspace.runs)
    return tuple(layer.name for layer in resolve_layers(encoder, layers, None))


@command.command()
@_filters
@click.option("--damaged", is_flag=True, help="Also remove damaged files; the next extraction makes them anew.")
@common_options
def prune(session: Session, damaged: bool, **wanted: tuple[str, ...]) -> None:
    """Remove the entries that match, and what interrupted runs left behind.

    Without a filter no finished entry is removed.

    \b
    Example:
      transferkit cache prune --model random:resnet18
    """
    filtered = any(wanted.values())
    store = FeatureStore(session.workspace.features)
    pruned = store.prune(lambda entry: _matches(entry, wanted) if filtered else False, damaged=damaged)
    value = {
        "entries": [folder.name for folder in pruned.entries],
        "bytes": pruned.bytes,
        "busy": [folder.name for folder in pruned.busy],
    }
    words = f"{counted(len(pruned.entries), 'entry', 'entries')} removed, {readable_bytes(pruned.bytes)} freed."
    if pruned.busy:
        words += f" {len(pruned.busy)} are being filled and were left alone."
    session.show(value, Text(words))
