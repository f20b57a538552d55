"""Alignment: find the part in an image and the map from the part image to it.

What an alignment needs to know (the ring that serves as anchor, the looks it may have) is learned
from good images by :mod:`goodpart.parts.choose_alignment` and kept with the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.ellipse import (
    Candidate,
    Frame,
    find_ellipses,
    frame_radius,
    refine,
    rescaled,
)
from goodpart.recipe import AlignSection

# Working sizes, longer side in pixels: for finding, and for the sub-pixel fit.
COARSE_SIDE = 128
FINE_SIDE = 512
# A look is the anchor and what surrounds it: this many pixels for this many radii each way.
LOOK_SIDE = 32
LOOK_REACH = 1.8
# Candidates that are refined, best looking first, before the part counts as not located.
_TRIES = 3


@dataclass(frozen=True)
class Location:
    """Where a part lies.

    Parameters
    ----------
    matrix : ndarray of float64, (3, 3)
        Part image to source image, homogeneous (x, y, 1).
    match : float
        How much it looks like the good parts, at most 1.
    support : float
        Share of the anchor that was found.
    """

    matrix: NDArray[np.float64]
    match: float
    support: float


@dataclass(frozen=True)
class Views:
    """A grey image at the two working sizes.

    Parameters
    ----------
    coarse, fine : ndarray of uint8, (h, w)
    coarse_factor, fine_factor : float
        Working pixels per source pixel.
    """

    coarse: NDArray[Any]
    fine: NDArray[Any]
    coarse_factor: float
    fine_factor: float


def grey_of(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """The image as uint8 grey, for finding alone.

    Parameters
    ----------
    pixels : ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3) RGB
    """
    if pixels.dtype != np.uint8:
        pixels = np.round(pixels).astype(np.uint8)
    grey: Any = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, dtype=np.uint8)


def views_of(grey: NDArray[np.uint8]) -> Views:
    """Reduce an image to the two working sizes."""
    longest = max(grey.shape)
    fine_factor = min(1.0, FINE_SIDE / longest)
    fine = _reduced(grey, fine_factor)
    coarse_factor = min(1.0, COARSE_SIDE / longest)
    return Views(_reduced(fine, coarse_factor / fine_factor), fine, coarse_factor, fine_factor)


def _reduced(grey: NDArray[Any], factor: float) -> NDArray[Any]:
    if factor >= 1.0:
        return grey
    size = (max(1, round(grey.shape[1] * factor)), max(1, round(grey.shape[0] * factor)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


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
    looks : ndarray of float32, (k, n)
        What the anchor and its surroundings look like in good images, see :func:`look_of`.
    size : (int, int)
        Height and width of the part image.
    """

    def __init__(
        self, section: AlignSection, looks: NDArray[np.float32], size: tuple[int, int]
    ) -> None:
        assert section.radius is not None and section.least_match is not None
        self._circle = section.method == "circle"
        self._radius = section.radius
        self._least_match = section.least_match
        self._looks = looks
        self._size = size

    def locate(self, grey: NDArray[np.uint8]) -> Location | None:
        """Find the part, or ``None``."""
        views = views_of(grey)
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
                return Location(self._matrix(frame), float(matches[index]), support)
        return None

    def _matrix(self, frame: Frame) -> NDArray[np.float64]:
        return part_matrix(frame, self._radius, self._size)


def fit_anchor(views: Views, candidate: Candidate, *, circle: bool) -> tuple[Frame, float] | None:
    """Refine a candidate of the coarse view; the frame is in source pixels."""
    start = Candidate(
        rescaled(candidate.frame, views.fine_factor / views.coarse_factor), candidate.bright
    )
    fitted = refine(views.fine, start, circle=circle)
    if fitted is None or frame_radius(fitted[0]) < 2:
        return None
    return rescaled(fitted[0], 1 / views.fine_factor), fitted[1]


def part_matrix(frame: Frame, radius: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """Part image to source image, where the anchor becomes a centred circle.

    Parameters
    ----------
    frame : ndarray, (2, 3)
        Unit circle to source image.
    radius : float
        Of the anchor in the part image, pixels.
    size : (int, int)
        Height and width of the part image.
    """
    cx, cy = (size[1] - 1) / 2, (size[0] - 1) / 2
    to_unit = np.array([[1 / radius, 0, -cx / radius], [0, 1 / radius, -cy / radius], [0, 0, 1]])
    return np.vstack([frame @ to_unit, [0.0, 0.0, 1.0]])
