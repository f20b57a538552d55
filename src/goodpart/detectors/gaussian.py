"""``gaussian``: how unlikely each cell's features are under the good parts' at that place.

After Defard, Setkov, Loesch and Audigier, *PaDiM: a patch distribution modeling framework*
(2021): a mean for every cell and a covariance, whose Mahalanobis distance is the score. Three
things are different:

- A covariance is shared by the 2 × 2 cells of a block (each with its own mean). It is estimated
  from four times as many features, and takes a quarter of the memory and time.
- The covariance is shrunk towards a multiple of the identity, by at least ``ridge`` and by as
  much as the number of images asks for (Chen, Wiesel, Eldar and Hero, *Shrinkage algorithms for
  MMSE covariance estimation*, 2010).
- Distances are expressed in deviations from what held-out good parts show at the same cell:
  some places vary more than a covariance learned from few images tells.

Held-out distances cost no second fit: leaving a source out changes a mean and takes a few rows
from a scatter matrix, whose inverse follows by Woodbury's identity (see :func:`left_out`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import Detector, PartPixels, State
from goodpart.detectors.deviation import (
    Moments,
    by_size,
    deviations,
    export_deviations,
    held_out_maps,
    in_deviations,
)
from goodpart.detectors.features import (
    CellFeatures,
    FeatureStore,
    cell_mask,
    load_backbone,
    restored_backbone,
    saved_backbone,
)
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.errors import ModelError, TrainingError
from goodpart.progress import Progress, silent

BLOCK = 2


class Gaussian(Detector):
    """A Gaussian for every place of the part.

    Parameters
    ----------
    backbone : str
        ``"goodpart"``, or what :func:`goodpart.detectors.backbones.load_backbone` takes.
    resolution : int
        Longer side of the network's input in pixels.
    smoothing : int
        Features are averaged over this many cells squared.
    map_smoothing : float
        Sigma in cells of the Gaussian blur of the score map.
    ridge : float
        Least shrinkage of the covariances, 0..1.
    """

    name = "gaussian"
    summary = "a Gaussian per place on the backbone's features"
    paper = "Defard et al., PaDiM (2021), https://arxiv.org/abs/2011.08785"

    def __init__(
        self,
        *,
        backbone: str = "goodpart",
        resolution: int = 384,
        smoothing: int = 3,
        map_smoothing: float = 0.8,
        ridge: float = 0.01,
    ) -> None:
        self.backbone = backbone
        self.resolution = resolution
        self.smoothing = smoothing
        self.map_smoothing = map_smoothing
        self.ridge = ridge

    def fit(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        mask: NDArray[np.bool_] | None = None,
        seed: int = 0,
        workdir: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.fit`.

        Raises
        ------
        TrainingError
            Fewer than two images, or all of one source.
        """
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        members = by_size(sources)
        if len(set(sources)) < 2:
            raise TrainingError(f"{self.name} needs good images from at least two sources")
        backbone = load_backbone(self.backbone)
        size = (images[0].shape[0], images[0].shape[1])
        self._prepare(backbone, size, cell_mask(mask, self._cells_for(backbone, size).grid))
        store = FeatureStore(self.cells_, images, progress)
        try:
            distances = self._fit_blocks(store, members, progress or silent)
        finally:
            store.close()
        self._learned(distances, members, Moments.of(distances))
        return self

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.extend`.

        Means and covariances become those of all images, as exactly as the saved whitening tells
        the earlier covariances. What held-out parts show at each cell is taken from the earlier
        images as it was then, without the little that the new ones change in it.
        """
        self._check_fitted("whitening_")
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        members = by_size(sources)
        store = FeatureStore(self.cells_, images, progress)
        try:
            distances = self._extend_blocks(store, members, progress or silent)
        finally:
            store.close()
        self._learned(distances, members, self.moments_.plus(Moments.of(distances)))
        return self

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; in deviations from held-out good parts."""
        self._check_fitted("whitening_")
        maps = []
        for image in images:
            distance = self._distance(self.cells_(image))
            maps.append(
                in_deviations(distance, self.center_, self.spread_, self.mask_, self.map_smoothing)
            )
        return maps

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`."""
        self._check_fitted("whitening_")
        rows, columns = self.cells_.grid
        down, across = rows // BLOCK, columns // BLOCK
        cells = graph.transpose(self.cells_.export(graph), (0, 2, 3, 1))
        centered = graph.reshape(graph.add(cells, -self.mean_), (down, BLOCK, across, BLOCK, -1))
        grouped = graph.reshape(
            graph.transpose(centered, (0, 2, 1, 3, 4)), (down, across, BLOCK * BLOCK, -1)
        )
        whitening = graph.constant(self.whitening_, np.float16)
        white = graph.node("MatMul", [grouped, whitening])
        squared = graph.reduce("Sum", graph.node("Mul", [white, white]), 3)
        blocks = graph.reshape(graph.node("Sqrt", [squared]), (down, across, BLOCK, BLOCK))
        distance = graph.reshape(graph.transpose(blocks, (0, 2, 1, 3)), (rows, columns))
        return export_deviations(
            graph, distance, self.center_, self.spread_, self.mask_, self.map_smoothing
        )

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("whitening_")
        arrays: dict[str, NDArray[Any]] = {
            "mean": self.mean_,
            "whitening": self.whitening_.astype(np.float16),
            "weight": self.weight_,
            "distance_mean": self.moments_.mean,
            "distance_deviation": self.moments_.deviation,
        }
        if self.mask_ is not None:
            arrays["mask"] = self.mask_
        values = {
            "backbone": self.cells_.backbone.name,
            "size": list(self.size_),
            "images": self.moments_.count,
        }
        return State(arrays, saved_backbone(self.cells_.backbone), values)

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        try:
            height, width = state.values["size"]
            backbone = restored_backbone(state, state.values["backbone"])
            self._prepare(backbone, (height, width), state.arrays.get("mask"))
            self.mean_ = state.arrays["mean"]
            self.whitening_ = state.arrays["whitening"].astype(np.float32)
            self.weight_ = state.arrays["weight"]
            found = (state.arrays["distance_mean"], state.arrays["distance_deviation"])
            self._take(Moments(int(state.values["images"]), *found))
        except KeyError as error:
            raise ModelError(f"the gaussian model has no {error}") from None
        if self.mean_.shape != (*self.cells_.grid, self.cells_.channels):
            raise ModelError("the gaussian model and its backbone do not belong together")
        return self

    def _learned(
        self, distances: NDArray[np.float32], members: list[NDArray[np.intp]], moments: Moments
    ) -> None:
        self._take(moments)
        self.held_out_ = held_out_maps(distances, members, moments, self.mask_, self.map_smoothing)

    def _take(self, moments: Moments) -> None:
        self.moments_ = moments
        self.center_, self.spread_ = deviations(moments, self.mask_)

    def _cells_for(self, backbone: Any, size: tuple[int, int]) -> CellFeatures:
        return CellFeatures(
            backbone,
            size,
            resolution=self.resolution,
            smoothing=self.smoothing,
            engine=self.engine,
        )

    def _prepare(
        self, backbone: Any, size: tuple[int, int], mask: NDArray[np.bool_] | None
    ) -> None:
        self.size_ = size
        self.cells_ = self._cells_for(backbone, size)
        self.mask_ = mask

    def _fit_blocks(
        self, store: FeatureStore, members: list[NDArray[np.intp]], progress: Progress
    ) -> NDArray[np.float32]:
        """Learn every block's mean and whitening; return held-out distances (N, rows, columns)."""
        rows, columns = self.cells_.grid
        channels = self.cells_.channels
        images = len(store.values)
        self.mean_ = np.zeros((rows, columns, channels), np.float32)
        blocks = (rows // BLOCK, columns // BLOCK)
        self.whitening_ = np.zeros((*blocks, channels, channels), np.float32)
        self.weight_ = np.ones(blocks, np.float32)
        held_out = np.zeros((images, rows, columns), np.float32)
        for block_row in range(blocks[0]):
            progress("learning", block_row, blocks[0])
            top = block_row * BLOCK
            band = store.rows(top, top + BLOCK)
            for block_column in range(blocks[1]):
                left = block_column * BLOCK
                if not self._counts(top, left):
                    continue
                place = np.s_[top : top + BLOCK, left : left + BLOCK]
                values = band[:, :, left : left + BLOCK].reshape(images, BLOCK * BLOCK, channels)
                mean = values.mean(axis=0)
                centered = values - mean
                flat = centered.reshape(-1, channels)
                whitening, weight = self._whitening(flat.T @ flat / len(flat), images)
                white = centered @ whitening
                for same_size in members:
                    found = left_out(white[same_size], images, weight)
                    held_out[(same_size.ravel(), *place)] = found.reshape(-1, BLOCK, BLOCK)
                self.mean_[place] = mean.reshape(BLOCK, BLOCK, channels)
                self.whitening_[block_row, block_column] = whitening
                self.weight_[block_row, block_column] = weight
        progress("learning", blocks[0], blocks[0])
        return held_out

    def _extend_blocks(
        self, store: FeatureStore, members: list[NDArray[np.intp]], progress: Progress
    ) -> NDArray[np.float32]:
        """Take more images into every block; return their held-out distances."""
        rows, columns = self.cells_.grid
        channels, new, known = self.cells_.channels, len(store.values), self.moments_.count
        total = known + new
        held_out = np.zeros((new, rows, columns), np.float32)
        for block_row in range(rows // BLOCK):
            progress("learning", block_row, rows // BLOCK)
            top = block_row * BLOCK
            band = store.rows(top, top + BLOCK)
            for block_column in range(columns // BLOCK):
                left = block_column * BLOCK
                if not self._counts(top, left):
                    continue
                at, place = (block_row, block_column), np.s_[top : top + 2, left : left + 2]
                values = band[:, :, left : left + BLOCK].reshape(new, BLOCK * BLOCK, channels)
                away = values - self.mean_[place].reshape(BLOCK * BLOCK, channels)
                moved = away.sum(axis=0) / total
                flat = away.reshape(-1, channels)
                # Sums of squares around the new means, for one of the block's cells on average.
                scatter = known * unshrunk(self.whitening_[at], float(self.weight_[at]))
                scatter += (flat.T @ flat - total * (moved.T @ moved)) / BLOCK**2
                whitening, weight = self._whitening(scatter / total, total)
                white = (away - moved) @ whitening
                for same_size in members:
                    found = left_out(white[same_size], total, weight)
                    held_out[(same_size.ravel(), *place)] = found.reshape(-1, BLOCK, BLOCK)
                self.mean_[place] += moved.reshape(BLOCK, BLOCK, channels)
                self.whitening_[at], self.weight_[at] = whitening, weight
        return held_out

    def _counts(self, top: int, left: int) -> bool:
        if self.mask_ is None:
            return True
        return bool(self.mask_[top : top + BLOCK, left : left + BLOCK].any())

    def _whitening(
        self, covariance: NDArray[Any], images: int
    ) -> tuple[NDArray[np.float32], float]:
        """Whitening (channels, channels) for a covariance, and the shrinkage used.

        ``|centered @ whitening|`` is the Mahalanobis distance. Rounded as it will be saved, so
        that a loaded model gives the same scores.
        """
        channels = len(covariance)
        level = float(np.trace(covariance)) / channels
        if level <= 0:
            # A place without any variation, such as a saturated background.
            return np.eye(channels, dtype=np.float32), 1.0
        weight = max(self.ridge, oas_shrinkage(covariance, images))
        shrunk = (1 - weight) * covariance
        shrunk.flat[:: channels + 1] += weight * level
        lower = np.linalg.cholesky(shrunk)
        return np.linalg.inv(lower).T.astype(np.float16).astype(np.float32), weight

    def _distance(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mahalanobis distances (rows, columns) of features (rows, columns, channels)."""
        rows, columns, channels = cells.shape
        centered = (cells - self.mean_).reshape(
            rows // BLOCK, BLOCK, columns // BLOCK, BLOCK, channels
        )
        grouped = centered.transpose(0, 2, 1, 3, 4).reshape(
            rows // BLOCK, columns // BLOCK, BLOCK * BLOCK, channels
        )
        found = _distances(grouped, self.whitening_)
        return (
            found.reshape(rows // BLOCK, columns // BLOCK, BLOCK, BLOCK)
            .transpose(0, 2, 1, 3)
            .reshape(rows, columns)
        )


def _distances(centered: NDArray[np.float32], whitening: NDArray[np.float32]) -> NDArray[Any]:
    white = np.matmul(centered, whitening)
    return np.sqrt(np.einsum("...i,...i->...", white, white))


def left_out(white: NDArray[np.float32], images: int, weight: float = 0.0) -> NDArray[np.float32]:
    """Mahalanobis distances of images by the model without their own source.

    Parameters
    ----------
    white : ndarray of float32, (groups, k, cells, channels)
        Whitened deviations from the mean, for groups of ``k`` images of one source each.
    images : int
        Number of all images, N.
    weight : float
        The shrinkage of the covariance, 0..1.

    Returns
    -------
    ndarray of float32, (groups, k, cells)
        Without a group the mean of cell c moves by ``s_c / (N - k)``, where ``s_c`` is the sum of
        its deviations, and the scatter loses ``U' U`` with the rows ``r`` of the group and
        ``s_c / sqrt(N - k)``; the inverse follows by Woodbury's identity. The shrinkage target is
        kept. With N = k + 1 and more this is the leave-one-out distance that a new fit would give.
    """
    groups, k, cells, channels = white.shape
    rest = images - k
    total = white.sum(axis=1, keepdims=True)
    query = white + total / rest
    removed = np.concatenate([white, total / np.sqrt(rest)], axis=1)
    removed = removed.reshape(groups, (k + 1) * cells, channels)
    flat = query.reshape(groups, k * cells, channels)
    gram = removed @ removed.transpose(0, 2, 1)
    cross = flat @ removed.transpose(0, 2, 1)
    scale = images * cells / max(1.0 - weight, 1e-6)
    inner = scale * np.eye(gram.shape[1], dtype=np.float64) - gram
    gain = np.einsum("gqr,grq->gq", cross, np.linalg.solve(inner, cross.transpose(0, 2, 1)))
    squared = np.einsum("gqc,gqc->gq", flat, flat) + gain
    squared *= rest / images
    return np.sqrt(np.maximum(squared, 0)).astype(np.float32).reshape(groups, k, cells)


def unshrunk(whitening: NDArray[np.float32], weight: float) -> NDArray[np.float64]:
    """The covariance behind a whitening matrix with this shrinkage, (channels, channels).

    Shrinking keeps the trace, so what was shrunk to is known. Where everything was shrunk away,
    the multiple of the identity is all that is left.
    """
    channels = len(whitening)
    identity = np.eye(channels)
    if weight >= 1 and np.array_equal(whitening, identity):
        return np.zeros_like(identity)  # a place without any variation
    lower = np.linalg.inv(whitening.astype(np.float64)).T
    shrunk = lower @ lower.T
    if weight >= 1:
        return shrunk
    return (shrunk - weight * np.trace(shrunk) / channels * identity) / (1 - weight)


def oas_shrinkage(covariance: NDArray[np.floating[Any]], samples: int) -> float:
    """Oracle-approximating shrinkage of a sample covariance towards a multiple of the identity.

    Parameters
    ----------
    covariance : ndarray, (p, p)
    samples : int
        Independent observations behind it.

    Returns
    -------
    float
        0..1. Chen et al. (2010), equation 23.
    """
    size = covariance.shape[0]
    trace = float(np.trace(covariance))
    square = float(np.square(covariance, dtype=np.float64).sum())
    above = (1 - 2 / size) * square + trace**2
    below = (samples + 1 - 2 / size) * (square - trace**2 / size)
    return 1.0 if below <= 0 else min(1.0, above / below)
