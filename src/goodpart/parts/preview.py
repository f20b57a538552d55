"""A picture of what was found on a tray: outlines, angles, pockets, and what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.drawing import Color, Picture, as_picture, draw_arrow, draw_label, draw_outline
from goodpart.parts.find import Found, corners_of

_FOUND: Color = (26, 127, 71)
_EMPTY: Color = (90, 110, 150)
_REJECTED: Color = (200, 30, 40)


def draw_found(pixels: NDArray[Any], found: Sequence[Found], *, max_side: int = 1600) -> Picture:
    """Draw what :meth:`goodpart.parts.find.TrayFinder.find` says of a tray.

    Parts are green with an arrow along the part image's upper edge, empty pockets blue, and what
    cannot be judged red, with the reason.

    Parameters
    ----------
    pixels : ndarray of uint8, uint16 or float32 0..255, (H, W) or (H, W, 3) RGB
    found : sequence of Found
    max_side : int
        Longer side of the picture.

    Returns
    -------
    ndarray of uint8, (h, w, 3) RGB
    """
    picture, factor = as_picture(pixels, max_side=max_side)
    for one in found:
        color = _FOUND
        label = f"{one.pocket or ''} {one.match:.2f}".strip()
        if one.problem is not None:
            color = _EMPTY if one.problem[0] == "empty" else _REJECTED
            label = f"{one.pocket or ''} {one.problem[0]}".strip()
        if one.pocket is None and one.problem is not None:
            draw_label(picture, label, np.array([4.0, 4.0]), color)
            continue
        corners = (corners_of(one.matrix, one.size) + 0.5) * factor - 0.5
        draw_outline(picture, corners, color)
        if one.seen:
            if one.outline is not None:
                draw_outline(picture, (one.outline + 0.5) * factor - 0.5, color)
            middle = corners.mean(axis=0)
            draw_arrow(picture, middle, middle + (corners[1] - corners[0]) / 3, color)
        draw_label(picture, label, corners[corners.sum(axis=1).argmin()], color)
    return picture
