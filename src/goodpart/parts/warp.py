"""Carry pixels from a source image into a part image, once."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def warp_part(
    pixels: NDArray[Any], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[Any]:
    """Sample a part image from its source by bilinear interpolation.

    Where the source is at least twice as fine as the part image, it is first averaged over whole
    pixels, so that nothing between the samples is lost. What lies outside the source repeats its
    border.

    Parameters
    ----------
    pixels : ndarray of uint8 or float32, (H, W) or (H, W, 3)
    matrix : ndarray of float64, (3, 3)
        Affine, part image (x, y, 1) to source image.
    size : (int, int)
        Height and width of the part image.
    """
    height, width = size
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    factor = int(scale + 1e-6)
    if factor >= 2:
        pixels, matrix = _averaged(pixels, matrix, size, factor)
    warped: Any = cv2.warpAffine(
        pixels,
        matrix[:2],
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped)


def _averaged(
    pixels: NDArray[Any], matrix: NDArray[np.float64], size: tuple[int, int], factor: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The needed window of the source reduced by a whole factor, and the matrix into it."""
    height, width = size
    corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1] * 4])
    x, y = (matrix @ corners)[:2]
    left, right = _window(x.min(), x.max(), pixels.shape[1], factor)
    top, bottom = _window(y.min(), y.max(), pixels.shape[0], factor)
    window = pixels[top : min(bottom, pixels.shape[0]), left : min(right, pixels.shape[1])]
    missing = bottom - top - window.shape[0], right - left - window.shape[1]
    if any(missing):
        window = cv2.copyMakeBorder(window, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    reduced: Any = cv2.resize(
        window,
        ((right - left) // factor, (bottom - top) // factor),
        interpolation=cv2.INTER_AREA,
    )
    to_reduced = np.array(
        [
            [1 / factor, 0, (0.5 - left) / factor - 0.5],
            [0, 1 / factor, (0.5 - top) / factor - 0.5],
            [0, 0, 1],
        ]
    )
    return np.asarray(reduced), to_reduced @ matrix


def _window(low: float, high: float, side: int, factor: int) -> tuple[int, int]:
    """Whole pixels that cover low..high as far as 0..side does, a multiple of ``factor`` of them:
    the last few may lie beyond ``side``. They begin where the first pixel's own block does."""
    first = round(low - (factor - 1) / 2) - factor
    if first < 0:
        first %= factor
    first = min(first, side - 1)
    last = int(np.clip(np.ceil(high) + 1 + factor, first + 1, side))
    return first, first + -(-(last - first) // factor) * factor


def inside_share(
    matrix: NDArray[np.float64],
    source: tuple[int, int],
    mask: NDArray[np.bool_],
    step: int = 8,
) -> float:
    """Share of a part image's counted pixels that the source image really shows.

    Parameters
    ----------
    matrix : ndarray of float64, (3, 3)
        Part image to source image.
    source : (int, int)
        Height and width of the source image.
    mask : ndarray of bool, (H, W)
        True where pixels count.
    step : int
        Every how many pixels to look.
    """
    rows, columns = np.nonzero(mask[::step, ::step])
    if rows.size == 0:
        return 1.0
    points = matrix[:2] @ np.stack([columns * step, rows * step, np.ones(rows.size)])
    x, y = points
    within = (x >= -0.5) & (y >= -0.5) & (x <= source[1] - 0.5) & (y <= source[0] - 0.5)
    return float(within.mean())


def shown_mask(
    matrix: NDArray[np.float64], source: tuple[int, int], size: tuple[int, int], margin: float
) -> NDArray[np.bool_] | None:
    """Where a part image shows its source, and not the border repeated beyond it.

    Parameters
    ----------
    matrix : ndarray of float64, (3, 3)
        Affine, part image to source image.
    source, size : (int, int)
        Height and width of the source image and of the part image.
    margin : float
        Pixels of the part image along a border that it crosses that do not count either: a
        detector looks at the surroundings of a pixel.

    Returns
    -------
    ndarray of bool, (H, W), or None
        ``None`` where all of it is shown.
    """
    height, width = size
    corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1] * 4])
    places = (matrix @ corners)[:2]
    away = margin * float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    # What counts of the source: borders that are not crossed are moved out of reach.
    low, high = np.empty(2), np.empty(2)
    crossed = False
    for axis, side in ((0, source[1]), (1, source[0])):
        least, most = float(places[axis].min()), float(places[axis].max())
        before, behind = least < -0.5 - 1e-6, most > side - 0.5 + 1e-6
        low[axis] = away - 0.5 if before else least - 1
        high[axis] = side - 0.5 - away if behind else most + 1
        crossed = crossed or before or behind
    if not crossed:
        return None
    shown = np.zeros(size, dtype=np.uint8)
    if (low < high).all():
        outline = np.array(
            [[low[0], high[0], high[0], low[0]], [low[1], low[1], high[1], high[1]], [1] * 4]
        )
        polygon = (np.linalg.inv(matrix) @ outline)[:2].T
        cv2.fillConvexPoly(shown, np.round(polygon * 16).astype(np.int32), 1, shift=4)
    return np.asarray(shown > 0, dtype=np.bool_)
