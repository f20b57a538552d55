"""Distances in deviations from what held-out good parts show at the same place.

What ``gaussian`` and ``memory`` share after their distances: some places of a part vary more than
others, and a distance counts by how unusual it is where it is. Held-out maps are expressed in
deviations that were taken without the image's own source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import HeldOut
from goodpart.detectors.score_graph import ScoreGraph

# Added to a cell's deviation, as a share of the mean deviation: a cell that happened to be quiet
# in the good images must not turn every whisper into a defect.
DEVIATION_FLOOR = 0.3
# Sigma in cells over which centre and spread are shared with neighbours: with a hundred images
# the estimate of a single cell is noisy.
NEIGHBOURS = 1.0

Cells = NDArray[np.float32]
Mask = NDArray[np.bool_] | None


def by_size(sources: Sequence[str]) -> list[NDArray[np.intp]]:
    """Indices of the images of each source, gathered by the sources' sizes.

    Returns
    -------
    list of ndarray of int, (groups, k)
        One array for every number ``k`` of images that a source has.
    """
    members: dict[str, list[int]] = {}
    for index, source in enumerate(sources):
        members.setdefault(source, []).append(index)
    sizes = sorted({len(indices) for indices in members.values()})
    return [np.array([m for m in members.values() if len(m) == size]) for size in sizes]


@dataclass(frozen=True)
class Moments:
    """Mean and deviation of held-out distances at every cell, which images can join and leave.

    Parameters
    ----------
    count : int
        Number of images.
    mean, deviation : ndarray of float32, (h, w)
    """

    count: int
    mean: Cells
    deviation: Cells

    @classmethod
    def of(cls, distances: NDArray[np.float32]) -> Moments:
        """Of distances (N, h, w)."""
        return cls(len(distances), distances.mean(axis=0), distances.std(axis=0))

    def plus(self, other: Moments, sign: int = 1) -> Moments:
        """With the images of another; without them where ``sign`` is -1."""
        count = self.count + sign * other.count
        total, squares = (a + sign * b for a, b in zip(self._sums(), other._sums(), strict=True))
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0)
        return Moments(count, mean.astype(np.float32), np.sqrt(variance).astype(np.float32))

    def _sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean, deviation = self.mean.astype(np.float64), self.deviation.astype(np.float64)
        return self.count * mean, self.count * (mean**2 + deviation**2)


def deviations(moments: Moments, mask: Mask) -> tuple[Cells, Cells]:
    """Centre and spread of held-out distances at every cell, (h, w) each."""
    center = blur(moments.mean, NEIGHBOURS, mask)
    spread = np.sqrt(blur(moments.deviation**2, NEIGHBOURS, mask))
    counted = spread if mask is None else spread[mask]
    floor = DEVIATION_FLOOR * float(counted.mean())
    return center, np.asarray(spread + max(floor, 1e-6), dtype=np.float32)


def in_deviations(
    distance: Cells, center: Cells, spread: Cells, mask: Mask, smoothing: float
) -> Cells:
    """Distances (h, w) as smoothed deviations; 0 where cells do not count."""
    deviation = (distance - center) / spread
    if mask is not None:
        deviation = np.where(mask, deviation, 0.0)
    return blur(deviation.astype(np.float32), smoothing, mask)


def export_deviations(
    graph: ScoreGraph, distance: str, center: Cells, spread: Cells, mask: Mask, smoothing: float
) -> str:
    """Add :func:`in_deviations` to a graph, for a distance (h, w); returns the map's name."""
    size = (center.shape[0], center.shape[1])
    weight = 1 / spread if mask is None else np.where(mask, 1 / spread, 0.0)
    deviation = graph.multiply(graph.add(distance, -center), weight)
    if smoothing <= 0:
        return deviation
    if mask is None:
        return graph.separable(deviation, lambda plane: blur(plane, smoothing, None), size)
    total = graph.separable(deviation, lambda plane: _weighted(plane, smoothing), size)
    share = np.maximum(_weighted(mask.astype(np.float32), smoothing), 1e-6)
    return graph.multiply(total, np.where(mask, 1 / share, 0.0))


def held_out_maps(
    distances: NDArray[np.float32],
    members: list[NDArray[np.intp]],
    moments: Moments,
    mask: Mask,
    smoothing: float,
) -> list[HeldOut]:
    """Maps of images by a model that did not see them.

    Parameters
    ----------
    distances : ndarray of float32, (N, h, w)
        Held-out distances.
    members : list of ndarray of int, (groups, k)
        See :func:`by_size`.
    moments : Moments
        Of all images that the model has seen, these among them.
    """
    found = []
    for same_size in members:
        for group in same_size:
            # Without the group's own distances, so that its maps stay those of a model that
            # did not see it.
            rest = moments.plus(Moments.of(distances[group]), -1)
            center, spread = deviations(rest, mask)
            for index in group:
                raw_map = in_deviations(distances[index], center, spread, mask, smoothing)
                found.append(HeldOut(int(index), raw_map))
    return sorted(found, key=lambda held: held.index)


def blur(values: Cells, sigma: float, mask: Mask) -> Cells:
    """Gaussian blur over the cells that count; ``sigma`` in cells."""
    if sigma <= 0:
        return values
    if mask is None:
        blurred = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32)
    weight = mask.astype(np.float32)
    total, share = _weighted(values * weight, sigma), _weighted(weight, sigma)
    return np.where(mask, total / np.maximum(share, 1e-6), 0.0).astype(np.float32)


def _weighted(values: Cells, sigma: float) -> Cells:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), dtype=np.float32)
