"""A Gaussian for every cell: how unlikely features are under the good parts' at that place.

What ``gaussian``, ``ensemble`` and ``autoencoder`` share after their features, after Defard,
Setkov, Loesch and Audigier, *PaDiM: a patch distribution modeling framework* (2021): a mean for
every cell and a covariance, whose Mahalanobis distance counts. Three things are different:

- A covariance is shared by the 2 × 2 cells of a block (each with its own mean). It is estimated
  from four times as many features, and takes a quarter of the memory and time.
- The covariance is shrunk towards a multiple of the identity, by at least ``ridge`` and by as
  much as the number of images asks for (Chen, Wiesel, Eldar and Hero, *Shrinkage algorithms for
  MMSE covariance estimation*, 2010).
- Distances are expressed in deviations from what held-out good parts show at the same cell:
  some places vary more than a covariance learned from few images tells.

Held-out distances cost no second fit: leaving a source out changes a mean and takes a few rows
from a scatter matrix, whose inverse follows by Woodbury's identity (see
:func:`goodpart.detectors.whitening.left_out`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import HeldOut
from goodpart.detectors.deviation import (
    Moments,
    by_size,
    deviations,
    export_deviations,
    held_out_maps,
    in_deviations,
)
from goodpart.detectors.features import FeatureStore
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.detectors.turns import TURNS, unturned
from goodpart.detectors.whitening import (
    Triangles,
    in_half,
    left_out,
    unshrunk,
    whitening_of,
)
from goodpart.progress import Progress, silent

BLOCK = 2


class CellGaussians:
    """Means and covariances of features on a grid of cells.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns, multiples of :data:`BLOCK`.
    channels : int
        Features of a cell.
    mask : ndarray of bool, (rows, columns), optional
        True for cells that count.
    ridge : float
        Least shrinkage of the covariances, 0..1.
    smoothing : float
        Sigma in cells of the Gaussian blur of score maps.

    Attributes
    ----------
    mean : ndarray of float32, (rows, columns, channels)
    whitening : ndarray of float16, (rows / BLOCK, columns / BLOCK, channels, channels)
        Upper triangular; zeros where a block does not count.
    weight : ndarray of float32, (rows / BLOCK, columns / BLOCK)
        Shrinkage of each covariance.
    moments : Moments
        Of the distances that held-out good parts show.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        channels: int,
        mask: NDArray[np.bool_] | None,
        *,
        ridge: float = 0.01,
        smoothing: float = 0.8,
    ) -> None:
        self.grid, self.channels, self.mask = grid, channels, mask
        self.ridge, self.smoothing = ridge, smoothing

    def fit(
        self, store: FeatureStore, members: list[NDArray[np.intp]], progress: Progress
    ) -> list[HeldOut]:
        """Learn from the features of images.

        Parameters
        ----------
        store : FeatureStore
        members : list of ndarray of int, (groups, k)
            See :func:`goodpart.detectors.deviation.by_size`; of at least two sources.
        progress : callable

        Returns
        -------
        list of HeldOut
            A score map for each image, as by a model without its source.
        """
        distances = self._fit_blocks(store, members, progress)
        self._take(Moments.of(distances))
        return held_out_maps(distances, members, self.moments, self.mask, self.smoothing)

    def extend(
        self, store: FeatureStore, members: list[NDArray[np.intp]], progress: Progress
    ) -> list[HeldOut]:
        """Learn from more images; see :meth:`fit`.

        Means and covariances become those of all images, as exactly as the kept whitening tells
        the earlier covariances. What held-out parts show at each cell is taken from the earlier
        images as it was then, without the little that the new ones change in it.
        """
        distances = self._extend_blocks(store, members, progress)
        self._take(self.moments.plus(Moments.of(distances)))
        return held_out_maps(distances, members, self.moments, self.mask, self.smoothing)

    def learn(
        self,
        store: FeatureStore,
        sources: Sequence[str],
        *,
        turns: bool,
        progress: Progress | None = None,
    ) -> list[HeldOut]:
        """Learn from the features of images, beside those of earlier calls.

        Parameters
        ----------
        store : FeatureStore
            Of the images or, with ``turns``, of each at its quarter turns.
        sources : sequence of str
            Of each image; of at least two sources in the first call.
        turns : bool
            Each image also counts at its quarter turns.
        progress : callable, optional

        Returns
        -------
        list of HeldOut
            A score map for each image as it came, by a model without its source.
        """
        listener = progress or silent
        learn = self.extend if hasattr(self, "moments") else self.fit
        if not turns:
            return learn(store, by_size(sources), listener)
        owners = [one for one in sources for _ in range(TURNS)]
        return unturned(learn(store, by_size(owners), listener))

    def score_map(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (rows, columns, channels) in deviations from held-out good parts."""
        distance = self.distance(cells)
        return in_deviations(distance, self._center, self._spread, self.mask, self.smoothing)

    def distance(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mahalanobis distances (rows, columns) of features (rows, columns, channels)."""
        rows, columns, channels = cells.shape
        centered = (cells - self.mean).reshape(
            rows // BLOCK, BLOCK, columns // BLOCK, BLOCK, channels
        )
        grouped = centered.transpose(0, 2, 1, 3, 4).reshape(
            rows // BLOCK, columns // BLOCK, BLOCK * BLOCK, channels
        )
        found = np.zeros((*grouped.shape[:2], BLOCK * BLOCK), np.float32)
        found[self._counted] = self._triangles.norms(grouped[self._counted])
        return (
            found.reshape(rows // BLOCK, columns // BLOCK, BLOCK, BLOCK)
            .transpose(0, 2, 1, 3)
            .reshape(rows, columns)
        )

    def export(self, graph: ScoreGraph, cells: str) -> str:
        """Add :meth:`score_map` to a graph, for features (1, channels, rows, columns)."""
        rows, columns = self.grid
        down, across = rows // BLOCK, columns // BLOCK
        last = graph.transpose(cells, (0, 2, 3, 1))
        centered = graph.reshape(graph.add(last, -self.mean), (down, BLOCK, across, BLOCK, -1))
        grouped = graph.reshape(
            graph.transpose(centered, (0, 2, 1, 3, 4)), (down, across, BLOCK * BLOCK, -1)
        )
        whitening = graph.constant(self.whitening, np.float16)
        white = graph.node("MatMul", [grouped, whitening])
        squared = graph.reduce("Sum", graph.node("Mul", [white, white]), 3)
        blocks = graph.reshape(graph.node("Sqrt", [squared]), (down, across, BLOCK, BLOCK))
        distance = graph.reshape(graph.transpose(blocks, (0, 2, 1, 3)), (rows, columns))
        return export_deviations(
            graph, distance, self._center, self._spread, self.mask, self.smoothing
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that :meth:`restore` needs, but for the grid and the number of images."""
        found: dict[str, NDArray[Any]] = {
            "mean": self.mean,
            "whitening": self.whitening,
            "weight": self.weight,
            "distance_mean": self.moments.mean,
            "distance_deviation": self.moments.deviation,
        }
        return found if self.mask is None else {**found, "mask": self.mask}

    def restore(self, arrays: dict[str, NDArray[Any]], images: int) -> Self:
        """Take what :meth:`arrays` gave, learned from this many images.

        Raises
        ------
        KeyError
            An array is missing.
        """
        self.mean, self.weight = arrays["mean"], arrays["weight"]
        self.whitening = arrays["whitening"]
        self.mask = arrays.get("mask")
        self._take(Moments(images, arrays["distance_mean"], arrays["distance_deviation"]))
        return self

    def _take(self, moments: Moments) -> None:
        self.moments = moments
        self._center, self._spread = deviations(moments, self.mask)
        self._counted = self.whitening.any(axis=(2, 3))
        self._triangles = Triangles(self.whitening[self._counted].astype(np.float32))

    def _fit_blocks(
        self, store: FeatureStore, members: list[NDArray[np.intp]], progress: Progress
    ) -> NDArray[np.float32]:
        """Learn every block's mean and whitening; return held-out distances (N, rows, columns)."""
        rows, columns = self.grid
        channels = self.channels
        images = len(store.values)
        self.mean = np.zeros((rows, columns, channels), np.float32)
        blocks = (rows // BLOCK, columns // BLOCK)
        self.whitening = np.zeros((*blocks, channels, channels), np.float16)
        self.weight = np.ones(blocks, np.float32)
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
                whitening, weight = whitening_of(flat.T @ flat / len(flat), images, self.ridge)
                white = centered @ whitening
                for same_size in members:
                    found = left_out(white[same_size], images, weight)
                    held_out[(same_size.ravel(), *place)] = found.reshape(-1, BLOCK, BLOCK)
                self.mean[place] = mean.reshape(BLOCK, BLOCK, channels)
                self.whitening[block_row, block_column] = in_half(whitening)
                self.weight[block_row, block_column] = weight
        progress("learning", blocks[0], blocks[0])
        return held_out

    def _extend_blocks(
        self, store: FeatureStore, members: list[NDArray[np.intp]], progress: Progress
    ) -> NDArray[np.float32]:
        """Take more images into every block; return their held-out distances."""
        rows, columns = self.grid
        channels, new, known = self.channels, len(store.values), self.moments.count
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
                away = values - self.mean[place].reshape(BLOCK * BLOCK, channels)
                moved = away.sum(axis=0) / total
                flat = away.reshape(-1, channels)
                # Sums of squares around the new means, for one of the block's cells on average.
                earlier = self.whitening[at].astype(np.float32)
                scatter = known * unshrunk(earlier, float(self.weight[at]))
                scatter += (flat.T @ flat - total * (moved.T @ moved)) / BLOCK**2
                whitening, weight = whitening_of(scatter / total, total, self.ridge)
                white = (away - moved) @ whitening
                for same_size in members:
                    found = left_out(white[same_size], total, weight)
                    held_out[(same_size.ravel(), *place)] = found.reshape(-1, BLOCK, BLOCK)
                self.mean[place] += moved.reshape(BLOCK, BLOCK, channels)
                self.whitening[at], self.weight[at] = in_half(whitening), weight
        return held_out

    def _counts(self, top: int, left: int) -> bool:
        if self.mask is None:
            return True
        return bool(self.mask[top : top + BLOCK, left : left + BLOCK].any())
