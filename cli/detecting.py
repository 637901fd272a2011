"""The detection task of ``transferkit finetune``, and the options that belong to each task."""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

from transferkit.core.errors import DamagedError, UsageError
from transferkit.core.fitted_table import Cell, Column, FittedTable, Styled
from transferkit.protocols.detecting.presets import PRESETS, default_preset, preset_settings
from transferkit.protocols.detecting.settings import DetectSettings
from transferkit.protocols.finetuning.settings import FinetuneSettings
from transferkit.training.settings import TrainerConfig

from .session import Session
from .settings import given

TASKS = ("classification", "detection")
_OPTIONS = {
    "classification": [field.name for field in fields(FinetuneSettings)],
    "detection": [*(field.name for field in fields(DetectSettings)), "on_error"],
}
_DEFAULT_DATA = "mini/scenes"


def require_own_options(task: str, options: dict[str, Any]) -> None:
    """Reject options that do not belong to ``task`` instead of ignoring them.

    Raises: UsageError: if there is one; the message names the first.
    """
    for other in TASKS:
        for name in _OPTIONS[other]:
            if name not in _OPTIONS[task] and options.get(name) not in (None, ()):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} belongs to --task {other}: omit it with --task {task}.")


def detection_settings(data: Sequence[str], preset: str | None, options: dict[str, Any]) -> DetectSettings:
    """Return the settings of the preset, with the options that the user gave.

    A list of one value is replaced by the value.

    Raises: UsageError: if a setting that takes one value has several, or the data sets have different presets.
    """
    tuple_fields = {field.name for field in fields(DetectSettings) if isinstance(field.default, tuple)}
    changes = given(DetectSettings, options)
    for name, value in changes.items():
        if isinstance(value, tuple) and name not in tuple_fields:
            if len(value) > 1:
                listed = ",".join(map(str, value))
                option = f"--{name.replace('_', '-')}"
                raise UsageError(f"{option} {listed} has several values: --task detection takes one, give one value.")
            changes[name] = value[0]
    names = {default_preset(spec) for spec in data}
    if preset is None and len(names) > 1:
        raise UsageError(
            f"These data sets have the default presets {', '.join(sorted(names))}: a run uses one, choose it with "
            "--preset."
        )
    return preset_settings(preset or names.pop(), changes)


def run_detection(session: Session, models: Sequence[str], data: Sequence[str], options: dict[str, Any]) -> None:
    """Train detectors and show their average precision.

    Args:
        session: the options that every command has.
        models: specs of the backbones.
        data: specs of the data sets.
        options: all other options.
    """
    require_own_options("detection", options)
    from transferkit.core.record_table import record_table
    from transferkit.protocols.context import RunContext
    from transferkit.protocols.detecting.detect import DetectionRunOptions, detect

    specs = [part.strip() for value in data for part in value.split(",")]
    data = tuple(dict.fromkeys(re.sub("^mini(?=@|$)", _DEFAULT_DATA, spec) for spec in specs))
    settings = detection_settings(data, options["preset"], options)
    flags = {name: options[name] for name in ("force", "yes", "keep")}
    run_options = DetectionRunOptions(**flags, on_error=options["on_error"] or "skip")
    context = RunContext(session.workspace, settings.seed, session.reporter)
    trainer_config = TrainerConfig(**given(TrainerConfig, options))
    found = detect(models, data, settings, context=context, trainer_config=trainer_config, run_options=run_options)
    if found.process == 0:
        parts: list[FittedTable | str] = [record_table(found.results)]
        for detection in found.detections:
            parts += ["", _class_table(detection.result), "", _draw_detections(session, detection)]
        session.show(found.results.to_json(), *parts)


_CLASS_COLUMNS = (
    Column("class"),
    *(
        Column(heading, right=True)
        for heading in ("AP50,\n11 points", "AP50,\nall points", "AP,\nCOCO", "objects", "found")
    ),
)


def _class_table(result: Any) -> FittedTable:
    rows: list[tuple[Cell, ...]] = []
    for name, line in result.extra_metrics["per_class"].items():
        rows.append((name, *(_ap_text(line[key]) for key in _AP_KEYS), str(line["objects"]), str(line["found"])))
    voc, coco = result.extra_metrics["voc"], result.extra_metrics["coco"]
    means = (voc["ap50_11point"], voc["ap50_all"], coco["ap"])
    rows.append((Styled("mean", "bold"), *(Styled(_ap_text(value), "bold") for value in means), "", ""))
    return FittedTable(_CLASS_COLUMNS, rows, title=f"{result.model} · {result.data}")


def _ap_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


_AP_KEYS = ("ap50_11point", "ap50_all", "ap")


def _draw_detections(session: Session, detection: Any) -> str:
    """Draw some of the images with their detections, and return a line with the path of the picture."""
    from transferkit.detection.detections import read_found
    from transferkit.reports.boxes import write_sheet
    from transferkit.reports.detections import detections_sheet

    if not detection.file.exists():
        return f"Not drawn: {detection.file} was removed; --force recomputes the boxes."
    split = detection.dataset.split(detection.dataset.scored_on)
    try:
        sheet = detections_sheet(split, read_found(detection.file))
    except DamagedError as error:
        return f"Not drawn: {error}"
    path = session.workspace.reports / f"detections-{detection.result.cell[:12]}.png"
    write_sheet(sheet, path)
    return f"Drawn: {path}"


def preset_rows() -> list[tuple[str, str, Any]]:
    """Return task, name and preset for each detection preset."""
    return [("detection", name, preset) for name, preset in PRESETS.items()]


task_option = click.option(
    "--task",
    type=click.Choice(TASKS),
    default="classification",
    show_default=True,
    help="Task that the network is trained for; detection needs data sets with boxes.",
)
on_error_option = click.option(
    "--on-error",
    type=click.Choice(("skip", "stop")),
    help="Handling of invalid annotations: skip leaves them out and lists them, stop ends with an error.  [default: "
    "skip]",
)
