"""Where on a small image a shape lies: its edges matched by direction, whatever the light.

A shape is a set of edge points with the direction in which brightness rises there. The score at a
place is the mean cosine between those directions and the image's own, as in C. Steger,
"Similarity measures for occlusion, clutter, and illumination invariant object recognition"
(DAGM 2001): how strong an edge is hardly matters, and what is hidden only lowers the score.
Gradients are kept as complex numbers, so that one Fourier transform compares a shape with every
place of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# An edge this many times stronger than the usual gradient (texture, noise) counts in full.
_STRONG = 4.0
# An edge with this share of the usual strength, in poor light, counts for half.
_FAINT = 0.15
# Edge points are drawn this wide, so that a small error in place, size and turn is forgiven.
_SPREAD = 0.8
# Least share of a shape that has to lie inside the image.
_LEAST_VISIBLE = 0.3
# Hits nearer than this share of the width are one: less than parts are apart, so that a false hit
# between two parts does not hide them.
_APART = 0.4


@dataclass(frozen=True)
class Shape:
    """Edge points of a part, relative to its centre.

    Parameters
    ----------
    points : ndarray of float64, (n, 2)
        (x, y) in pixels of the cut image.
    normals : ndarray of float64, (n, 2)
        Unit vectors in which brightness rises.
    reach : float
        Radius of the circle around the centre that holds the part.
    width : float
        Smallest extent of the part: two parts cannot be nearer than that.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64]
    reach: float
    width: float

    def turned(self, angle: float) -> Shape:
        """The shape turned by ``angle`` (radians, from x towards y)."""
        turn = rotation(angle)
        return Shape(self.points @ turn.T, self.normals @ turn.T, self.reach, self.width)

    def scaled(self, factor: float) -> Shape:
        """The shape enlarged by ``factor``."""
        return Shape(self.points * factor, self.normals, self.reach * factor, self.width * factor)


@dataclass(frozen=True)
class Hit:
    """A place where a shape may lie.

    Parameters
    ----------
    centre : (float, float)
        (x, y) in pixels of the searched image.
    shape : int
        Which of the searcher's shapes.
    score : float
        1: like the shape itself.
    """

    centre: tuple[float, float]
    shape: int
    score: float


def rotation(angle: float) -> NDArray[np.float64]:
    """The (2, 2) matrix that turns by ``angle`` radians from x towards y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def gradient_field(grey: NDArray[Any], *, edge: float = 0.0) -> NDArray[np.complex64]:
    """Gradient directions as complex numbers, of length near 1 at edges and near 0 elsewhere.

    Parameters
    ----------
    grey : ndarray of uint8 or float32, (h, w)
    edge : float
        Usual gradient at the edges that matter, grey levels per pixel; 0 where it is not known.
    """
    smooth = cv2.GaussianBlur(np.asarray(grey, dtype=np.float32), (0, 0), 0.7)
    field = np.empty(smooth.shape, dtype=np.complex64)
    field.real = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32)
    field.imag = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)
    length = np.abs(field)
    usual = max(_STRONG * float(np.median(length)), _FAINT * edge) + 0.25
    return np.asarray(field / (length + np.float32(usual)), dtype=np.complex64)


class Searcher:
    """Finds the variants of a shape (turned, scaled) in images of one size.

    Parameters
    ----------
    shapes : sequence of Shape
        In pixels of the searched image.
    size : (int, int)
        Height and width of the searched images.
    perfect : float
        Score, without normalisation, of an image of the shape itself: it becomes 1.
    """

    def __init__(
        self, shapes: Sequence[Shape], size: tuple[int, int], *, perfect: float = 1.0
    ) -> None:
        self._size = size
        self._perfect = perfect
        self._width = min(shape.width for shape in shapes)
        pad = int(np.ceil(max(shape.reach for shape in shapes))) + 3
        self._pad = pad
        self._full = (
            cv2.getOptimalDFTSize(size[0] + 2 * pad),
            cv2.getOptimalDFTSize(size[1] + 2 * pad),
        )
        self._kernels = [self._spectrum(shape) for shape in shapes]
        inside = np.zeros((*self._full, 2), dtype=np.float32)
        inside[pad : pad + size[0], pad : pad + size[1], 0] = 1
        seen: Any = cv2.dft(inside)
        self._scales = [self._scale(seen, shape) for shape in shapes]

    def _drawn(self, shape: Shape, values: NDArray[Any]) -> NDArray[np.complex64]:
        """Values at a shape's points around the origin of the padded image, which wraps around."""
        drawn = np.zeros(self._full, dtype=np.complex64)
        columns = np.round(shape.points[:, 0]).astype(int) % self._full[1]
        rows = np.round(shape.points[:, 1]).astype(int) % self._full[0]
        np.add.at(drawn, (rows, columns), (values / len(shape.points)).astype(np.complex64))
        return drawn

    def _spectrum(self, shape: Shape) -> NDArray[Any]:
        drawn = self._drawn(shape, shape.normals[:, 0] + 1j * shape.normals[:, 1])
        wide = int(np.ceil(3 * _SPREAD))
        rolled = np.roll(drawn, (self._pad, self._pad), axis=(0, 1))
        pair: Any = rolled.view(np.float32).reshape(*self._full, 2)
        pair = cv2.GaussianBlur(
            pair, (2 * wide + 1, 2 * wide + 1), _SPREAD, borderType=cv2.BORDER_CONSTANT
        )
        pair = np.roll(pair, (-self._pad, -self._pad), axis=(0, 1))
        return np.asarray(cv2.dft(pair, flags=cv2.DFT_COMPLEX_OUTPUT))

    def _scale(self, inside: NDArray[Any], shape: Shape) -> NDArray[np.float32]:
        """What a score is multiplied by at each place, for the share of the shape to be seen there.

        By the root of the share: what is seen of a part that is cut off counts for more, but a few
        edges at the border do not make up for all of a part. Zero where too little lies inside.
        """
        drawn = self._drawn(shape, np.ones(len(shape.points)))
        spectrum: Any = cv2.dft(drawn.view(np.float32).reshape(*self._full, 2))
        share = self._correlate(inside, spectrum)
        seen = share >= _LEAST_VISIBLE
        root = np.sqrt(np.maximum(share, _LEAST_VISIBLE))
        return np.where(seen, 1 / (root * self._perfect), 0).astype(np.float32)

    @staticmethod
    def _correlate(image: NDArray[Any], kernel: NDArray[Any]) -> NDArray[np.float32]:
        product = cv2.mulSpectrums(image, kernel, 0, conjB=True)
        back: Any = cv2.dft(product, flags=cv2.DFT_INVERSE | cv2.DFT_SCALE)
        return np.asarray(back[..., 0], dtype=np.float32)

    def search(self, field: NDArray[np.complex64], *, least: float) -> list[Hit]:
        """Places where the shape scores at least ``least``, best first.

        Parameters
        ----------
        field : ndarray of complex64, (h, w)
            See :func:`gradient_field`.
        least : float
            1: as good as the shape itself.
        """
        height, width = self._size
        padded = np.zeros((*self._full, 2), dtype=np.float32)
        pair = np.ascontiguousarray(field).view(np.float32).reshape(height, width, 2)
        padded[self._pad : self._pad + height, self._pad : self._pad + width] = pair
        spectrum: Any = cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT)
        scores = [
            self._correlate(spectrum, kernel) * scale
            for kernel, scale in zip(self._kernels, self._scales, strict=True)
        ]
        best = scores[0].copy()
        for score in scores[1:]:
            np.maximum(best, score, out=best)
        return self._peaks(best, scores, least)

    def _peaks(
        self, best: NDArray[np.float32], scores: Sequence[NDArray[np.float32]], least: float
    ) -> list[Hit]:
        # Parts cannot overlap much; a bent one may reach a little into its neighbour's place.
        apart = max(1, round(_APART * self._width))
        highest = cv2.dilate(best, np.ones((2 * apart + 1, 2 * apart + 1), np.uint8))
        rows, columns = np.nonzero((best >= highest) & (best >= least) & (best > 0))
        order = np.argsort(-best[rows, columns])
        return [
            Hit(
                (float(columns[i]) - self._pad, float(rows[i]) - self._pad),
                int(np.argmax([score[rows[i], columns[i]] for score in scores])),
                float(best[rows[i], columns[i]]),
            )
            for i in order
        ]


def reduced(grey: NDArray[Any], factor: int) -> NDArray[Any]:
    """Average over squares of ``factor`` pixels; what is left over at the far sides is dropped."""
    if factor <= 1:
        return grey
    height, width = (side // factor for side in grey.shape[:2])
    whole = grey[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def to_reduced(values: Any, factor: float) -> Any:
    """Coordinates of the source in an image reduced by ``factor`` (pixel centres at integers)."""
    return (values + 0.5) / factor - 0.5


def from_reduced(values: Any, factor: float) -> Any:
    """The way back of :func:`to_reduced`."""
    return (values + 0.5) * factor - 0.5
