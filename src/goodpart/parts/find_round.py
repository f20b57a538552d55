"""Find round parts on a tray: circles seen straight or at a slant, sub-pixel."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts import ellipse
from goodpart.parts.ellipse import Frame, frame_radius, refine, rescaled
from goodpart.parts.pockets import Spot, reaches_out
from goodpart.parts.search import (
    Hit,
    Searcher,
    Shape,
    from_reduced,
    gradient_field,
    reduced,
)
from goodpart.parts.views import centred

# Radii in pixels of a part at the sizes where it is searched and where its outline is fitted.
SEARCH_RADIUS = 16
FIT_RADIUS = 90
# A hit this good is worth a fit.
_LEAST_HIT = 0.4
_TURNS = np.linspace(0, 2 * np.pi, 72, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_TURNS), np.sin(_TURNS)])
# The outline's step of brightness is taken from just inside to just outside, in radii.
_INSIDE, _OUTSIDE = 0.95, 1.05
# A part's outline has to show at least this share of the usual step of brightness.
_LEAST_CONTRAST = 0.2
# Two outlines whose centres are nearer than this many radii are one part.
_OVERLAP = 1.6


class RoundFinder:
    """Finds parts with a round outline.

    Parameters
    ----------
    radius : float
        Of the outline, in pixels of the tray image.
    bright : bool
        Whether parts are brighter than the tray at their outline.
    tolerance : float
        How much larger or smaller a part may be, share of the radius.
    contrast : float or None
        Usual step of brightness at the outline, of 255.
    least_match : float
        Share of the outline that has to be found.
    size : (int, int)
        Height and width of the cut image, in whose middle the outline becomes a circle.
    """

    def __init__(
        self,
        *,
        radius: float,
        bright: bool,
        tolerance: float,
        contrast: float | None,
        least_match: float,
        size: tuple[int, int],
    ) -> None:
        self.radius = radius
        self.extent = 2 * radius
        self.size = size
        self._bright = bright
        self._tolerance = tolerance
        self._contrast = contrast
        self._least_match = least_match
        self._fit_factor = max(1, int(radius / FIT_RADIUS))
        self._search_factor = self._fit_factor * max(
            1, int(radius / self._fit_factor / SEARCH_RADIUS)
        )
        self._searchers: dict[tuple[int, int], Searcher] = {}
        self._shapes = self._circles(radius / self._search_factor)
        self._perfect = self._score_of_disc()

    def _circles(self, radius: float) -> list[Shape]:
        """Circles of the radii that may occur, one and a half pixels apart."""
        spread = self._tolerance * radius
        count = 1 + 2 * int(np.ceil(max(0.0, spread - 0.75) / 1.5))
        normals = -_CIRCLE if self._bright else _CIRCLE
        radii = radius + np.linspace(-spread, spread, count) if count > 1 else [radius]
        return [Shape(_CIRCLE * r, normals, float(r), float(2 * r)) for r in radii]

    def _score_of_disc(self) -> float:
        """What the search says of a plain disc, to measure others by."""
        middle = self._shapes[len(self._shapes) // 2]
        side = 4 * int(np.ceil(middle.reach)) + 9
        centre = (side - 1) / 2
        grid = np.arange(side) - centre
        distance = np.sqrt(np.add.outer(grid**2, grid**2))
        disc = np.clip(0.5 + middle.reach - distance, 0, 1) * 100
        field = gradient_field(disc if self._bright else 100 - disc)
        hits = Searcher([middle], (side, side)).search(field, least=0.0)
        return hits[0].score

    def locate(self, grey: NDArray[np.uint8]) -> list[Spot]:
        """All round parts of a tray.

        Parameters
        ----------
        grey : ndarray of uint8, (H, W)
        """
        fine = reduced(grey, self._fit_factor)
        coarse = reduced(fine, self._search_factor // self._fit_factor)
        size = (coarse.shape[0], coarse.shape[1])
        if min(size) < 8:
            return []
        if size not in self._searchers:
            self._searchers[size] = Searcher(self._shapes, size, perfect=self._perfect)
        hits = self._searchers[size].search(gradient_field(coarse), least=_LEAST_HIT)
        fitted = [self._fit(fine, hit) for hit in hits]
        found = self._without_weak([one for one in fitted if one is not None])
        shape = (grey.shape[0], grey.shape[1])
        return [self._spot(frame, match, shape) for frame, match, _ in self._apart(found)]

    def _fit(self, fine: NDArray[Any], hit: Hit) -> tuple[Frame, float, float] | None:
        """Frame in pixels of the tray, share of the outline found, step of brightness."""
        ratio = self._search_factor / self._fit_factor
        cx, cy = (from_reduced(value, ratio) for value in hit.centre)
        radius = self._shapes[hit.shape].reach * ratio
        start = ellipse.Candidate(
            np.array([[radius, 0.0, cx], [0.0, radius, cy]]), bright=self._bright
        )
        fitted = refine(fine, start)
        if fitted is None or _slant(fitted[0]) < 0.7:
            fitted = refine(fine, start, circle=True)
        if fitted is None:
            return None
        frame, support = fitted
        usual = self.radius / self._fit_factor
        if abs(frame_radius(frame) / usual - 1) > self._tolerance + 0.01:
            return None
        visible, step = outline_step(fine, frame)
        if visible <= 0.2 or support < self._least_match * visible:
            return None
        step = step if self._bright else -step
        return rescaled(frame, self._fit_factor), min(1.0, support / visible), step

    def _without_weak(
        self, found: list[tuple[Frame, float, float]]
    ) -> list[tuple[Frame, float, float]]:
        """Leave out faint rings, such as the edge of an empty pocket."""
        if not found:
            return []
        usual = self._contrast or float(np.median([step for _, _, step in found]))
        return [one for one in found if one[2] >= _LEAST_CONTRAST * usual]

    def _apart(self, found: list[tuple[Frame, float, float]]) -> list[tuple[Frame, float, float]]:
        """Of outlines that overlap the better one."""
        kept: list[tuple[Frame, float, float]] = []
        for one in sorted(found, key=lambda item: -item[1]):
            centre = one[0][:, 2]
            ways = [np.linalg.norm(centre - other[0][:, 2]) for other in kept]
            if all(way > _OVERLAP * self.radius for way in ways):
                kept.append(one)
        return kept

    def _spot(self, frame: Frame, match: float, shape: tuple[int, int]) -> Spot:
        outline = _CIRCLE @ frame[:, :2].T + frame[:, 2]
        return Spot(
            matrix=centred(frame, self.radius, self.size),
            centre=frame[:, 2].copy(),
            outline=outline,
            match=match,
            cut_off=reaches_out(outline, shape),
        )


def _slant(frame: Frame) -> float:
    """Ratio of an ellipse's axes, at most 1."""
    axes = np.linalg.svd(frame[:, :2], compute_uv=False)
    return float(axes[1] / axes[0])


def outline_step(grey: NDArray[Any], frame: Frame) -> tuple[float, float]:
    """Share of an outline inside the image, and how much brighter it is inside than outside."""
    rings = np.stack([_CIRCLE * r for r in (_INSIDE, _OUTSIDE)]) @ frame[:, :2].T + frame[:, 2]
    seen: Any = cv2.remap(
        grey,
        rings[..., 0].astype(np.float32),
        rings[..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    height, width = grey.shape
    within = (
        (rings >= -0.5).all(axis=2)
        & (rings[..., 0] <= width - 0.5)
        & (rings[..., 1] <= height - 0.5)
    ).all(axis=0)
    if not within.any():
        return 0.0, 0.0
    steps = seen[0].astype(np.float64) - seen[1]
    return float(within.mean()), float(np.median(steps[within]))
