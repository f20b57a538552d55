"""An image at the two working sizes in which parts are looked for, and where a part was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.warp import warp_part

# Longer side in pixels: for finding, and for the sub-pixel fit.
COARSE_SIDE = 128
FINE_SIDE = 512


@dataclass(frozen=True)
class Location:
    """Where a part lies.

    Parameters
    ----------
    matrix : ndarray of float64, (3, 3)
        Part image to image, homogeneous (x, y, 1).
    match : float
        How much it looks like the good parts, at most 1.
    support : float
        Share of the anchor that was found, 0..1.
    """

    matrix: NDArray[np.float64]
    match: float
    support: float = 1.0


@dataclass(frozen=True)
class Views:
    """A grey image at the two working sizes.

    Parameters
    ----------
    coarse, fine : ndarray of uint8, (h, w)
    coarse_factor, fine_factor : float
        Working pixels per image pixel.
    """

    coarse: NDArray[np.uint8]
    fine: NDArray[np.uint8]
    coarse_factor: float
    fine_factor: float

    @property
    def shape(self) -> tuple[float, float]:
        """Height and width of the image, in its own pixels."""
        return (self.fine.shape[0] / self.fine_factor, self.fine.shape[1] / self.fine_factor)


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


def views_of(pixels: NDArray[Any]) -> Views:
    """Both views of a whole image.

    Parameters
    ----------
    pixels : ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3) RGB
    """
    longest = max(pixels.shape[:2])
    factor = min(1.0, FINE_SIDE / longest)
    fine = grey_of(_reduced(pixels, factor))
    # What rounding to whole pixels made of the factor.
    return _with_coarse(fine, max(fine.shape) / longest)


def views_through(
    pixels: NDArray[Any], matrix: NDArray[np.float64], size: tuple[int, int]
) -> Views:
    """Both views of an image that is cut out of another.

    Parameters
    ----------
    pixels : ndarray of uint8 or float32 0..255, (H, W) or (H, W, 3) RGB
    matrix : ndarray of float64, (3, 3)
        Cut image to ``pixels``.
    size : (int, int)
        Height and width of the cut image.
    """
    factor = min(1.0, FINE_SIDE / max(size))
    grow = 1 / factor
    to_cut = np.array([[grow, 0, (grow - 1) / 2], [0, grow, (grow - 1) / 2], [0, 0, 1]])
    fine_size = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    return _with_coarse(grey_of(warp_part(pixels, matrix @ to_cut, fine_size)), factor)


def _with_coarse(fine: NDArray[np.uint8], fine_factor: float) -> Views:
    factor = min(1.0, COARSE_SIDE / max(fine.shape))
    return Views(grey_of(_reduced(fine, factor)), fine, fine_factor * factor, fine_factor)


def _reduced(pixels: NDArray[Any], factor: float) -> NDArray[Any]:
    if factor >= 1.0:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def centred(
    frame: NDArray[np.float64], radius: float, size: tuple[int, int]
) -> NDArray[np.float64]:
    """Part image to image, where the frame's unit circle becomes a centred circle.

    Parameters
    ----------
    frame : ndarray, (2, 3)
        Unit circle to image.
    radius : float
        Of the circle in the part image, pixels.
    size : (int, int)
        Height and width of the part image.
    """
    cx, cy = (size[1] - 1) / 2, (size[0] - 1) / 2
    to_unit = np.array([[1 / radius, 0, -cx / radius], [0, 1 / radius, -cy / radius], [0, 0, 1]])
    return np.vstack([frame @ to_unit, [0.0, 0.0, 1.0]])
