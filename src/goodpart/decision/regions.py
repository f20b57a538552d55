"""From a score map to defect regions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision.inspection import Region


def find_regions(
    score_map: NDArray[np.float32],
    *,
    level: float,
    peak: float,
    smallest_area: int = 1,
    mm_per_pixel: float | None = None,
    most: int = 100,
) -> tuple[Region, ...]:
    """Connected areas above ``level`` that somewhere exceed ``peak`` (hysteresis, Canny 1986).

    The lower level gives a defect its extent, the upper one decides whether it is one: a good
    part, whose values stay below the limit, has no regions.

    Parameters
    ----------
    score_map : ndarray of float32, (H, W)
        Minus infinity where pixels do not count.
    level : float
        Learned from good images; lowered to ``peak`` where it lies above.
    peak : float
        The limit on the score.
    smallest_area : int
        In pixels; smaller areas are left out unless nothing else remains.
    mm_per_pixel : float, optional
        Gives areas in mm².
    most : int
        Keep no more than this many, highest peaks first.

    Returns
    -------
    tuple of Region
        Highest peak first.
    """
    if not score_map.max() > peak:
        return ()
    above = (score_map > min(level, peak)).view(np.uint8)
    # Defects are small: only their box is labelled. Outlines and labels together are
    # quicker than OpenCV's own statistics of labels.
    left, top, across, down = cv2.boundingRect(above)
    crop = above[top : top + down, left : left + across]
    _, labels = cv2.connectedComponents(crop, connectivity=8)
    outlines, tree = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for outline, node in zip(outlines, tree[0], strict=True):
        if node[3] != -1:
            continue  # around a hole
        x, y, width, height = cv2.boundingRect(outline)
        at = outline[0, 0]
        window = labels[y : y + height, x : x + width] == labels[at[1], at[0]]
        x, y = x + left, y + top
        inside = score_map[y : y + height, x : x + width][window]
        if inside.max() <= peak:
            continue
        contour = outline.reshape(-1, 2) + np.array([left, top])
        found.append(
            Region(
                x=x,
                y=y,
                width=width,
                height=height,
                area=len(inside),
                peak=float(inside.max()),
                mean=float(inside.mean()),
                contour=tuple(map(tuple, contour.tolist())),
                area_mm2=None if mm_per_pixel is None else len(inside) * mm_per_pixel**2,
            )
        )
    found.sort(key=lambda region: -region.peak)
    large = [region for region in found if region.area >= smallest_area]
    return tuple((large or found[:1])[:most])
