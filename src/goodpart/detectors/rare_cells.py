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
from goodpart.detectors.coreset import Bank, greedy_coreset, product
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
# Distances are taken along so many principal axes of the good parts' features: fewer numbers to
# compare than features.
AXES = 96
# Images from which the axes are learned.
_SAMPLE = 32

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
    axes : ndarray of float32, (features of a cell, k)
        What features are multiplied by: one over their deviations, and principal axes.
    moments : Moments
        Of the distances that held-out good parts show.
    """

    bank: Bank

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
        if mask is not None and self.mask is not None and not self.mask.any():
            # What counts is thinner than half a cell here.
            rows, columns = self.grid
            blocks = mask.reshape(rows, POOL, columns, POOL)
            self.mask = np.asarray(blocks.any(axis=(1, 3)), np.bool_)
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
        shown = [int(index) for index in np.arange(len(held_out)) * step]
        maps = np.stack([held.raw_map for held in held_out])
        unusual = maps.reshape(len(maps), self.grid[0], POOL, self.grid[1], POOL).max(axis=(2, 4))
        owner = np.unique(list(sources), return_inverse=True)[1]
        first = not hasattr(self, "bank")
        if first:
            self.axes = self._learn_axes(store, rng)
        image, cell = self._candidates(unusual[:, self._counted], rng)
        features = np.empty((len(image), self.axes.shape[1]), np.float32)
        distances = np.zeros((len(shown), *self.grid), np.float32)
        for index in track(range(len(shown)), "remembering", len(shown), progress):
            found = self._features(store.image(shown[index]))
            features[image == index] = found[cell[image == index]]
            if not first:
                distances[index][self._counted] = self.bank.distance(found)
        if first:
            chosen = greedy_coreset(features, self.size, rng)
            self.bank, belongs = Bank(features[chosen]), owner[image[chosen]]
            for index in track(range(len(shown)), "calibrating", len(shown), progress):
                found, others = self._features(store.image(shown[index])), belongs != owner[index]
                distances[index][self._counted] = self.bank.distance(found, others)
            self._take(Moments.of(distances))
        else:
            features = np.concatenate([self.bank.features.astype(np.float32), features])
            self.bank = Bank(features[greedy_coreset(features, self.size, rng)])
            self._take(self.moments.plus(Moments.of(distances)))
        members = by_size(sources)
        coarse = held_out_maps(distances, members, self.moments, self.mask, self.smoothing)
        return [HeldOut(held.index, self._enlarged(held.raw_map)) for held in coarse]

    def score_map(self, cells: Floats) -> Floats:
        """Features (rows, columns, all) in deviations from held-out good parts."""
        distance = np.zeros(self.grid, np.float32)
        distance[self._counted] = self.bank.distance(self._features(cells))
        deviation = in_deviations(distance, self._center, self._spread, self.mask, self.smoothing)
        return self._enlarged(deviation)

    def export(self, graph: ScoreGraph, cells: str) -> str:
        """Add :meth:`score_map` to a graph, for features (1, all, rows, columns)."""
        pool = (POOL, POOL)
        pooled = graph.node("AveragePool", [cells], kernel_shape=pool, strides=pool)
        last = graph.transpose(pooled, (0, 2, 3, 1))
        flat = graph.reshape(last, (self.grid[0] * self.grid[1], len(self.axes)))
        seen = graph.node("MatMul", [flat, graph.constant(self.axes)])
        nearest = self.bank.export(graph, seen)
        distance = graph.reshape(nearest, self.grid)
        deviation = export_deviations(
            graph, distance, self._center, self._spread, self.mask, self.smoothing
        )
        return graph.separable(deviation, self._enlarged, self.grid)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that :meth:`restore` needs, but for the grid, the mask and the count."""
        return {
            "rare_bank": self.bank.features,
            "rare_axes": self.axes,
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
        self.bank, self.axes = Bank(arrays["rare_bank"]), arrays["rare_axes"]
        self._take(Moments(images, arrays["rare_mean"], arrays["rare_deviation"]))
        return self

    def _take(self, moments: Moments) -> None:
        self.moments = moments
        self._center, self._spread = deviations(moments, self.mask)

    def _candidates(
        self, unusual: Floats, rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Images and counted cells to choose from: the most unusual, and as many of the others."""
        order = np.argsort(-unusual.ravel(), kind="stable")
        if len(order) > CANDIDATES:
            half = CANDIDATES // 2
            order = np.concatenate([order[:half], rng.choice(order[half:], half, replace=False)])
        # In the order in which learn() comes upon them.
        image, cell = np.divmod(np.sort(order), unusual.shape[1])
        return image, cell

    def _learn_axes(self, store: FeatureStore, rng: np.random.Generator) -> Floats:
        """Deviations and principal axes of the features that count, from a few images."""
        count = len(store.values)
        some = rng.choice(count, min(_SAMPLE, count), replace=False)
        seen = [self._pooled(store.image(int(index)))[self._counted] for index in some]
        values = np.concatenate(seen)[:, : self.channels].astype(np.float64)
        deviation = values.std(axis=0)
        scale = 1 / np.maximum(deviation, max(1e-3 * float(deviation.max()), 1e-6))
        values = (values - values.mean(axis=0)) * scale
        _, vectors = np.linalg.eigh(values.T @ values)
        axes = np.zeros((store.values.shape[3], min(AXES, self.channels)), np.float32)
        axes[: self.channels] = scale[:, None] * vectors[:, ::-1][:, : axes.shape[1]]
        return axes

    def _pooled(self, cells: Floats) -> Floats:
        """Features (rows, columns, all) of cells of twice the side."""
        # Sums of strided views: a mean over two axes of blocks walks through memory badly.
        total = cells[::2, ::2] + cells[1::2, ::2]
        total += cells[::2, 1::2]
        total += cells[1::2, 1::2]
        total *= 1 / POOL**2
        return total

    def _features(self, cells: Floats) -> Floats:
        """Of the cells that count, along the axes: (n, k)."""
        return product(self._pooled(cells)[self._counted], self.axes)

    def _enlarged(self, plane: Floats) -> Floats:
        enlarged: Any = cv2.resize(plane, self.fine[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(enlarged, np.float32)
