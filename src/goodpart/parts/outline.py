"""The outline of aligned round parts: where the part ends and the background begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# How much wider than the image that was aligned to look for the outline.
OUTLINE_REACH = 1.33
_RAYS = 128
# Of a circle around the middle, four fifths of the rays end within this share of its radius; of a
# hexagon, within 0.12.
_ROUND = 0.06
# And it goes from bright to dark, or from dark to bright, on nearly all rays: a texture, whose last
# edges also lie at one distance, just inside the border, goes either way.
_ONE_WAY = 0.8


def outline_of(
    parts: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]], *, strictly_round: bool = False
) -> float | None:
    """Radius of the outline that good parts have in common.

    On each ray from the middle the outline is the outermost strong edge. Three quarters of the
    rays of the typical part stay inside the radius that is returned: rims of slanted parts are
    not concentric with the anchor.

    Parameters
    ----------
    parts : sequence of (ndarray of uint8 (n, n), ndarray of bool (n, n))
        Aligned parts and what of them their images show.
    strictly_round : bool
        Only an outline that is a circle around the middle: for parts that were not aligned by a
        ring, of which nothing tells that they are round.

    Returns
    -------
    float or None
        In pixels; ``None`` where good parts have no outline in common.
    """
    outer, middle, even = [], [], []
    for image, shown in parts:
        found = _last_edges(image, shown)
        if found is not None:
            last, one_way = found
            outer.append(float(np.quantile(last, 0.75)))
            middle.append(float(np.median(last)))
            spread = float(np.ptp(np.quantile(last, (0.1, 0.9))))
            even.append(spread < _ROUND * middle[-1] and one_way > _ONE_WAY)
    if len(outer) < 0.8 * len(parts) or not outer:
        return None
    typical = float(np.median(middle))
    agreed = np.mean(np.abs(np.array(middle) - typical) < 0.12 * typical)
    if strictly_round:
        return typical if min(agreed, np.mean(even)) >= 0.8 else None
    radius = float(np.median(outer))
    if agreed < 0.8 or radius > 1.2 * typical:
        return None
    return radius


def _last_edges(
    image: NDArray[Any], shown: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], float] | None:
    """Radius of the outermost strong edge on each ray that shows what lies beyond it, and how much
    these edges go one way, 0..1."""
    side = image.shape[0]
    reach, bins = side / 2, side // 2
    centre = ((side - 1) / 2, (side - 1) / 2)
    size = (bins, _RAYS)
    flags = cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
    polar: Any = cv2.warpPolar(image.astype(np.float32), size, centre, reach, flags)
    seen: Any = cv2.warpPolar(shown.astype(np.float32), size, centre, reach, flags)
    polar = cv2.GaussianBlur(polar, (0, 0), 1.2)
    signed = np.gradient(polar, axis=1)
    slope = np.abs(signed)
    # Nothing at the border of what the image shows is an edge of the part.
    inside = cv2.erode((seen > 0.999).astype(np.uint8), np.ones((3, 7), np.uint8))
    slope *= inside
    slope[:, -3:] = 0
    typical = float(np.median(slope.max(axis=1)))
    if typical < 1.0:
        return None
    strong = slope > 0.25 * typical
    last = bins - 1 - strong[:, ::-1].argmax(axis=1)
    # How far each ray is seen; an edge right at that end may not be the last one.
    end = (inside > 0).cumprod(axis=1).sum(axis=1)
    known = strong.any(axis=1) & (end > 1.03 * last + 2)
    if known.mean() < 0.5:
        return None
    rays = np.flatnonzero(known)
    at_last = signed[rays, last[rays]]
    one_way = float(abs(at_last.sum()) / (np.abs(at_last).sum() + 1e-9))
    return np.asarray((last[rays] + 0.5) * reach / bins, dtype=np.float64), one_way
