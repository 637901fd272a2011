"""The inversion protocol: reconstruct images from the features of layers, to see what the layers preserve.

Every model gets the same images: the shorter side resized to ``size``, the centre cropped; only the
normalisation is each model's own. A reconstruction is compared with its image by pixels (PSNR), by structure
(SSIM), and by the features of one network (perceptual). Nothing is fitted or selected. Each model and layer
has a record among the results; the reconstructions are recomputed in every run, because they are not stored.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..analysis.image_quality import perceptual_distances, psnr, ssim
from ..analysis.inversion import invert
from ..analysis.inversion_settings import InversionSettings
from ..core.devices import choose_compute
from ..core.errors import DataError, MissingExtraError, ModelError, ShapeError
from ..core.preprocessing import Preprocessing
from ..core.progress import Reporter
from ..core.results import Result, ResultStore, Score
from ..core.statistics import FEWEST, Interval, t_interval
from ..data.dataset import Split
from ..data.loading import load_batches
from ..data.resize_and_crop import normalised
from ..models.catalog import default_model, load_encoder
from ..models.encoder import Encoder
from ..models.hooks import captured_outputs
from ..models.layers import Layer, list_layers, resolve_layers
from .cells import network_cell
from .context import RunContext
from .invert_settings import INVERSION, InvertSettings

LPIPS_BACKBONE = "imagenet-lite0"
"""Network whose stage outputs ``perceptual`` compares; it favours reconstructions from itself."""

_GROUPS = ("stages", "all")  # choices of layers that may include some without a map


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """Reconstructions from one layer of one model. Shapes: ``n`` images of side ``s``.

    Attributes:
        model, weights: spec of the encoder, and digest of its weights.
        layer: name of the layer.
        shape: shape of the layer's output for one image.
        measures: measure → values ``[n]``: ``distance`` of the features, ``psnr`` in decibels, ``ssim``, and
            ``perceptual`` if its network is installed.
        pictures: reconstructed images, uint8 ``[n, 3, s, s]``.
        seconds: duration of the optimisation.
    """

    model: str
    weights: str
    layer: str
    shape: tuple[int, ...]
    measures: Mapping[str, tuple[float, ...]]
    pictures: NDArray[np.uint8]
    seconds: float

    @property
    def means(self) -> dict[str, float]:
        """Mean of each measure over the images."""
        return {name: float(np.mean(values)) for name, values in self.measures.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, without the pictures."""
        each = {name: list(values) for name, values in self.measures.items()}
        names = {name: getattr(self, name) for name in ("model", "weights", "layer")}
        return {**names, "shape": list(self.shape), **self.means, "each": each, "seconds": self.seconds}


@dataclass(frozen=True, eq=False)
class Inversions:
    """Reconstructions of the same images from layers of several models.

    Attributes:
        data, evaluated_on: data set and split of the images.
        ids: ids of the images ``[n]``.
        originals: the images, uint8 ``[n, 3, s, s]``.
        rows: reconstructions per model and layer.
        settings, search: settings of the images and layers, and of the optimisation.
        seed: seed of the initialisation.
    """

    data: str
    evaluated_on: str
    ids: tuple[str, ...]
    originals: NDArray[np.uint8]
    rows: tuple[Reconstructions, ...]
    settings: InvertSettings
    search: InversionSettings
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the rows of ``pictures``: ``original``, then ``model layer``."""
        return ("original", *(f"{row.model} {row.layer}" for row in self.rows))

    def pictures(self) -> NDArray[np.uint8]:
        """Return a grid ``[height, width, 3]``: the originals, then a row per model and layer; a column per image."""
        return picture_grid([self.originals, *(row.pictures for row in self.rows)])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, without the pictures: means over images, and values in ``each``."""
        return {
            "data": self.data,
            "evaluated_on": self.evaluated_on,
            "ids": list(self.ids),
            "n": len(self.ids),
            "perceptual_by": LPIPS_BACKBONE if any("perceptual" in row.measures for row in self.rows) else None,
            "settings": self.settings.to_json(),
            "search": self.search.to_json(),
            "seed": self.seed,
            "inversions": [row.to_json() for row in self.rows],
        }


def invert_layers(
    models: Sequence[str],
    data: str,
    settings: InvertSettings,
    search: InversionSettings,
    *,
    context: RunContext,
) -> Inversions:
    """Reconstruct images from each layer of each model.

    Every model is loaded, its layers are resolved and the images are read before the first step.

    Args:
        models: encoder specs; an empty list selects the default model.
        data: spec of one data set.
        settings: settings of the images and layers.
        search: settings of the optimisation.
        context: workspace, seed and reporter.

    Raises:
        UnknownNameError, UsageError: for an invalid model, data set, layer, size or device.
        ModelError: for a layer without a map, or a network that does not accept images of this size.
        DataError: if the split does not exist, or an image cannot be read.
        NonFiniteError: if an optimisation diverges.
    """
    split = context.open(data).split(settings.split)
    device = choose_compute(settings.device, "fp32").device
    runs = context.workspace.runs
    specs = models or [default_model(runs)]
    loaded = [load_encoder(spec, runs=runs, reporter=context.reporter) for spec in specs]
    encoders = [encoder.at(settings.size) for encoder in loaded]
    layers = [spatial_layers(encoder, settings.layers) for encoder in encoders]
    ids, originals = _read(split, settings)
    records = ResultStore(context.workspace.results)
    rows = []
    with _perceptual_maps(settings.size, device, context.reporter) as maps_of:
        task = _Task(torch.from_numpy(originals).to(device).float() / 255, maps_of, search, context)
        for encoder, chosen in zip(encoders, layers, strict=True):
            for layer in chosen:
                rows.append(task.run(encoder, layer))
                all_settings = {**settings.to_json(), "search": search.to_json()}
                records.add(_record(rows[-1], split, encoder, all_settings, seed=context.seed))
    return Inversions(split.dataset, split.name, ids, originals, tuple(rows), settings, search, context.seed)


def _record(row: Reconstructions, split: Split, encoder: Encoder, settings: Mapping[str, Any], *, seed: int) -> Result:
    """Return the record of one layer: the PSNR, with an interval over five images or more."""
    cell = network_cell(
        encoder,
        INVERSION,
        settings,
        data=split.dataset,
        fingerprint=split.fingerprint,
        layer=row.layer,
        seed=seed,
        pooling="none",
    )
    value, psnrs = row.means["psnr"], row.measures["psnr"]
    score = Score(
        metric="psnr",
        value=value,
        interval=t_interval(psnrs) if len(psnrs) >= FEWEST else Interval.unknown(f"fewer than {FEWEST} images"),
        n=len(psnrs),
        selected_on="none",
        evaluated_on=split.name,
        extra_metrics=row.means,
        seconds={"fit": row.seconds, "score": 0.0},
    )
    return Result.of(cell, score, dim=math.prod(row.shape), skipped_rows=0)


def spatial_layers(encoder: Encoder, choice: Sequence[str]) -> tuple[Layer, ...]:
    """Return the layers of a choice that have feature maps or tokens.

    Raises:
        UnknownNameError: for a pattern that matches no layer.
        ModelError: if a pattern other than ``stages`` and ``all`` matches a layer that returns one vector per
            image, or if no layer remains.
    """
    named = [pattern for pattern in choice if pattern not in _GROUPS]
    for layer in resolve_layers(encoder, named, "avg") if named else ():
        if layer.kind == "vector":
            raise ModelError(
                f"Layer {layer.name!r} of {encoder.spec} returns one vector per image, without spatial "
                f"positions. {_remedy(encoder)}"
            )
    found = tuple(layer for layer in resolve_layers(encoder, choice, "avg") if layer.kind != "vector")
    if not found:
        raise ModelError(
            f"{encoder.spec} has no layer with a feature map or tokens among {', '.join(choice)}. {_remedy(encoder)}"
        )
    return found


def _remedy(encoder: Encoder) -> str:
    stages = [layer.name for layer in resolve_layers(encoder, ["stages"], "avg") if layer.kind != "vector"]
    names = stages or [layer.name for layer in list_layers(encoder) if layer.kind != "vector"]
    if not names:
        return "Choose another model: no layer of this one has a map."
    return f"Give a layer with a map, such as {names[-1]}."


def picture_grid(rows: Sequence[NDArray[np.uint8]], *, gap: int = 2) -> NDArray[np.uint8]:
    """Join rows of images into one image with white gaps.

    Args:
        rows: ``r`` rows of images, each uint8 ``[n, 3, s, s]``.
        gap: gap between images in pixels.

    Returns: The grid ``[r·s + (r-1)·gap, n·s + (n-1)·gap, 3]``.
    Raises: ShapeError: if there is no image, or rows differ in shape.
    """
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or not all(row.size and row.ndim == 4 for row in rows):
        shown = ", ".join(str(list(shape)) for shape in sorted(shapes)) or "no rows"
        raise ShapeError(f"A grid of pictures needs rows of the same [n, 3, s, s], not {shown}.")
    pictures = np.stack(rows).transpose(0, 1, 3, 4, 2)  # [r, n, s, s, 3]
    r, n, height, width, _ = pictures.shape
    padded = np.full((r, n, height + gap, width + gap, 3), 255, dtype=np.uint8)
    padded[:, :, :height, :width] = pictures
    grid = padded.transpose(0, 2, 1, 3, 4).reshape(r * (height + gap), n * (width + gap), 3)
    return np.ascontiguousarray(grid[: len(grid) - gap, : grid.shape[1] - gap])


def _read(split: Split, settings: InvertSettings) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Return ids and preprocessed images ``[n, 3, s, s]`` of evenly spaced rows."""
    rows = np.unique(np.linspace(0, len(split) - 1, settings.num_images).astype(np.int64))
    preprocessing = Preprocessing(resize=settings.size, crop=settings.size)
    batch = next(iter(load_batches(split, preprocessing, [rows], workers=0)))
    for row, reason in batch.reasons.items():
        raise DataError(
            f"{split.ids[row]} of {split.dataset} cannot be read: {reason}. "
            "Repair or remove the file, or change --num-images."
        )
    return tuple(split.ids[row] for row in rows), batch.images.numpy()


@contextmanager
def _perceptual_maps(
    size: int, device: torch.device, reporter: Reporter
) -> Iterator[Callable[[Tensor], list[Tensor]] | None]:
    """Yield a function from images in 0 … 1 to the maps that ``perceptual`` compares; None without its network."""
    try:
        encoder = load_encoder(LPIPS_BACKBONE).at(size)
    except MissingExtraError as error:
        reporter.note(f"No perceptual distance: {error}")
        yield None
        return
    names = [layer.name for layer in spatial_layers(encoder, ["stages"])]
    encoder.module.to(device)
    with captured_outputs(encoder.module, names) as outputs:
        yield lambda images: list(outputs(normalised(images, encoder.preprocessing, white=1)).values())


@dataclass(frozen=True, eq=False)
class _Task:
    """Reconstruction of the same images, ``originals`` ``[n, 3, s, s]`` in 0 … 1, from layer after layer."""

    originals: Tensor
    maps_of: Callable[[Tensor], list[Tensor]] | None
    search: InversionSettings
    context: RunContext

    def run(self, encoder: Encoder, layer: Layer) -> Reconstructions:
        encoder.module.to(self.originals.device)
        started = time.perf_counter()
        label = f"{encoder.spec} {layer.name}"
        with (
            captured_outputs(encoder.module, [layer.name]) as outputs,
            self.context.reporter.task(label, self.search.steps, "steps") as task,
        ):

            def features_of(images: Tensor) -> Tensor:
                return outputs(normalised(images, encoder.preprocessing, white=1))[layer.name]

            with torch.no_grad():
                target = features_of(self.originals)
            found = invert(
                features_of,
                target,
                size=self.originals.shape[-1],
                settings=self.search,
                seed=self.context.seed,
                on_step=task.advance,
            )
        return Reconstructions(
            model=encoder.spec,
            weights=encoder.weights,
            layer=layer.name,
            shape=layer.shape,
            measures=self._measures(found.images, found.distances),
            pictures=(found.images * 255).round().to(torch.uint8).cpu().numpy(),
            seconds=time.perf_counter() - started,
        )

    def _measures(self, images: Tensor, distances: Tensor) -> dict[str, tuple[float, ...]]:
        measures: dict[str, Any] = {
            "distance": distances.cpu().numpy(),
            "psnr": psnr(self.originals, images),
            "ssim": ssim(self.originals, images),
        }
        if self.maps_of is not None:
            measures["perceptual"] = perceptual_distances(self.maps_of, self.originals, images)
        return {name: tuple(values.tolist()) for name, values in measures.items()}
