"""``transferkit cache``: inspection and cleaning of the feature cache."""

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

from .help import Section
from .session import Session, canonical, common_options, listed


@click.group(cls=Section)
def command() -> None:
    """Inspect, export and clean the feature cache.

    An entry of the cache has the features of one model on one split of a data set, for one or more layers. Its
    digest identifies it; transferkit cache list prints the first twelve characters.

    \b
    Example:
      transferkit cache list
    """


def _filters(function: click.decorators.FC) -> click.decorators.FC:
    """Add the options that narrow a list of entries."""
    for name, help_text in (
        ("entry", "Only entries with these digests, of which the first characters are enough."),
        ("split", "Only entries of these splits, such as train."),
        ("data", "Only entries of these data sets, as transferkit cache list prints them."),
        ("model", "Only entries of these models, as transferkit cache list prints them."),
    ):
        function = click.option(f"--{name}", multiple=True, callback=canonical, metavar="NAME,…", help=help_text)(
            function
        )
    return function


def _selected(session: Session, filters: Mapping[str, Sequence[str]]) -> list[Entry]:
    """Return the entries that match every filter; a filter without values matches all."""
    return [entry for entry in FeatureStore(session.workspace.features).entries() if _matches(entry, filters)]


def _matches(entry: Entry, filters: Mapping[str, Sequence[str]]) -> bool:
    digests = filters["entry"]
    named = all(not filters[name] or getattr(entry.key, name) in filters[name] for name in _KEY_FILTERS)
    return named and (not digests or entry.key.digest.startswith(tuple(digests)))


_LAYERS_HELP = "Layers to write: names, or last, stages or patterns as in transferkit extract.  [default: last]"
_KEY_FILTERS = ("model", "data", "split")


def _one(session: Session, filters: Mapping[str, Sequence[str]]) -> Entry:
    """Return the single entry that matches.

    Raises: CacheError: if no entry or more than one matches; the message lists their digests.
    """
    entries = _selected(session, filters)
    if not entries:
        raise CacheError("No cache entry matches the filters. List all entries with: transferkit cache list")
    if len(entries) > 1:
        found = ", ".join(f"{e.key.digest[:12]} ({e.key.model}, {e.key.data}, {e.key.split})" for e in entries[:6])
        raise CacheError(f"{len(entries)} entries match, but one is needed: {found}. Choose one with --entry.")
    return entries[0]


@command.command("list")
@_filters
@common_options
def list_entries(session: Session, **filters: tuple[str, ...]) -> None:
    """List the entries with their contents and sizes.

    \b
    Example:
      transferkit cache list --model imagenet-lite0
    """
    entries = _selected(session, filters)
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
    table = FittedTable(_COLUMNS, rows) if rows else "No entry matches."
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
def show(session: Session, **filters: tuple[str, ...]) -> None:
    """Show the key of one entry, and the fields in which the most similar entry differs.

    Exactly one entry must match the filters.

    \b
    Example:
      transferkit cache show --data mini/digits --split train
    """
    entry = _one(session, filters)
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
    """Compare every file of the cache with the checksum that was stored when it was written.

    The command lists damaged files and exits with 1 if there are any.

    \b
    Example:
      transferkit cache verify
    """
    store = FeatureStore(session.workspace.features)
    problems = list(store.verify())
    count = sum(1 for _ in store.entries())
    intact = f"{counted(count, 'entry', 'entries')}, all bytes unchanged since they were written."
    text = "\n".join(map(str, problems)) or intact
    session.show([str(problem) for problem in problems], text)
    if problems:
        raise SystemExit(1)


@command.command()
@_filters
@click.option("--layers", multiple=True, callback=listed, default=("last",), metavar="NAME,…", help=_LAYERS_HELP)
@click.option("-o", "--output", required=True, metavar="FILE", help="Output file: .npz or .parquet.")
@common_options
def export(session: Session, layers: tuple[str, ...], output: str, **filters: tuple[str, ...]) -> None:
    """Write the features of one cache entry to a NumPy or Parquet file.

    Exactly one entry must match the filters: if several do, also without any filter, the command lists them and
    exits. The file has the arrays x (images × features), labels and ids, or one array per layer in place of x if
    there are several layers. Images that could not be decoded are left out.

    \b
    Example:
      transferkit cache export --data mini/digits --split train --layers last \\
        --output features.npz
    """
    entry = _one(session, filters)
    names = layers if set(layers) <= set(entry.layers) else _resolved(session, entry, layers)
    written = export_arrays(entry, names, Path(output))
    left_out = entry.rows - written
    value = {"path": output, "layers": {name: entry.layers[name] for name in names}, "rows": written}
    text = f"{counted(written, 'row')} of {', '.join(names)} written to {output}"
    if left_out:
        text += f"; {counted(left_out, 'unreadable image')} left out"
    session.show(value, text)


def _resolved(session: Session, entry: Entry, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the layers that ``last``, ``stages`` or patterns select in the network."""
    if layers == ("last",) and len(entry.layers) == 1:
        return tuple(entry.layers)
    from transferkit.models.catalog import load_encoder
    from transferkit.models.layers import resolve_layers

    encoder = load_encoder(entry.key.model, runs=session.workspace.runs)
    return tuple(layer.name for layer in resolve_layers(encoder, layers, None))


@command.command()
@_filters
@click.option("--damaged", is_flag=True, help="Also remove damaged files; the next extraction recomputes them.")
@common_options
def prune(session: Session, damaged: bool, **filters: tuple[str, ...]) -> None:
    """Remove the entries that match the filters, and temporary files of interrupted runs.

    Without a filter, no finished entry is removed.

    \b
    Example:
      transferkit cache prune --model random:resnet18
    """
    filtered = any(filters.values())
    store = FeatureStore(session.workspace.features)
    pruned = store.prune(lambda entry: _matches(entry, filters) if filtered else False, damaged=damaged)
    value = {
        "entries": [folder.name for folder in pruned.entries],
        "bytes": pruned.bytes,
        "busy": [folder.name for folder in pruned.busy],
    }
    text = f"{counted(len(pruned.entries), 'entry', 'entries')} removed, {readable_bytes(pruned.bytes)} freed."
    if pruned.busy:
        text += f" {counted(len(pruned.busy), 'entry', 'entries')} kept because a process is filling them."
    session.show(value, text)
