"""Write the results as one self-contained HTML file."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from ... import __version__
from ...core.errors import MissingExtraError
from ...core.files import atomic_path
from ...core.results import SEEN_MEANS
from ...core.statistics import FEWEST
from ...protocols.gallery import Gallery, Tile
from ..figures import COLOURS
from ..key_numbers import NOTHING_TO_COMPARE, key_numbers
from ..result_table import ResultTable
from ..statistics import ALPHA, ModelPair, min_p, pairs
from ..summary import counted, overview
from .analysis_charts import (
    cka_chart,
    corruption_chart,
    inversion_chart,
    separation_chart,
    transferability_chart,
)
from .chart import Chart
from .main_table import MainTable, main_table
from .plotly_specs import SYMBOLS, spec_of, theme
from .provenance import provenance
from .score_charts import calibration_chart, depth_charts, domain_chart, rank_chart, shots_chart

BUILDERS = (
    rank_chart,
    domain_chart,
    depth_charts,
    shots_chart,
    calibration_chart,
    transferability_chart,
    cka_chart,
    corruption_chart,
    separation_chart,
    inversion_chart,
)
"""Functions that build charts, in the order of the page."""

MAX_PAIRED = 10
"""Maximum number of models that are compared pair by pair: those with the highest means."""


def charts_of(found: ResultTable) -> list[Chart]:
    """Return every chart for which there are records."""
    return [chart for build in BUILDERS for chart in build(found)]


def write_page(found: ResultTable, path: Path, *, galleries: Sequence[Gallery] = (), notes: Sequence[str] = ()) -> None:
    """Write the page; ``path`` appears when the file is complete.

    Args:
        found: all results.
        path: path of the HTML file.
        galleries: galleries of images.
        notes: sentences about results that could not be shown.
    """
    text = page(found, galleries=galleries, notes=notes)
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def page(found: ResultTable, *, galleries: Sequence[Gallery] = (), notes: Sequence[str] = ()) -> str:
    """Return the page as one string of HTML.

    Raises: MissingExtraError: if jinja2 or plotly is missing.
    """
    charts = charts_of(found)
    table = main_table(found)
    report_data = {
        "charts": {chart.key: spec_of(chart) for chart in charts},
        "theme": theme(),
        "provenance": provenance(found),
        "galleries": [_map_spec(one) for one in galleries],
    }
    template = _environment().get_template("page.html")
    return template.render(
        version=__version__,
        counts=_counts(found, table),
        key_numbers=key_numbers(found) or [NOTHING_TO_COMPARE],
        overview=overview(found),
        table=table,
        seen_means=SEEN_MEANS,
        spans=_spans(table.domains),
        recipes=found.recipes,
        pairs=_pairs(found),
        max_paired=MAX_PAIRED,
        fewest=FEWEST,
        min_p=min_p,
        alpha=ALPHA,
        charts=charts,
        galleries=galleries,
        thumb=_data_uri,
        left_out=[*notes, *found.left_out],
        css=_asset("page.css"),
        script=_asset("page.js"),
        plotly=_plotly(),
        report_data=script_json(report_data),
    )


def _environment() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingExtraError("jinja2", extra="report", purpose="for the report page") from error
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    return environment


def _plotly() -> str:
    """Return the JavaScript of the chart library, which its Python package contains."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise MissingExtraError("plotly", extra="report", purpose="for the report page") from error
    return str(get_plotlyjs())


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def script_json(value: Any) -> str:
    r"""Return JSON that cannot close the script element around it, whatever names it contains.

    >>> print(script_json({"name": "</script>"}))
    {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _counts(found: ResultTable, table: MainTable) -> list[tuple[int, str]]:
    counts = [
        (len(found.models), "model"),
        (len(table.data), "data set"),
        (len(found.recipes), "protocol"),
        (len(found.records), "record"),
    ]
    return [(count, word if count == 1 else f"{word}s") for count, word in counts]


def _spans(domains: Sequence[str]) -> list[tuple[str, int]]:
    """Return the domains in the order of the columns, each with its number of columns."""
    found: dict[str, int] = {}
    for domain in domains:
        found[domain] = found.get(domain, 0) + 1
    return list(found.items())


def _pairs(found: ResultTable) -> list[tuple[str, list[ModelPair]]]:
    """Return the pairs of each recipe, sorted by p."""
    shown = []
    for recipe, one in found.ranked.items():
        if len(one.data) > 1:
            best = sorted(one.means, key=lambda model: -one.means[model])[:MAX_PAIRED]
            shown.append((recipe, sorted(pairs(best, found.values(one, best)), key=lambda pair: pair.p_holm)))
    return shown


def _data_uri(tile: Tile) -> str:
    return f"data:image/jpeg;base64,{_jpeg(tile)}"


def _jpeg(tile: Tile) -> str:
    stream = io.BytesIO()
    Image.fromarray(tile.image).save(stream, "JPEG", quality=82)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _map_spec(one: Gallery) -> Mapping[str, Any]:
    """Return one panel per model and method with points by class, and each thumbnail once."""
    shown = sorted({number for seen in one.seen for number in seen.points})
    positions = {number: position for position, number in enumerate(shown)}
    panels = []
    for seen in one.seen:
        for method, plane in seen.maps.items():
            name = f"{seen.model} · {seen.layer} · {method}"
            panels.append({"name": name, "data": _map_traces(one, seen.points, plane, positions), "layout": {}})
    return {
        "panels": panels,
        "tiles": [_jpeg(one.tiles[number]) for number in shown],
        "captions": [f"{one.classes[one.tiles[n].label]} · {one.tiles[n].id}" for n in shown],
    }


def _map_traces(one: Gallery, points: Sequence[int], plane: Any, positions: Mapping[int, int]) -> list[dict[str, Any]]:
    traces = []
    for label, name in enumerate(one.classes):
        own = [i for i, number in enumerate(points) if one.tiles[number].label == label]
        if own:
            colour = COLOURS[label % len(COLOURS)]
            symbol = SYMBOLS[label // len(COLOURS) % len(SYMBOLS)]
            traces.append(
                {
                    "x": [float(f"{plane[i, 0]:.4g}") for i in own],
                    "y": [float(f"{plane[i, 1]:.4g}") for i in own],
                    "customdata": [positions[points[i]] for i in own],
                    "name": escape(name),
                    "mode": "markers",
                    "marker": {"color": colour, "symbol": symbol, "size": 8, "opacity": 0.85},
                    "hoverinfo": "none",
                }
            )
    return traces
