"""Outlines, boxes and labels on pictures, and the overlay of a whole tray.

Pictures are uint8 (H, W, 3) RGB and are drawn on in place; geometry is (x, y) in pixels, with pixel
centres at integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]

VERDICT_COLORS: Mapping[str, Color] = {
    "OK": (26, 127, 71),
    "NG": (200, 30, 40),
    "CHECK": (190, 120, 0),
    "NOT_JUDGED": (90, 90, 100),
}

# Fractional bits of the coordinates that OpenCV's drawing functions take.
_SHIFT = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def as_picture(pixels: NDArray[Any], *, max_side: int | None = None) -> tuple[Picture, float]:
    """A copy to draw on.

    Parameters
    ----------
    pixels : ndarray of uint8, uint16 or float32 0..255, (H, W) or (H, W, 3) RGB
        16-bit values are shown from 0 to the brightest.
    max_side : int, optional
        Reduce the picture to this longer side.

    Returns
    -------
    (picture, factor)
        uint8 (h, w, 3) RGB, and its pixels per source pixel.
    """
    factor = 1.0 if max_side is None else min(1.0, max_side / max(pixels.shape[:2]))
    if factor < 1.0:
        size = tuple(max(1, round(side * factor)) for side in (pixels.shape[1], pixels.shape[0]))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    if pixels.dtype == np.uint16:
        pixels = pixels.astype(np.float32) * (255.0 / max(1, int(pixels.max())))
    if pixels.dtype != np.uint8:
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.array(pixels, dtype=np.uint8, order="C"), factor


def line_width(picture: Picture) -> int:
    """A line width that shows at any size."""
    return max(1, round(max(picture.shape[:2]) / 600))


def draw_outline(
    picture: Picture, points: NDArray[Any], color: Color, *, width: int | None = None
) -> None:
    """A closed line through points, (n, 2)."""
    fixed = np.round(np.asarray(points, dtype=np.float64) * 2**_SHIFT).astype(np.int32)
    width = line_width(picture) if width is None else width
    cv2.polylines(picture, [fixed.reshape(-1, 1, 2)], True, color, width, cv2.LINE_AA, _SHIFT)


def draw_arrow(picture: Picture, start: NDArray[Any], end: NDArray[Any], color: Color) -> None:
    """An arrow from one place to another, each (2,)."""
    first, second = (tuple(int(v) for v in np.round(place)) for place in (start, end))
    cv2.arrowedLine(picture, first, second, color, line_width(picture), cv2.LINE_AA, tipLength=0.15)


def draw_label(picture: Picture, text: str, place: NDArray[Any], color: Color) -> None:
    """White text on a coloured ground, its upper left corner at a place, kept inside the picture.

    The built-in font knows ASCII alone; other letters show as question marks.
    """
    scale = max(picture.shape[:2]) / 1800 + 0.2
    thickness = max(1, round(scale * 1.6))
    shown = text.encode("ascii", "replace").decode("ascii")
    (width, height), base = cv2.getTextSize(shown, _FONT, scale, thickness)
    pad = max(2, round(4 * scale))
    x = int(np.clip(round(float(place[0])), 0, max(0, picture.shape[1] - width - 2 * pad)))
    y = int(np.clip(round(float(place[1])), 0, max(0, picture.shape[0] - height - base - 2 * pad)))
    corner = (x + width + 2 * pad, y + height + base + 2 * pad)
    cv2.rectangle(picture, (x, y), corner, color, -1)
    origin = (x + pad, y + pad + height)
    cv2.putText(picture, shown, origin, _FONT, scale, (255, 255, 255), thickness, cv2.LINE_AA)


class Inspected(Protocol):
    """What the overlay needs of an inspection."""

    @property
    def verdict(self) -> Any:
        """OK, NG, CHECK or NOT_JUDGED."""

    @property
    def pocket(self) -> str | None:
        """Place in the tray."""

    @property
    def score(self) -> float | None:
        """Number from the score map."""

    @property
    def reason(self) -> str | None:
        """Why it was not judged."""

    @property
    def image(self) -> NDArray[Any] | None:
        """Part image."""

    @property
    def transform(self) -> NDArray[np.float64] | None:
        """Part image to source image, (3, 3)."""

    @property
    def regions(self) -> Sequence[Any]:
        """Defect regions, each with a ``contour`` in pixels of the part image."""


def draw_tray(
    source_pixels: NDArray[Any], inspections: Sequence[Inspected], *, max_side: int = 1600
) -> Picture:
    """A source image with the frame, verdict and defect regions of each of its parts.

    Parameters
    ----------
    source_pixels : ndarray of uint8, uint16 or float32 0..255, (H, W) or (H, W, 3) RGB
    inspections : sequence of Inspection
        Of this image. What has no place in it (an unreadable or turned tray) is written in the
        upper left corner.
    max_side : int
        Longer side of the picture.

    Returns
    -------
    ndarray of uint8, (h, w, 3) RGB
    """
    picture, factor = as_picture(source_pixels, max_side=max_side)
    sizes = [one.image.shape[:2] for one in inspections if one.image is not None]
    usual = sizes[0] if sizes else None
    homeless = 0
    for one in inspections:
        color = VERDICT_COLORS[str(one.verdict)]
        words = [one.pocket or "", str(one.verdict).replace("_", " ")]
        if one.reason:
            words.append(one.reason)
        elif one.score is not None:
            words.append(f"{one.score:.3g}")
        label = " ".join(word for word in words if word)
        size = one.image.shape[:2] if one.image is not None else usual
        if one.transform is None or size is None or (one.pocket is None and one.image is None):
            draw_label(picture, label, np.array([4.0, 4.0 + 40 * homeless]), color)
            homeless += 1
            continue
        height, width = size
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
        frame = _mapped(one.transform, corners, factor)
        draw_outline(picture, frame, color)
        for region in one.regions:
            if len(region.contour):
                ring = _mapped(one.transform, np.array(region.contour, dtype=np.float64), factor)
                draw_outline(picture, ring, VERDICT_COLORS["NG"])
        draw_label(picture, label, frame[frame.sum(axis=1).argmin()], color)
    return picture


def _mapped(
    transform: NDArray[np.float64], points: NDArray[Any], factor: float
) -> NDArray[np.float64]:
    """Points of a part image in the picture of its source, reduced by ``factor``."""
    moved = points @ transform[:2, :2].T + transform[:2, 2]
    return np.asarray((moved + 0.5) * factor - 0.5, dtype=np.float64)
