"""Alignment by the whole picture: shift, size and angle against the median good part.

A coarse search correlates edges by FFT over all shifts (and angles, between which a parabola
tells the highest). An inverse-compositional Lucas-Kanade fit (Baker and Matthews, 2004) with gain,
offset and robust weights makes it sub-pixel, indifferent to light, and not to be moved by a defect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.medians import median_of
from goodpart.parts.views import COARSE_SIDE, Location, Views
from goodpart.recipe import AlignSection

_SEARCH_SIDE = 64
_SEARCH_ANGLES = 48
_HYPOTHESES = 2
_ITERATIONS = 10
_MOST_SCALED = 2.0
_BLUR = 1.5
# The fit looks at every so many pixels, in rows that are shifted against each other.
_STRIDE = 3


def template_shape(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the template for a part image."""
    factor = min(1.0, COARSE_SIDE / max(size))
    return max(8, round(size[0] * factor)), max(8, round(size[1] * factor))


def edges_of(image: NDArray[Any]) -> NDArray[np.float32]:
    """Root of the gradient's length, zero mean, unit norm: where edges are, whatever the light."""
    values = image.astype(np.float32)
    along_x = cv2.Sobel(values, cv2.CV_32F, 1, 0)
    along_y = cv2.Sobel(values, cv2.CV_32F, 0, 1)
    edges = np.sqrt(np.hypot(along_x, along_y))
    edges -= edges.mean()
    return np.asarray(edges / (np.linalg.norm(edges) + 1e-6), dtype=np.float32)


class TemplateAligner:
    """Brings the part onto the median good part by a similarity (shift, size, angle).

    Parameters
    ----------
    section : AlignSection
        ``rotation`` is ``"angle"`` for parts that lie at any angle; ``least_match`` is set.
    arrays : mapping of str to ndarray
        ``template`` float32 (h, w), 0..255, see :func:`template_shape`.
    size : (int, int)
        Height and width of the part image.
    """

    def __init__(
        self, section: AlignSection, arrays: Mapping[str, NDArray[Any]], size: tuple[int, int]
    ) -> None:
        assert section.least_match is not None
        self._least_match = section.least_match
        self._any_angle = section.rotation == "angle"
        self._size = size
        template = cv2.GaussianBlur(arrays["template"].astype(np.float32), (0, 0), _BLUR)
        self._shape = (template.shape[0], template.shape[1])
        self._edges = edges_of(template)
        self._step = _Step(_design(template, turns=self._any_angle))
        self._spectra = _spectra(template, self._any_angle)

    def locate(self, views: Views) -> Location | None:
        """Find the part, or ``None``."""
        image: Any = cv2.GaussianBlur(views.coarse.astype(np.float32), (0, 0), _BLUR)
        best: tuple[float, NDArray[np.float64]] | None = None
        for start in self._starts(image):
            matrix = self._fit(image, start)
            match = float((edges_of(self._warped(image, matrix)) * self._edges).sum())
            if best is None or match > best[0]:
                best = (match, matrix)
        if best is None or best[0] < self._least_match:
            return None
        shrink = self._shape[0] / self._size[0], self._shape[1] / self._size[1]
        to_template = _scaling(*shrink)
        to_image = _scaling(1 / views.coarse_factor, 1 / views.coarse_factor)
        return Location(to_image @ best[1] @ to_template, best[0])

    def _warped(self, image: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[Any]:
        warped: Any = cv2.warpAffine(
            image,
            matrix[:2],
            (self._shape[1], self._shape[0]),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(warped)

    def _starts(self, image: NDArray[Any]) -> list[NDArray[np.float64]]:
        """The most promising coarse positions, template to image."""
        height, width = image.shape
        factor = _SEARCH_SIDE / COARSE_SIDE
        spectrum = cv2.dft(_padded(_small(edges_of(image))))
        heights = np.empty(len(self._spectra))
        places = []
        for index, turned in enumerate(self._spectra):
            product = cv2.mulSpectrums(spectrum, turned, 0, conjB=True)
            likeness = cv2.dft(product, flags=cv2.DFT_INVERSE)
            _, heights[index], _, place = cv2.minMaxLoc(likeness)
            places.append(place)
        starts = []
        for index in _peaks(heights)[:_HYPOTHESES]:
            dx, dy = (v - _PADDED if v >= _PADDED // 2 else v for v in places[index])
            # Both lie in the middle of their padding: shift zero means middle on middle.
            middle = ((width - 1) / 2 + dx / factor, (height - 1) / 2 + dy / factor)
            angle = (index + _vertex(heights, index)) * 2 * np.pi / len(heights)
            starts.append(_turn(angle, self._shape, middle))
        return starts

    def _fit(self, image: NDArray[Any], start: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = self._shape
        matrix, count = start, self._step.moves
        half = max(height, width) / 2
        for _ in range(_ITERATIONS):
            values = self._warped(image, matrix).ravel()[::_STRIDE]
            solved = self._step.solve(values)
            gain = solved[count]
            if abs(gain) < 1e-3:
                break
            step = solved[:count] / gain
            dx, dy, grow = step[:3]
            turn = step[3] if count == 4 else 0.0
            change = _about_middle(
                self._shape, half, float(dx), float(dy), float(grow), float(turn)
            )
            matrix = matrix @ np.linalg.inv(change)
            # Parts are all of about one size: a fit that runs away (nothing to hold on to, as in
            # an empty image) found nothing.
            if not 1 / _MOST_SCALED < np.hypot(matrix[0, 0], matrix[1, 0]) < _MOST_SCALED:
                return start
            if max(abs(dx), abs(dy), abs(grow), abs(turn)) < 0.02:
                break
        return matrix


def _peaks(heights: NDArray[Any]) -> list[int]:
    """Angles that fit better than their neighbours in the circle, best first."""
    higher = (heights >= np.roll(heights, 1)) & (heights >= np.roll(heights, -1))
    found = np.flatnonzero(higher)
    return [int(index) for index in found[np.argsort(-heights[found])]]


def _vertex(heights: NDArray[Any], index: int) -> float:
    """How far from a peak, in steps, the parabola through it and its neighbours is highest."""
    left, peak, right = (float(heights[(index + side) % len(heights)]) for side in (-1, 0, 1))
    bend = left - 2 * peak + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0


_PADDED = 2 * _SEARCH_SIDE


def _small(edges: NDArray[Any]) -> NDArray[Any]:
    """Edges at the size of the search, of unit norm."""
    factor = _SEARCH_SIDE / COARSE_SIDE
    small: Any = cv2.resize(edges, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.asarray(small / (np.linalg.norm(small) + 1e-6))


def _padded(edges: NDArray[Any]) -> NDArray[Any]:
    """Put an image into the middle of the search field."""
    field = np.zeros((_PADDED, _PADDED), dtype=np.float32)
    top, left = (_PADDED - edges.shape[0]) // 2, (_PADDED - edges.shape[1]) // 2
    field[top : top + edges.shape[0], left : left + edges.shape[1]] = edges
    return field


def _spectra(template: NDArray[Any], any_angle: bool) -> list[NDArray[np.float32]]:
    """Spectra, as OpenCV packs them, of the template's edges turned by each angle of the search."""
    edges = edges_of(template)
    shape = (edges.shape[0], edges.shape[1])
    middle = ((shape[1] - 1) / 2, (shape[0] - 1) / 2)
    spectra = []
    for angle in np.arange(_SEARCH_ANGLES if any_angle else 1) * (2 * np.pi / _SEARCH_ANGLES):
        turn = _turn(float(angle), shape, middle)
        # Turned at the full size and to unit norm again: interpolation blurs most angles but not
        # quarter turns, which would have an advantage.
        turned = _small(cv2.warpAffine(edges, turn[:2], (shape[1], shape[0])))
        spectra.append(np.asarray(cv2.dft(_padded(turned)), dtype=np.float32))
    return spectra


def _turn(angle: float, shape: tuple[int, int], middle: tuple[float, float]) -> NDArray[np.float64]:
    """Template to image: turned by the angle, its middle put on ``middle``."""
    c, s = np.cos(angle), np.sin(angle)
    cx, cy = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    return np.array(
        [
            [c, -s, middle[0] - c * cx + s * cy],
            [s, c, middle[1] - s * cx - c * cy],
            [0, 0, 1],
        ]
    )


def _scaling(across: float, down: float) -> NDArray[np.float64]:
    """The map of pixels when an image is resized by these factors."""
    return np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]])


def _about_middle(
    shape: tuple[int, int], half: float, dx: float, dy: float, grow: float, turn: float
) -> NDArray[np.float64]:
    """A small similarity about the middle; ``grow`` and ``turn`` in pixels at distance ``half``."""
    cx, cy = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    a, b = 1 + grow / half, turn / half
    return np.array(
        [[a, -b, cx + dx - a * cx + b * cy], [b, a, cy + dy - b * cx - a * cy], [0, 0, 1]]
    )


def _design(template: NDArray[Any], *, turns: bool) -> NDArray[np.float32]:
    """Rows: shift x, shift y, growth, (turn,) gain, offset; one column for each pixel used."""
    height, width = template.shape
    along_y, along_x = np.gradient(template)
    half = max(height, width) / 2
    rows, columns = np.mgrid[:height, :width]
    x, y = (columns - (width - 1) / 2) / half, (rows - (height - 1) / 2) / half
    parts = [along_x, along_y, along_x * x + along_y * y]
    if turns:
        parts.append(along_y * x - along_x * y)
    parts += [template, np.ones_like(template)]
    return np.stack([part.ravel()[::_STRIDE] for part in parts]).astype(np.float32)


class _Step:
    """One step of the fit: least squares, then once more with Tukey's biweight.

    Parameters
    ----------
    design : ndarray of float32, (moves + 2, pixels)
        See :func:`_design`.

    Attributes
    ----------
    moves : int
        How many of the solved numbers move the part; gain and offset follow.
    """

    def __init__(self, design: NDArray[np.float32]) -> None:
        self.moves = len(design) - 2
        self._design = design
        exact = design.astype(np.float64)
        # Without weights the normal equations are the same for every image.
        self._plain = np.linalg.inv(_steadied(exact @ exact.T)).astype(np.float64)

    def solve(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """The coefficients (moves + 2) for pixels (pixels,)."""
        first = self._plain @ (self._design @ values).astype(np.float64)
        residual = np.abs(values - first.astype(np.float32) @ self._design)
        # A quarter of the pixels tells the usual deviation as well.
        scale = np.float32(4.685 * (1.4826 * median_of(residual[::4]) + 1e-3))
        weights = np.square(1 - np.minimum(np.square(residual / scale), 1))
        weighted = self._design * weights
        normal = _steadied((weighted @ self._design.T).astype(np.float64))
        return np.linalg.solve(normal, (weighted @ values).astype(np.float64))


def _steadied(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal equations that can be solved whatever the template shows."""
    normal.flat[:: len(normal) + 1] *= 1 + 1e-6
    normal.flat[:: len(normal) + 1] += 1e-6
    return normal


def learn_template(
    views: Sequence[Views], section: AlignSection, size: tuple[int, int], rounds: int = 2
) -> NDArray[np.float32]:
    """The median good part: all good images brought onto the most typical one, and once more.

    Returns
    -------
    ndarray of float32, (h, w), 0..255
    """
    shape = template_shape(size)
    small = [
        cv2.resize(view.coarse, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
        for view in views
    ]
    edges = np.stack([edges_of(cv2.GaussianBlur(s, (0, 0), 2.0)) for s in small])
    typical = int((edges * edges.mean(axis=0)).sum(axis=(1, 2)).argmax())
    template = small[typical].astype(np.float32)
    anything = section.model_copy(update={"least_match": -1.0})
    for _ in range(rounds):
        aligner = TemplateAligner(anything, {"template": template}, shape)
        warped = []
        for view in views:
            location = aligner.locate(view)
            assert location is not None  # every match is accepted here
            to_coarse = _scaling(view.coarse_factor, view.coarse_factor) @ location.matrix
            warped.append(aligner._warped(view.coarse.astype(np.float32), to_coarse))
        template = np.median(np.stack(warped), axis=0).astype(np.float32)
    return template
