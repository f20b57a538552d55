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
_APART = 0.45


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
        self._visible = self._visible_share(shapes)

    def _drawn(self, shape: Shape) -> NDArray[np.complex64]:
        """Edge directions drawn around the origin of the padded image, which wraps around."""
        drawn = np.zeros(self._full, dtype=np.complex64)
        columns = np.round(shape.points[:, 0]).astype(int) % self._full[1]
        rows = np.round(shape.points[:, 1]).astype(int) % self._full[0]
        values = (shape.normals[:, 0] + 1j * shape.normals[:, 1]) / len(shape.points)
        np.add.at(drawn, (rows, columns), values.astype(np.complex64))
        return drawn

    def _spectrum(self, shape: Shape) -> NDArray[Any]:
        drawn = self._drawn(shape)
        wide = int(np.ceil(3 * _SPREAD))
        rolled = np.roll(drawn, (self._pad, self._pad), axis=(0, 1))
        pair: Any = rolled.view(np.float32).reshape(*self._full, 2)
        pair = cv2.GaussianBlur(
            pair, (2 * wide + 1, 2 * wide + 1), _SPREAD, borderType=cv2.BORDER_CONSTANT
        )
        pair = np.roll(pair, (-self._pad, -self._pad), axis=(0, 1))
        return np.asarray(cv2.dft(pair, flags=cv2.DFT_COMPLEX_OUTPUT))

    def _visible_share(self, shapes: Sequence[Shape]) -> NDArray[np.float32]:
        """For each place, the share of the shapes inside the image, averaged over all turns."""
        inside = np.zeros((*self._full, 2), dtype=np.float32)
        height, width = self._size
        inside[self._pad : self._pad + height, self._pad : self._pad + width, 0] = 1
        ring = np.zeros((*self._full, 2), dtype=np.float32)
        radii = np.concatenate([np.linalg.norm(shape.points, axis=1) for shape in shapes])
        for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
            columns = np.round(radii * np.cos(angle)).astype(int) % self._full[1]
            rows = np.round(radii * np.sin(angle)).astype(int) % self._full[0]
            np.add.at(ring[..., 0], (rows, columns), np.float32(1 / (24 * len(radii))))
        share = self._correlate(cv2.dft(inside), cv2.dft(ring))
        return np.clip(share, 1e-3, 1)

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
        best = np.full(self._full, -1, dtype=np.float32)
        which = np.zeros(self._full, dtype=np.int16)
        for index, kernel in enumerate(self._kernels):
            score = self._correlate(spectrum, kernel)
            better = score > best
            best[better] = score[better]
            which[better] = index
        best /= np.maximum(self._visible, _LEAST_VISIBLE) * np.float32(self._perfect)
        return self._peaks(best, which, least)

    def _peaks(
        self, best: NDArray[np.float32], which: NDArray[np.int16], least: float
    ) -> list[Hit]:
        # Parts cannot overlap much; a bent one may reach a little into its neighbour's place.
        apart = max(1, round(_APART * self._width))
        window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * apart + 1, 2 * apart + 1))
        highest = cv2.dilate(best, window)
        visible = self._visible >= _LEAST_VISIBLE
        rows, columns = np.nonzero((best >= highest) & (best >= least) & visible)
        order = np.argsort(-best[rows, columns])
        return [
            Hit(
                (float(columns[i]) - self._pad, float(rows[i]) - self._pad),
                int(which[rows[i], columns[i]]),
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
