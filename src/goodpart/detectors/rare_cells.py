"""What good parts show rarely, wherever they show it: a memory beside the Gaussians.

A Gaussian says what is usual at a place. A mark that one good part in fifty carries, now here and
now there, is usual nowhere, and two kinds of good parts at one place are badly told by one mean.
Both are remembered here: a coreset of the good parts' features (:mod:`.coreset`, after PatchCore)
without their place, chosen from cells which the Gaussians find unusual and as many drawn at
random. Distances are taken on cells of twice the side, and expressed in deviations from what
held-out good parts show at the same place, so that they can be added to those of the Gaussians.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import HeldOut
from goodpart.detectors.coreset import Bank, greedy_coreset
from goodpart.detectors.deviation import (
    Moments,
    by_size,
    deviations,
    export_deviations,
    held_out_maps,
    in_deviations,
)
from goodpart.detectors.features import FeatureStore, cell_mask
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.progress import Progress, track

# Cells that the memory is chosen from: time and memory do not grow with the number of images.
CANDIDATES = 20_000
# Sides of a cell here, in cells of the grid.
POOL = 2

Floats = NDArray[np.float32]


class RareCells:
    """A memory of good cells, on a grid of half the rows and columns.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns of features, even.
    channels : int
        The first so many features of a cell count; what follows them does not.
    mask : ndarray of bool, (rows, columns), optional
        True for cells that count.
    size : int
        Most features in the memory.
    smoothing : float
        Sigma of the Gaussian blur of score maps, in cells of twice the side.

    Attributes
    ----------
    bank : Bank
    scale : ndarray of float32, (features of a cell,)
        One over the deviation of each; 0 for those that do not count.
    moments : Moments
        Of the distances that held-out good parts show.
    """

    def __init__(
        self,
        grid: tuple[int, int],
        channels: int,
        mask: NDArray[np.bool_] | None,
        *,
        size: int,
        smoothing: float,
    ) -> None:
        self.fine, self.grid = grid, (grid[0] // POOL, grid[1] // POOL)
        self.channels, self.size, self.smoothing = channels, size, smoothing
        self.mask = cell_mask(mask, self.grid)
        self._counted = np.ones(self.grid, bool) if self.mask is None else self.mask

    def learn(
        self,
        store: FeatureStore,
        held_out: Sequence[HeldOut],
        sources: Sequence[str],
        *,
        step: int,
        rng: np.random.Generator,
        progress: Progress | None = None,
    ) -> list[HeldOut]:
        """Learn from images, beside those of earlier calls.

        Parameters
        ----------
        store : FeatureStore
            Every ``step``-th image is looked at.
        held_out : list of HeldOut
            What the Gaussians make of each of these.
        sources : sequence of str
            Of each; of at least two sources in the first call.

        Returns
        -------
        list of HeldOut
            For each image, as by a memory without its source: of the first images that of all
            others, of later ones the memory from before.
        """
        shown = np.arange(len(held_out)) * step
        unusual = np.stack([_blocks(held.raw_map).max(axis=(1, 3)) for held in held_out])
        owner = np.unique(list(sources), return_inverse=True)[1]
        first = not hasattr(self, "bank")
        if first:
            self.scale = self._scales(store, rng)
        image, cell = self._candidates(unusual, rng)
        features = np.empty((len(image), len(self.scale)), np.float32)
        distances = np.zeros((len(shown), *self.grid), np.float32)
        for index in track(range(len(shown)), "remembering", len(shown), progress):
            pooled = self._pooled(store.image(int(shown[index])))
            features[image == index] = pooled.reshape(-1, pooled.shape[2])[cell[image == index]]
            if not first:
                distances[index] = self._distance(pooled)
        if first:
            chosen = greedy_coreset(features, self.size, rng)
            self.bank, belongs = Bank(features[chosen]), owner[image[chosen]]
            for index in track(range(len(shown)), "calibrating", len(shown), progress):
                pooled = self._pooled(store.image(int(shown[index])))
                distances[index] = self._distance(pooled, belongs != owner[index])
            self._take(Moments.of(distances))
        else:
            features = np.concatenate([self.bank.features.astype(np.float32), features])
            self.bank = Bank(features[greedy_coreset(features, self.size, rng)])
            self._take(self.moments.plus(Moments.of(distances)))
        members = by_size(sources)
        found = held_out_maps(distances, members, self.moments, self.mask, self.smoothing)
        return [HeldOut(held.index, self._enlarged(held.raw_map)) for held in found]

    def score_map(self, cells: Floats) -> Floats:
        """Features (rows, columns, all) in deviations from held-out good parts."""
        distance = self._distance(self._pooled(cells))
        deviation = in_deviations(distance, self._center, self._spread, self.mask, self.smoothing)
        return self._enlarged(deviation)

    def export(self, graph: ScoreGraph, cells: str) -> str:
        """Add :meth:`score_map` to a graph, for features (1, all, rows, columns)."""
        pool = (POOL, POOL)
        pooled = graph.node("AveragePool", [cells], kernel_shape=pool, strides=pool)
        last = graph.transpose(pooled, (0, 2, 3, 1))
        flat = graph.reshape(last, (self.grid[0] * self.grid[1], len(self.scale)))
        nearest = self.bank.export(graph, graph.multiply(flat, self.scale))
        distance = graph.reshape(nearest, self.grid)
        deviation = export_deviations(
            graph, distance, self._center, self._spread, self.mask, self.smoothing
        )
        return graph.separable(deviation, self._enlarged, self.grid)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that :meth:`restore` needs, but for the grid, the mask and the count."""
        return {
            "rare_bank": self.bank.features,
            "rare_scale": self.scale,
            "rare_mean": self.moments.mean,
            "rare_deviation": self.moments.deviation,
        }

    def restore(self, arrays: dict[str, NDArray[Any]], images: int) -> Self:
        """Take what :meth:`arrays` gave, learned from this many images.

        Raises
        ------
        KeyError
            An array is missing.
        """
        self.bank, self.scale = Bank(arrays["rare_bank"]), arrays["rare_scale"]
        self._take(Moments(images, arrays["rare_mean"], arrays["rare_deviation"]))
        return self

    def _take(self, moments: Moments) -> None:
        self.moments = moments
        self._center, self._spread = deviations(moments, self.mask)

    def _candidates(
        self, unusual: Floats, rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Images and cells to choose from: the most unusual ones, and as many of the others."""
        counted = np.flatnonzero(np.broadcast_to(self._counted, unusual.shape))
        if len(counted) > CANDIDATES:
            order = counted[np.argsort(-unusual.ravel()[counted], kind="stable")]
            some = rng.choice(order[CANDIDATES // 2 :], CANDIDATES // 2, replace=False)
            counted = np.concatenate([order[: CANDIDATES // 2], some])
        image, cell = np.divmod(counted, self._counted.size)
        # In the order in which learn() comes upon them.
        order = np.lexsort((cell, image))
        return image[order], cell[order]

    def _scales(self, store: FeatureStore, rng: np.random.Generator) -> Floats:
        """One over the deviation of every feature that counts, from a few images."""
        self.scale = np.ones(store.values.shape[3], np.float32)
        some = rng.choice(len(store.values), min(32, len(store.values)), replace=False)
        seen = [self._pooled(store.image(int(index)))[self._counted] for index in some]
        spread = np.concatenate(seen).std(axis=0)
        scale = 1 / np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-6))
        scale[self.channels :] = 0
        return scale.astype(np.float32)

    def _pooled(self, cells: Floats) -> Floats:
        """Features of cells of twice the side, in their deviations."""
        # Sums of strided views: a mean over two axes of blocks walks through memory badly.
        total = cells[::2, ::2] + cells[1::2, ::2]
        total += cells[::2, 1::2]
        total += cells[1::2, 1::2]
        total *= self.scale / POOL**2
        return total

    def _distance(self, pooled: Floats, allowed: NDArray[np.bool_] | None = None) -> Floats:
        distance = np.zeros(self.grid, np.float32)
        distance[self._counted] = self.bank.distance(pooled[self._counted], allowed)
        return distance

    def _enlarged(self, plane: Floats) -> Floats:
        enlarged: Any = cv2.resize(plane, self.fine[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.float32)


def _blocks(plane: Floats) -> Floats:
    rows, columns = plane.shape
    return plane.reshape(rows // POOL, POOL, columns // POOL, POOL)
