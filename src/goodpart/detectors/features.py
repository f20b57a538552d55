"""From part images to feature cells, and a store of them that leaves memory alone.

What ``gaussian`` and ``memory`` share: a backbone's features on one grid of cells, and, while
fitting, all images' features in a temporary file, so that memory does not grow with the number
of images.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.backbones import Backbone, Extractor, load_backbone
from goodpart.detectors.backbones.load import from_onnx
from goodpart.detectors.base import PartPixels, State
from goodpart.detectors.engine import EngineName
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.detectors.tone import Tone, apply_tone, export_tone
from goodpart.errors import ModelError
from goodpart.parts.road import resize_part
from goodpart.progress import Progress, track

BACKBONE_FILE = "backbone.onnx"
# OpenCV 5 takes no image of more channels.
MOST_CHANNELS = 128
# Sigmas in cells of the surroundings whose brightness counts.
SHADES = (2.0, 6.0)
# Grey levels that count as much as a deviation of the shipped backbone's features.
SHADE_UNIT = np.float32(5.0)


class CellFeatures:
    """A backbone's features of a part image, gathered on the cells of one grid.

    Parameters
    ----------
    backbone : Backbone
    size : (int, int)
        Height and width of part images.
    resolution : int
        Longer side of the network's input in pixels; the part image is resized to it, keeping
        its aspect to the nearest multiple that the backbone takes.
    stride : int
        Pixels of the network's input that one cell covers. Finer outputs are averaged into
        cells, coarser ones interpolated.
    smoothing : int
        Features are averaged over this many cells squared (PatchCore's local aggregation).
    engine : str
        What runs the backbone.
    tone : "linear" or "log"
        The curve through which the network sees the image.
    shading : bool
        Also how bright a cell's nearer and wider surroundings are, as the two last features: a
        network that looks at local structure does not tell.
    """

    def __init__(
        self,
        backbone: Backbone,
        size: tuple[int, int],
        *,
        resolution: int,
        stride: int = 8,
        smoothing: int = 3,
        engine: EngineName = "onnxruntime",
        tone: Tone = "linear",
        shading: bool = False,
    ) -> None:
        self.backbone = backbone
        self.shading = shading
        self.tone: Tone = tone
        self.smoothing = smoothing
        step = int(np.lcm(backbone.requires_multiple, 2 * stride))
        scale = resolution / max(size)
        height, width = (max(step, round(side * scale / step) * step) for side in size)
        self.input_size = (height, width)
        self.grid: tuple[int, int] = (height // stride, width // stride)
        self._engine = engine
        self._extract: Extractor | None = None

    @property
    def channels(self) -> int:
        """Features per cell."""
        found = sum(output.channels for output in self.backbone.outputs)
        return found + len(SHADES) if self.shading else found

    def __call__(self, image: PartPixels) -> NDArray[np.float32]:
        """Features of one part image.

        Returns
        -------
        ndarray of float32, (h, w, channels)
            C-contiguous.
        """
        if self._extract is None:
            self._extract = self.backbone.session(engine=self._engine)
        # Resized in float32: an exported network, which has no bytes to round to, does the same.
        resized = resize_part(image.astype(np.float32), self.input_size)
        seen = apply_tone(resized, self.tone)
        maps = self._extract(seen[None])
        rows, columns = self.grid
        cells = np.empty((rows, columns, self.channels), dtype=np.float32)
        start = 0
        for output in self.backbone.outputs:
            values = maps[output.name][0]
            cells[:, :, start : start + output.channels] = self._to_grid(values)
            start += output.channels
        if self.smoothing > 1:
            cells[:, :, :start] = self._smooth(cells[:, :, :start])
        if self.shading:
            grey = seen if seen.ndim == 2 else seen.mean(axis=2)
            for index, sigma in enumerate(SHADES):
                cells[:, :, start + index] = self._shade(grey, sigma) / SHADE_UNIT
        return cells

    def export(self, graph: ScoreGraph) -> str:
        """Add this to a graph: from its input to features (1, channels, rows, columns)."""
        planes = graph.planes()
        if graph.size != self.input_size:
            planes = graph.separable(planes, self._to_input, graph.size)
        planes = export_tone(graph, planes, self.tone)
        grey = planes
        if graph.channels == 1:
            planes = graph.node("Concat", [planes] * 3, axis=1)
        else:
            third = graph.constant(np.full((1, 3, 1, 1), 1 / 3))
            grey = graph.node("Conv", [planes, third])
        maps = graph.backbone(planes, self.backbone)
        height, width = self.input_size
        found = [
            graph.separable(
                maps[output.name],
                self._plane_to_cells,
                (height // output.stride, width // output.stride),
            )
            for output in self.backbone.outputs
        ]
        if self.shading:
            for sigma in SHADES:
                shade = functools.partial(self._shade, sigma=sigma)
                shades = graph.separable(grey, shade, self.input_size)
                found.append(graph.multiply(shades, 1 / SHADE_UNIT))
        return graph.node("Concat", found, axis=1)

    def _to_input(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return resize_part(plane, self.input_size)

    def _shade(self, grey: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        cells = resize_part(grey, self.grid)
        blurred: Any = cv2.GaussianBlur(cells, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32)

    def _plane_to_cells(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        cells = self._to_grid(plane[None])
        return (self._smooth(cells) if self.smoothing > 1 else cells)[:, :, 0]

    def _smooth(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        side = (self.smoothing, self.smoothing)
        smooth = np.empty_like(cells)
        for start in range(0, cells.shape[2], MOST_CHANNELS):
            some = np.ascontiguousarray(cells[:, :, start : start + MOST_CHANNELS])
            blurred = np.asarray(cv2.blur(some, side, borderType=cv2.BORDER_REFLECT))
            smooth[:, :, start : start + MOST_CHANNELS] = blurred.reshape(some.shape)
        return smooth

    def _to_grid(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(C, h, w) of any stride to (rows, columns, C)."""
        rows, columns = self.grid
        height, width = values.shape[1:]
        if (height, width) == (rows, columns):
            return values.transpose(1, 2, 0)
        if height > rows:
            # Sums of strided views: a mean over two axes of blocks walks through memory badly.
            down, across = height // rows, width // columns
            bands = sum(values[:, i::down] for i in range(1, down)) + values[:, ::down]
            blocks = sum(bands[:, :, i::across] for i in range(1, across)) + bands[:, :, ::across]
            return (blocks * np.float32(1 / (down * across))).transpose(1, 2, 0)
        planes = [cv2.resize(plane, (columns, rows)) for plane in values]
        return np.stack(planes, axis=2)


def cell_mask(mask: NDArray[np.bool_] | None, grid: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Which cells count: those that the mask (H, W) covers to at least a half."""
    if mask is None:
        return None
    from goodpart.decision.maps import resize_mask

    return resize_mask(mask, grid)


class Cells(Protocol):
    """What gives features on a grid of cells."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def channels(self) -> int:
        """Features per cell."""

    def __call__(self, image: NDArray[Any], /) -> NDArray[np.float32]:
        """Features of one image, (rows, columns, channels)."""


class FeatureStore:
    """The features of all training images, float16 in a temporary file, within a ``with``.

    Parameters
    ----------
    cells : Cells
    images : sequence of ndarray
        Each is read once.
    progress : callable, optional
    """

    def __init__(
        self, cells: Cells, images: Sequence[PartPixels], progress: Progress | None = None
    ) -> None:
        rows, columns = cells.grid
        # Closed by close(): the features outlive this function.
        self._file = tempfile.TemporaryFile(prefix="goodpart-features-")  # noqa: SIM115
        shape = (len(images), rows, columns, cells.channels)
        self._file.truncate(int(np.prod(shape)) * 2)
        self.values: np.memmap[Any, np.dtype[np.float16]] = np.memmap(
            self._file, dtype=np.float16, mode="r+", shape=shape
        )
        for index in track(range(len(images)), "features", len(images), progress):
            # Features lie within a few hundred; float16 only guards the file against freaks.
            self.values[index] = np.clip(cells(images[index]), -6e4, 6e4)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Features of some rows of cells: float32 (images, rows, columns, channels)."""
        return self.values[:, start:stop].astype(np.float32)

    def image(self, index: int) -> NDArray[np.float32]:
        """Features of one image: float32 (rows, columns, channels)."""
        return self.values[index].astype(np.float32)

    def close(self) -> None:
        """Drop the file."""
        del self.values
        self._file.close()


def saved_backbone(backbone: Backbone) -> dict[str, bytes]:
    """The backbone as a file of the model: inspecting needs nothing that is not in the model."""
    return {BACKBONE_FILE: backbone.model_bytes}


def restored_backbone(state: State, name: str) -> Backbone:
    """The backbone of a saved detector.

    Raises
    ------
    ModelError
        The model has none.
    """
    try:
        content = state.files[BACKBONE_FILE]
    except KeyError:
        raise ModelError(f"the model has no {BACKBONE_FILE}") from None
    return from_onnx(content, name)


__all__ = [
    "BACKBONE_FILE",
    "CellFeatures",
    "FeatureStore",
    "cell_mask",
    "load_backbone",
    "restored_backbone",
    "saved_backbone",
]
