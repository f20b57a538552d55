"""Alignment of round parts: a ring becomes a centred circle of fixed radius."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.angle import angle_between, polar_of, turned
from goodpart.parts.ellipse import (
    Candidate,
    Frame,
    find_ellipses,
    frame_radius,
    refine,
    rescaled,
)
from goodpart.parts.views import Location, Views, centred
from goodpart.recipe import AlignSection

# A look is the anchor and what surrounds it: this many pixels for this many radii each way. Wide
# enough to tell rings from each other that look alike near by (dark inside, bright outside).
LOOK_SIDE = 40
LOOK_REACH = 2.4
# Candidates that are refined, best looking first, before the part counts as not located.
_TRIES = 3
# Least share of the anchor that must be seen: a burr or a chip may hide the rest.
_LEAST_SUPPORT = 0.35

_AXIS = (np.arange(LOOK_SIDE) - (LOOK_SIDE - 1) / 2) / ((LOOK_SIDE - 1) / 2)
_DISC = np.add.outer(_AXIS**2, _AXIS**2) <= 1.0


def look_of(coarse: NDArray[Any], frame: Frame) -> NDArray[np.float32]:
    """The surroundings of an ellipse, rectified, with zero mean and unit norm on a disc.

    Returns
    -------
    ndarray of float32, (n,)
        Pixels of the disc.
    """
    middle = (LOOK_SIDE - 1) / 2
    scale = LOOK_REACH / middle
    to_unit = np.array([[scale, 0, -LOOK_REACH], [0, scale, -LOOK_REACH], [0, 0, 1]])
    patch: Any = cv2.warpAffine(
        coarse,
        frame @ to_unit,
        (LOOK_SIDE, LOOK_SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    values = patch[_DISC].astype(np.float32)
    values -= values.mean()
    return np.asarray(values / (np.linalg.norm(values) + 1e-6), dtype=np.float32)


class RoundAligner:
    """Brings the ring that serves as anchor to a centred circle of fixed radius.

    Parameters
    ----------
    section : AlignSection
        Completed: ``method`` is ``"circle"`` or ``"ellipse"``, ``radius`` and ``least_match`` set.
    arrays : mapping of str to ndarray
        ``looks`` float32 (k, n): what the anchor and its surroundings look like in good images,
        see :func:`look_of`; with ``rotation="angle"`` also ``angle``, see :func:`polar_of`.
    size : (int, int)
        Height and width of the part image.
    """

    def __init__(
        self, section: AlignSection, arrays: Mapping[str, NDArray[Any]], size: tuple[int, int]
    ) -> None:
        assert section.radius is not None and section.least_match is not None
        self._circle = section.method == "circle"
        self._radius = section.radius
        self._least_match = section.least_match
        self._looks = arrays["looks"]
        self._angle = arrays["angle"] if section.rotation == "angle" else None
        self._size = size

    def locate(self, views: Views) -> Location | None:
        """Find the part, or ``None``."""
        candidates = find_ellipses(views.coarse)
        if not candidates:
            return None
        looks = np.stack([look_of(views.coarse, c.frame) for c in candidates])
        matches = (looks @ self._looks.T).max(axis=1)
        for index in np.argsort(-matches)[:_TRIES]:
            if matches[index] < self._least_match:
                return None
            fitted = fit_anchor(views, candidates[index], circle=self._circle)
            if fitted is not None:
                frame, support = fitted
                if self._angle is not None:
                    frame = self._turned(views, frame)
                matrix = centred(frame, self._radius, self._size)
                return Location(matrix, float(matches[index]), support)
        return None

    def _turned(self, views: Views, frame: Frame) -> Frame:
        reach = min(self._size) / 2 / self._radius
        polar = polar_of(views.fine, rescaled(frame, views.fine_factor), reach)
        assert self._angle is not None
        return turned(frame, angle_between(polar, self._angle).angle)


def fit_anchor(views: Views, candidate: Candidate, *, circle: bool) -> tuple[Frame, float] | None:
    """Refine a candidate of the coarse view; the frame is in image pixels."""
    start = Candidate(
        rescaled(candidate.frame, views.fine_factor / views.coarse_factor), candidate.bright
    )
    fitted = refine(views.fine, start, circle=circle)
    if fitted is None or fitted[1] < _LEAST_SUPPORT or frame_radius(fitted[0]) < 2:
        return None
    return rescaled(fitted[0], 1 / views.fine_factor), fitted[1]
