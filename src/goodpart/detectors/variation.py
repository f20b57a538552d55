"""``variation``: mean and deviation of every pixel over aligned good parts, the fastest baseline.

Machine-vision packages call it a variation model. It needs parts that sit at the same place in
every image and light that does not change; where that holds it is hard to beat for its speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import Detector, HeldOut, PartPixels, State
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.errors import ModelError
from goodpart.parts.dataset import folds
from goodpart.progress import Progress, track


class Variation(Detector):
    """Absolute deviation from the mean good part, in units of each pixel's own spread.

    Parameters
    ----------
    smoothing : float
        Sigma in pixels of the Gaussian blur before comparing: tolerance to small displacements.
    floor : float
        Grey levels added to every spread, so that still pixels do not count every noise.
    cross_fit : int
        Number of folds for the held-out scores.
    """

    name = "variation"
    summary = "mean and deviation of every pixel; the fastest, for well aligned parts"
    paper = "Steger, Ulrich and Wiedemann, Machine Vision Algorithms and Applications (2018), 3.4"

    def __init__(self, *, smoothing: float = 2.0, floor: float = 4.0, cross_fit: int = 5) -> None:
        self.smoothing = smoothing
        self.floor = floor
        self.cross_fit = cross_fit

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
        """Gather sums for each fold; see :meth:`Detector.fit`."""
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        fold_of = folds(sources, max(1, min(self.cross_fit, len(set(sources)))))
        count = max(fold_of) + 1
        shape = self._smooth(images[0]).shape
        sums = np.zeros((count, *shape), dtype=np.float64)
        squares = np.zeros_like(sums)
        sizes = np.bincount(fold_of, minlength=count)
        for index in track(range(len(images)), "learning", len(images), progress):
            smooth = self._smooth(images[index])
            sums[fold_of[index]] += smooth
            squares[fold_of[index]] += np.square(smooth, dtype=np.float64)
        total = (sums.sum(axis=0), squares.sum(axis=0), int(sizes.sum()))
        self.mean_, self.spread_ = self._moments(*total)
        self.count_ = len(images)
        self.held_out_ = []
        if count < 2:
            return self
        without = [
            self._moments(total[0] - sums[f], total[1] - squares[f], total[2] - int(sizes[f]))
            for f in range(count)
        ]
        for index in track(range(len(images)), "calibrating", len(images), progress):
            mean, spread = without[fold_of[index]]
            raw_map = self._deviation(self._smooth(images[index]), mean, spread)
            self.held_out_.append(HeldOut(index, raw_map))
        return self

    def extend(
        self,
        images: Sequence[PartPixels],
        *,
        groups: Sequence[str] | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """See :meth:`Detector.extend`; the same as learning all images at once."""
        self._check_fitted("mean_")
        sources = list(groups) if groups is not None else [str(i) for i in range(len(images))]
        mean, deviation = self.mean_.astype(np.float64), self.spread_ - np.float64(self.floor)
        total: _Sums = (mean * self.count_, (mean**2 + deviation**2) * self.count_, self.count_)
        own: dict[str, _Sums] = {}
        for index in track(range(len(images)), "learning", len(images), progress):
            smooth = self._smooth(images[index]).astype(np.float64)
            this = (smooth, smooth**2, 1)
            own[sources[index]] = _plus(own.get(sources[index], (0.0, 0.0, 0)), this)
            total = _plus(total, this)
        self.mean_, self.spread_ = self._moments(*total)
        self.count_ = total[2]
        self.held_out_ = []
        for index in track(range(len(images)), "calibrating", len(images), progress):
            without = self._moments(*_plus(total, own[sources[index]], -1))
            raw_map = self._deviation(self._smooth(images[index]), *without)
            self.held_out_.append(HeldOut(index, raw_map))
        return self

    def raw_maps(self, images: Sequence[PartPixels]) -> list[NDArray[np.float32]]:
        """See :meth:`Detector.raw_maps`; maps have the size of the part image."""
        self._check_fitted("mean_")
        return [self._deviation(self._smooth(i), self.mean_, self.spread_) for i in images]

    def export(self, graph: ScoreGraph) -> str:
        """See :meth:`Detector.export`."""
        self._check_fitted("mean_")
        planes = graph.planes()
        if self.smoothing > 0:
            planes = graph.separable(planes, self._smooth, graph.size)
        shape = (graph.channels, *graph.size)
        mean, spread = (
            (values if values.ndim == 3 else values[..., None]).transpose(2, 0, 1).reshape(shape)
            for values in (self.mean_, self.spread_)
        )
        deviation = graph.multiply(graph.node("Abs", [graph.add(planes, -mean)]), 1 / spread)
        return graph.reshape(graph.reduce("Max", deviation, 1), graph.size)

    def state(self) -> State:
        """See :meth:`Detector.state`."""
        self._check_fitted("mean_")
        arrays = {"mean": self.mean_, "spread": self.spread_}
        return State(arrays=arrays, values={"images": self.count_})

    def restore(self, state: State) -> Self:
        """See :meth:`Detector.restore`."""
        try:
            self.mean_, self.spread_ = state.arrays["mean"], state.arrays["spread"]
            self.count_ = int(state.values["images"])
        except KeyError as error:
            raise ModelError(f"the variation model has no {error}") from None
        return self

    def _smooth(self, image: PartPixels) -> NDArray[np.float32]:
        pixels: Any = image.astype(np.float32)
        if self.smoothing > 0:
            pixels = cv2.GaussianBlur(pixels, (0, 0), self.smoothing)
        return np.asarray(pixels, dtype=np.float32)

    def _moments(
        self, total: NDArray[Any], squares: NDArray[Any], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0)
        return mean.astype(np.float32), (np.sqrt(variance) + self.floor).astype(np.float32)

    def _deviation(
        self, smooth: NDArray[np.float32], mean: NDArray[np.float32], spread: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        deviation = np.abs(smooth - mean) / spread
        return deviation if deviation.ndim == 2 else deviation.max(axis=2)


_Sums = tuple[Any, Any, int]


def _plus(a: _Sums, b: _Sums, sign: int = 1) -> _Sums:
    """Sums, sums of squares and counts of two sets of images, added or taken away."""
    return a[0] + sign * b[0], a[1] + sign * b[1], a[2] + sign * b[2]
